package promise

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// Verdict is what a Report comes to.
type Verdict string

// The verdicts, in words of report.Verdict.
const (
	Pass         Verdict = "pass"         // each condition was measured, and none holds
	Fail         Verdict = "fail"         // one holds
	Inconclusive Verdict = "inconclusive" // none holds, but one was not measured
)

// Report is what became of the conditions under which a run fails. Its JSON keys are an interface: other programs read them.
type Report struct {
	Verdict    Verdict   `json:"verdict"`
	Conditions []Finding `json:"conditions"`        // in the order in which they were given
	Aborted    string    `json:"aborted,omitempty"` // a sentence that says which condition has ended the run; empty: none
}

// Finding is one condition and what was found.
type Finding struct {
	Condition string   `json:"fail_if"`        // as it was given
	Metric    string   `json:"metric"`         // its name
	Value     *float64 `json:"value"`          // of the metric, in Unit; null: it was not measured
	Unit      string   `json:"unit,omitempty"` // "ms", "bytes", "bytes/h", "/s"
	Holds     bool     `json:"holds"`          // the run has failed by it
	Says      string   `json:"says"`           // "p99 is 213.4 ms"
}

// Judge says which of the conditions hold of what lookup tells.
func Judge(conditions []Condition, lookup Lookup) Report {
	r := Report{Verdict: Pass, Conditions: []Finding{}}
	for _, c := range conditions {
		f := Finding{Condition: c.text, Metric: c.metric.Name, Unit: c.metric.Unit.String(), Says: c.Say(lookup)}
		holds, measured := c.Holds(lookup)
		if v, ok := lookup(c.metric.Name); measured && ok {
			f.Value = new(v)
		}
		f.Holds = holds
		switch {
		case holds:
			r.Verdict = Fail
		case !measured && r.Verdict == Pass:
			r.Verdict = Inconclusive
		}
		r.Conditions = append(r.Conditions, f)
	}
	return r
}

// Abort says that a condition has ended the run early, in a full sentence: the run has failed.
func (r *Report) Abort(sentence string) { r.Verdict, r.Aborted = Fail, sentence }

// Reasons are full sentences about the conditions that hold, and about those that cannot be judged.
func (r Report) Reasons() (broken, unknown []string) {
	for _, f := range r.Conditions {
		switch {
		case f.Holds:
			broken = append(broken, fmt.Sprintf("%s holds: %s.", f.Condition, f.Says))
		case f.Value == nil:
			unknown = append(unknown, fmt.Sprintf("%s cannot be judged: %s.", f.Condition, f.Says))
		}
	}
	return broken, unknown
}

// Text is Aborted and Reasons in half a line, for an error; empty for Pass.
func (r Report) Text() string {
	broken, unknown := r.Reasons()
	var out []string
	for _, reason := range slices.Concat([]string{r.Aborted}, broken, unknown) {
		if reason != "" {
			out = append(out, strings.TrimSuffix(reason, "."))
		}
	}
	return strings.Join(out, "; ")
}

// Judges reports whether a condition is about one of these metrics: then it, and no other rule, says what of it is too much. A nil Report judges
// nothing.
func (r *Report) Judges(metrics ...string) bool {
	return r != nil && slices.ContainsFunc(r.Conditions, func(f Finding) bool { return slices.Contains(metrics, f.Metric) })
}

// String is the report for people: the verdict, why the run was ended, and Table.
func (r Report) String() string {
	text := fmt.Sprintf("verdict: %s\n", r.Verdict)
	if r.Aborted != "" {
		text += fmt.Sprintf("  %s\n", r.Aborted)
	}
	return text + r.Table()
}

// Table has a line for each condition with what was found.
func (r Report) Table() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range r.Conditions {
		word := "ok"
		switch {
		case f.Holds:
			word = "fails"
		case f.Value == nil:
			word = "unknown"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", f.Condition, f.Says, word)
	}
	_ = t.Flush() // to memory
	return b.String()
}
