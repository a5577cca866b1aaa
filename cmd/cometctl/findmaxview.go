package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"cometctl/internal/findmax"
)

// findMaxView shows how a search is getting on: a line for each trial, and on a terminal what goes on.
type findMaxView struct {
	line *live
	json *json.Encoder // nil: text
}

func newFindMaxView(w io.Writer, asJSON bool) *findMaxView {
	v := &findMaxView{line: newLive(w, 10*time.Second, time.Now)}
	if asJSON {
		v.json = json.NewEncoder(w)
	}
	return v
}

// trial shows a trial that is over.
func (v *findMaxView) trial(n int, t findmax.Trial) {
	if v.json != nil {
		_ = v.json.Encode(t) // nobody can be told that stderr is gone
		return
	}
	v.line.println(fmt.Sprintf("trial %d: %d/s %s: %s", n+1, t.Asked, t.Outcome, t.Why))
}

// heard shows what the receiver has just said.
func (v *findMaxView) heard(h findmax.Heard, n int, rate uint64) {
	switch {
	case v.json != nil || !v.line.terminal():
	case rate == 0:
		v.line.update("receiver", fmt.Sprintf("%d of %d open", h.Open, h.Asked))
	default:
		v.line.update(fmt.Sprintf("trial %d", n+1), fmt.Sprintf("%d/s, %d messages received in all", rate, h.Messages))
	}
}

// whyBeyond is what the last trial at the rate that did not hold has shown.
func whyBeyond(r findmax.Result) string {
	for _, t := range slices.Backward(r.Trials) {
		if t.Asked == r.Beyond && t.Outcome != findmax.Held && (t.Outcome == findmax.Limited) == r.ClientsLimit {
			return t.Why
		}
	}
	return "it did not hold"
}

// printFindMax prints what a search has found.
func printFindMax(w io.Writer, r findmax.Result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	var b strings.Builder
	if r.ClientsLimit {
		fmt.Fprintf(&b, "INCONCLUSIVE: the client was the limit, not the server\n  - at %d/s: %s\n\n", r.Beyond, whyBeyond(r))
	}
	promises := strings.Join(r.Promises, " and ")
	if r.Rate == 0 {
		fmt.Fprintf(&b, "max         none: no rate that was tried keeps %s\n", promises)
	} else {
		atLeast := ""
		if r.ClientsLimit || r.Beyond == 0 {
			atLeast = "at least "
		}
		fmt.Fprintf(&b, "max         %s%d/s keeps %s\n", atLeast, r.Rate, promises)
		fmt.Fprintf(&b, "confidence  it held in %d of %d trials of %v: a further one would hold with a probability of %.0f %% or more (95 %% confidence, Clopper-Pearson)\n",
			r.Held, r.Repeats, seconds(r.Step), 100*r.Surely)
	}
	switch {
	case r.Beyond == 0 && r.Rate > 0:
		fmt.Fprintf(&b, "limit       not found: no higher rate was tried\n")
	case r.Beyond > 0:
		fmt.Fprintf(&b, "limit       below %d/s, where %d of %d trials did not hold: %s\n", r.Beyond, r.BeyondFailed, r.BeyondRepeats, whyBeyond(r))
	}
	b.WriteString("\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "asked/s\tsent/s\treceived\tmissing\tp50 ms\tp99 ms\tlag p99 ms\tkept waiting\toutcome\t")
	for _, x := range r.Trials {
		p50, p99 := "-", "-"
		if l := x.Latency; l != nil {
			p50, p99 = fmt.Sprintf("%.2f", l.P50), fmt.Sprintf("%.2f", l.P99)
		}
		fmt.Fprintf(t, "%d\t%.1f\t%d\t%d\t%s\t%s\t%.2f\t%.0f %%\t%s\t\n", x.Asked, x.Rate, x.Received, x.Missing, p50, p99, x.Lag.P99, 100*x.Blocked, x.Outcome)
	}
	t.Flush()
	_, err := io.WriteString(w, b.String())
	return err
}
