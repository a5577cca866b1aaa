// Package promise is the small language in which a run is judged: "p99>200ms", "missing>0", "failed>=1%".
//
// Its nouns:
//
//   - Metric names a number that a command has measured, and says in which unit. A command has a table of them, Metrics.
//   - Condition (parse.go) compares one metric with one value: METRIC OP VALUE. Parse reads it, with the table at hand, and points at
//     the place of what it cannot read.
//   - Unit (unit.go) is what values of a metric are measured in, and which words may stand behind a number.
//   - Report (report.go) is what became of the conditions of a run: each with the value that was found, and the verdict.
//
// A condition does not say whether it is good or bad: --fail-if and --abort-on take one under which a run fails, the search for the highest
// rate one that must hold. Neither is there an and, an or, or arithmetic: several conditions are several flags.
//
// All here is plain values and pure functions: no clock, no I/O, no state. Any goroutine may use it.
package promise

import "strings"

// Metric is a number that can be compared.
type Metric struct {
	Name string // of letters, digits and _
	Unit Unit   // of what Lookup returns
	Of   string // the metric of which a value in percent is a share; empty: it is a share of nothing
	Help string // what it is, for people: a part of a sentence
}

// Metrics is a command's table, in the order in which people should read it. Where a metric has an Of, the table has that too.
type Metrics []Metric

// find returns the metric of that name.
func (m Metrics) find(name string) (Metric, bool) {
	for _, k := range m {
		if k.Name == name {
			return k, true
		}
	}
	return Metric{}, false
}

// names are all names, for an error.
func (m Metrics) names() string {
	names := make([]string, len(m))
	for i, k := range m {
		names[i] = k.Name
	}
	return strings.Join(names, ", ")
}

// Lookup tells the value of a metric, in its unit, and whether it was measured at all.
type Lookup func(metric string) (value float64, measured bool)

// Condition compares a metric with a value. Parse makes it; the zero Condition compares nothing, and is never measured.
type Condition struct {
	text   string
	metric Metric
	op     op
	value  float64 // in the metric's unit, or of share in percent
	share  bool    // of Metric.Of
}

// String is the condition as it was given, without the space around it.
func (c Condition) String() string { return c.text }

// Metric is what is compared.
func (c Condition) Metric() Metric { return c.metric }

// Holds reports whether the condition is true of what lookup tells. Where the metric was not measured, or is to be a share of nothing, that
// is neither true nor false.
func (c Condition) Holds(lookup Lookup) (holds, measured bool) {
	v, measured := c.reading(lookup)
	return measured && c.op.compare(v, c.value), measured
}

// reading is what is compared with the condition's value: the metric, or its share in percent.
func (c Condition) reading(lookup Lookup) (v float64, measured bool) {
	if c.metric.Name == "" {
		return 0, false
	}
	v, measured = lookup(c.metric.Name)
	if measured && c.share {
		var all float64
		if all, measured = lookup(c.metric.Of); all <= 0 {
			return 0, false
		}
		v = 100 * v / all // in this order: 3 of 300 is 1 % exactly
	}
	return v, measured && v == v // NaN was not measured
}

// Say tells what was found, for people: "p99 is 213.4 ms", "failed is 12 (1.2 %)", "p99 was not measured".
func (c Condition) Say(lookup Lookup) string {
	v, measured := lookup(c.metric.Name)
	shown, ok := c.reading(lookup)
	switch {
	case c.metric.Name == "":
		return "nobody knows what it is about"
	case !measured || !ok:
		return c.metric.Name + " was not measured"
	}
	text := c.metric.Name + " is " + c.metric.Unit.Format(v)
	if c.share {
		text += " (" + digits(shown) + " %)"
	}
	return text
}
