package ramp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cometctl/internal/pace"
)

// forms is what an error says where no stage can be told.
const forms = `a stage is "A..B in 30s", "to N in 30s", "spike N in 1s", "exp A..B in 30s", "step N", "poisson 100/s for 30s" or "hold 60s"`

// Parse reads a ramp, see the package comment. Its errors quote s, name the place in it, counted in characters from 1, and the way out.
func Parse(s string) (Ramp, error) {
	var r Ramp
	total := time.Duration(0)
	for at := 0; at <= len(s); {
		text, _, _ := strings.Cut(s[at:], ";")
		p := parser{source: s, words: split(text, at), end: at + len(strings.TrimRight(text, " \t"))}
		st := p.stage()
		if len(p.words) > 0 && p.err == nil {
			p.fail(p.words[0], "is too much here: the stage is complete; put a semicolon between two stages")
		}
		if total += st.length; p.err == nil && total > MaxLength {
			p.err = fmt.Errorf("%q lasts longer than a year; give shorter stages", s)
		}
		if p.err != nil {
			return Ramp{}, p.err
		}
		if r.stages = append(r.stages, st); len(r.stages) > maxStages {
			return Ramp{}, fmt.Errorf("%.40q... has more than %d stages; give fewer", s, maxStages)
		}
		at += len(text) + 1
	}
	return r, nil
}

// word is a word of a stage, and where it stands.
type word struct {
	text string
	at   int // bytes before it
}

// split cuts what stands at a place into words.
func split(s string, at int) (words []word) {
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		n := strings.IndexAny(s[i:], " \t")
		if n < 0 {
			n = len(s) - i
		}
		words = append(words, word{s[i : i+n], at + i})
		i += n
	}
	return words
}

// parser reads one stage. After the first error it reads nothing more.
type parser struct {
	source string
	words  []word // that are left
	end    int    // of the stage, in bytes
	err    error
}

func (p *parser) fail(w word, format string, args ...any) {
	if p.err == nil {
		column := utf8.RuneCountInString(p.source[:w.at]) + 1
		p.err = fmt.Errorf("%q: %q at %d %s", p.source, w.text, column, fmt.Sprintf(format, args...))
	}
}

// take returns the next word; what says what it should be.
func (p *parser) take(what string) word {
	if p.err != nil {
		return word{}
	}
	if len(p.words) == 0 {
		column := utf8.RuneCountInString(p.source[:p.end]) + 1
		p.err = fmt.Errorf("%q: at %d stands nothing more, and %s is missing", p.source, column, what)
		return word{}
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *parser) stage() (s stage) {
	first := p.take("a stage: " + forms)
	switch first.text {
	case "to":
		s.kind, s.to = linear, p.count(p.take("a number of connections"))
		s.length = p.span("in")
	case "spike":
		s.kind, s.to = spike, p.count(p.take("a number of connections"))
		s.length = p.span("in")
	case "step":
		s.kind, s.to = step, p.count(p.take("a number of connections"))
	case "hold":
		s.kind, s.length = hold, p.time(p.take("a time such as 60s"))
	case "poisson":
		s.kind, s.rate = poisson, p.rate(p.take("a rate such as 100/s"))
		if s.length = p.span("for"); p.err == nil && s.rate.PerSecond()*s.length.Seconds() > maxPoisson {
			p.fail(first, "brings more than %d connections; give a lower rate or a shorter time", maxPoisson)
		}
	case "exp":
		s.kind, s.jump = exponential, true
		w := p.take("A..B")
		if s.from, s.to = p.fromTo(w); p.err == nil && (s.from == 0 || s.to == 0) {
			p.fail(w, "has a 0, which no factor leads to or away from; begin or end with 1")
		}
		s.length = p.span("in")
	default:
		if !strings.Contains(first.text, "..") {
			p.fail(first, "begins no stage; %s", forms)
			break
		}
		s.kind, s.jump = linear, true
		s.from, s.to = p.fromTo(first)
		s.length = p.span("in")
	}
	return s
}

// fromTo reads A..B.
func (p *parser) fromTo(w word) (from, to int) {
	a, b, ok := strings.Cut(w.text, "..")
	if !ok {
		p.fail(w, "is no A..B, such as 0..10000")
		return 0, 0
	}
	return p.count(word{a, w.at}), p.count(word{b, w.at + len(a) + len("..")})
}

// count reads a number of connections.
func (p *parser) count(w word) int {
	n := 0
	for _, c := range []byte(w.text) {
		if c < '0' || c > '9' || n > MaxConnections {
			n = -1
			break
		}
		n = n*10 + int(c-'0')
	}
	if n < 0 || n > MaxConnections || w.text == "" {
		p.fail(w, "is no number of connections; give one from 0 to %d", MaxConnections)
	}
	return n
}

// span reads the word of a length, and the length.
func (p *parser) span(with string) time.Duration {
	w := p.take(strconv.Quote(with+" TIME") + ", such as " + strconv.Quote(with+" 30s"))
	if w.text != with {
		p.fail(w, "should be %q, in front of a time such as 30s", with)
	}
	return p.time(p.take("a time such as 30s"))
}

func (p *parser) time(w word) time.Duration {
	d, err := time.ParseDuration(w.text)
	if err != nil || d <= 0 || d > MaxLength {
		p.fail(w, "is no time; give one with its unit, such as 500ms, 30s or 2h")
		return 0
	}
	return d
}

func (p *parser) rate(w word) pace.Rate {
	r, err := pace.Parse(w.text)
	if err != nil || r.Unlimited() {
		p.fail(w, "is no rate; give a number of connections in a time, such as 100/s or 30/m")
	}
	return r
}

// String is r in the form that Parse reads.
func (r Ramp) String() string {
	texts := make([]string, len(r.stages))
	for i, s := range r.stages {
		texts[i] = s.String()
	}
	return strings.Join(texts, "; ")
}

func (s stage) String() string {
	switch s.kind {
	case spike:
		return fmt.Sprintf("spike %d in %v", s.to, s.length)
	case exponential:
		return fmt.Sprintf("exp %d..%d in %v", s.from, s.to, s.length)
	case step:
		return fmt.Sprintf("step %d", s.to)
	case hold:
		return fmt.Sprintf("hold %v", s.length)
	case poisson:
		if s.length == Endless {
			return fmt.Sprintf("poisson %v", s.rate)
		}
		return fmt.Sprintf("poisson %v for %v", s.rate, s.length)
	}
	if s.jump {
		return fmt.Sprintf("%d..%d in %v", s.from, s.to, s.length)
	}
	return fmt.Sprintf("to %d in %v", s.to, s.length)
}

func tooMany(s stage, n int) error {
	return fmt.Errorf("the stage %q leads to %d connections that are opened in all, and %d are the most; give fewer", s, n, MaxConnections)
}
