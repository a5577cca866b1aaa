package promise

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// op compares two numbers.
type op string

// ops are the operators; one that begins like another stands before it.
var ops = [...]op{"<=", ">=", "==", "!=", "<", ">"}

func (o op) compare(a, b float64) bool {
	switch o {
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=":
		return a >= b
	case "==":
		return a == b
	}
	return a != b
}

// Parse reads METRIC OP VALUE: a name of known; one of < <= > >= == !=; and a decimal number with the unit that the metric asks for, or %
// for a share of what the metric is a part of. There may be spaces around each. The error points at the place of what it cannot read, counted in
// characters from 1, and says the way out; of a metric that nobody knows it lists those that there are.
func Parse(text string, known Metrics) (Condition, error) {
	p := parser{all: strings.TrimSpace(text)}
	p.rest = p.all
	c := Condition{text: p.all}
	name := p.take(isName)
	if name == "" {
		return c, p.wrong(p.rest, "no metric; give METRIC OP VALUE, such as "+example(known))
	}
	var ok bool
	if c.metric, ok = known.find(strings.Replace(name, "p99.9", "p999", 1)); !ok { // as results write it for people, and as their JSON does
		p.rest = p.all
		return c, p.wrong(name, "no metric here; there are "+known.names())
	}
	p.space()
	if c.op = p.operator(); c.op == "" {
		return c, p.wrong(p.rest, "no comparison; after the metric stands one of < <= > >= == !=")
	}
	p.space()
	return c, p.value(&c)
}

// example is a condition of this table.
func example(known Metrics) string {
	if len(known) == 0 {
		return "p99>200ms"
	}
	value := map[Unit]string{Milliseconds: "200ms", Bytes: "1KiB", BytesPerHour: "1MiB/h", PerSecond: "1000/s", Fraction: "10%"}[known[0].Unit]
	if value == "" {
		value = "0"
	}
	return known[0].Name + ">" + value
}

// parser reads a condition from left to right.
type parser struct {
	all, rest string // rest is the end of all
}

func isName(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '.'
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// take reads as many bytes as are so.
func (p *parser) take(is func(byte) bool) string {
	n := 0
	for n < len(p.rest) && is(p.rest[n]) {
		n++
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *parser) operator() op {
	for _, o := range ops {
		if rest, ok := strings.CutPrefix(p.rest, string(o)); ok {
			p.rest = rest
			return o
		}
	}
	return ""
}

// value reads the number and its unit.
func (p *parser) value(c *Condition) error {
	words, want := c.metric.Unit.words()
	if c.metric.Of != "" {
		want += fmt.Sprintf(", or a share of %s, such as 1%%", c.metric.Of)
	}
	begin := p.rest
	number, ok := p.number()
	if !ok {
		p.rest = begin
		return p.wrong(begin, "no value; give "+want)
	}
	p.space()
	if p.rest == "%" && c.metric.Of != "" {
		c.value, c.share = number, true
		return nil
	}
	for _, w := range words {
		if p.rest == w.word {
			c.value = number * w.times / w.by
			return nil
		}
	}
	if p.rest == "" && number == 0 { // nothing is nothing in every unit
		return nil
	}
	if p.rest == "" {
		p.rest = begin
		return p.wrong(begin, "a number without a unit; give "+want)
	}
	return p.wrong(p.rest, "no unit of "+c.metric.Name+"; give "+want)
}

// number reads a decimal number, with or without a sign and digits after a point. Exponents, hexadecimal digits and words that strconv would
// take are no numbers here.
func (p *parser) number() (float64, bool) {
	begin := p.rest
	if strings.HasPrefix(p.rest, "-") || strings.HasPrefix(p.rest, "+") {
		p.rest = p.rest[1:]
	}
	whole := p.take(isDigit)
	if whole == "" {
		return 0, false
	}
	if strings.HasPrefix(p.rest, ".") {
		p.rest = p.rest[1:]
		if p.take(isDigit) == "" {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(begin[:len(begin)-len(p.rest)], 64)
	return v, err == nil && math.Abs(v) <= 1e18
}

// wrong says what is wrong with the word that p has come to.
func (p *parser) wrong(word, why string) error {
	at := 1 + len([]rune(p.all[:len(p.all)-len(p.rest)]))
	if word == "" {
		return fmt.Errorf("%q ends at %d with %s", p.all, at, why)
	}
	return fmt.Errorf("%q: %q at %d is %s", p.all, word, at, why)
}
