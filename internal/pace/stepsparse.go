package pace

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// words is a text that is read word by word, for errors that point at the place.
type words struct {
	text string
	at   int // where what was not read yet begins
}

// next is the next word and where it begins: it ends at a space, a comma, or the end. It is empty in front of the two last.
func (w *words) next() (word string, at int) {
	w.skip()
	at = w.at
	for w.at < len(w.text) && !strings.ContainsRune(" \t\n,", rune(w.text[w.at])) {
		w.at++
	}
	return w.text[at:w.at], at
}

func (w *words) skip() {
	for w.at < len(w.text) && strings.ContainsRune(" \t\n", rune(w.text[w.at])) {
		w.at++
	}
}

// comma reads a comma, and tells whether there was one.
func (w *words) comma() bool {
	w.skip()
	if w.at < len(w.text) && w.text[w.at] == ',' {
		w.at++
		return true
	}
	return false
}

// wrong points at a word of the text; places count from 1.
func (w *words) wrong(word string, at int, why string) error {
	if word == "" {
		return fmt.Errorf("%q: nothing at %d: %s", w.text, at+1, why)
	}
	return fmt.Errorf("%q: %q at %d: %s", w.text, word, at+1, why)
}

const wantStep = "give RATE for TIME, ramp RATE..RATE for TIME, or pause for TIME, with commas between: '1000 for 60s, 5000 for 60s'"

// ParseSteps reads steps with commas between: "1000 for 60s", "ramp 1000..5000 for 60s" (from one rate to the other, in a
// straight line), "pause for 5s". Rates are what Parse reads, but for unlimited ones; times are Go's. The last step, if it is no ramp,
// may do without a time: it goes on. Errors name the text and point at the place.
func ParseSteps(text string) (Steps, error) {
	var s Steps
	w := &words{text: text}
	for {
		w.skip()
		begin := w.at
		step, err := w.step()
		if err != nil {
			return Steps{}, err
		}
		if len(s.steps) == maxSteps {
			return Steps{}, w.wrong(strings.TrimSpace(text[begin:w.at]), begin, fmt.Sprintf("a schedule has at most %d steps", maxSteps))
		}
		if n := len(s.steps); n > 0 {
			last := &s.steps[n-1]
			step.Begin, step.First = last.end(), last.First+last.Events
			if step.For != forever && step.Begin > forever-1-step.For {
				return Steps{}, w.wrong(strings.TrimSpace(text[begin:w.at]), begin, "all steps together last longer than 292 years")
			}
		}
		s.steps = append(s.steps, step)
		more := w.comma()
		switch {
		case more && step.For == forever:
			return Steps{}, w.wrong(step.Text, begin, "only the last step may do without a time: write for 60s behind it")
		case more:
			continue
		}
		if word, at := w.next(); word != "" {
			return Steps{}, w.wrong(word, at, "a comma stands between two steps")
		}
		return s, s.check()
	}
}

// check finds what is wrong with the steps as a whole.
func (s Steps) check() error {
	if s.Events() == 0 {
		return fmt.Errorf("%q: no event would ever be due", s.String())
	}
	return nil
}

// step reads one step; its Begin and First are set by the caller.
func (w *words) step() (step Step, err error) {
	word, at := w.next()
	switch word {
	case "":
		return step, w.wrong(word, at, wantStep)
	case "pause":
		step.Text = word
	case "ramp":
		word, at = w.next()
		step.Text, step.slope, err = w.ramp(word, at)
	default:
		step.rate, err = w.rate(word, at)
		step.Text = step.rate.String()
		if err == nil && step.rate.Unlimited() {
			err = w.wrong(word, at, "a step without a limit has no schedule; for no events write pause")
		}
	}
	if err != nil {
		return step, err
	}
	if step.For, err = w.time(); err != nil {
		return step, err
	}
	switch {
	case step.For == forever && step.rate.Unlimited():
		return step, w.wrong("", w.at, fmt.Sprintf("for TIME is missing behind %s", step.Text))
	case step.For == forever:
		step.Events = math.MaxUint64
		return step, nil
	case step.slope.per > 0:
		step.slope.length = uint64(step.For)
		if !step.slope.fits() {
			return step, w.wrong(word, at, "rates so fine over so long a time cannot be reckoned exactly; give whole numbers per second, and at most 24h")
		}
	}
	step.Events = step.dueBy(step.For - 1)
	return step, nil
}

func (w *words) rate(word string, at int) (Rate, error) {
	r, err := Parse(word)
	if err != nil {
		return r, w.wrong(word, at, reason(err)+"; or "+wantStep)
	}
	return r, nil
}

// reason is what Parse says behind "is no rate: ".
func reason(err error) string {
	_, why, _ := strings.Cut(err.Error(), "is no rate: ")
	return why
}

// ramp reads RATE..RATE, where 0 is no events, not all at once.
func (w *words) ramp(word string, at int) (string, slope, error) {
	first, second, ok := strings.Cut(word, "..")
	if !ok || first == "" || second == "" {
		return "", slope{}, w.wrong(word, at, "a ramp goes from one rate to another, such as ramp 1000..5000 for 60s")
	}
	from, err := w.rate(first, at)
	if err != nil {
		return "", slope{}, err
	}
	to, err := w.rate(second, at+len(first)+len(".."))
	if err != nil {
		return "", slope{}, err
	}
	if from.Unlimited() && to.Unlimited() {
		return "", slope{}, w.wrong(word, at, "a ramp from nothing to nothing; write pause")
	}
	line, err := newSlope(from, to)
	if err != nil {
		return "", slope{}, w.wrong(word, at, err.Error())
	}
	text := func(r Rate) string {
		if r.Unlimited() {
			return "0"
		}
		return r.String()
	}
	return "ramp " + text(from) + ".." + text(to), line, nil
}

// time reads "for TIME", and returns forever where there is none.
func (w *words) time() (time.Duration, error) {
	begin := w.at
	word, at := w.next()
	if word == "" {
		w.at = begin
		return forever, nil
	}
	if word != "for" {
		return 0, w.wrong(word, at, "for TIME, a comma or the end is what follows a rate")
	}
	word, at = w.next()
	d, err := time.ParseDuration(word)
	if err == nil && d <= 0 {
		err = errors.New("not above 0")
	}
	if err != nil {
		return 0, w.wrong(word, at, "this is no time; give one with its unit, such as 60s or 5m")
	}
	return d, nil
}
