package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"cometctl/flood"
	"cometctl/flood/fleet"
	"cometctl/internal/promise"
	"cometctl/internal/timing"
)

// floodView shows the progress. Run calls watch from one goroutine.
type floodView struct {
	line       *live
	json       *json.Encoder // nil: text
	every      time.Duration // how often watch should be called
	statsEvery time.Duration
	phase      flood.Phase
	began      time.Time // of the ramp
	stats      time.Time // of the last Stats, or the last JSON
	intervals  bool      // JSON has the latencies since the last
	interval   [3]timing.Interval

	promises *promises[floodEnd, floodNow]
	stop     func() // ends the run, for a promise that is broken
	rate     rateMeter
}

func newFloodView(w io.Writer, o floodOptions) *floodView {
	v := &floodView{line: newLive(w, 0, time.Now), every: o.statsEvery, statsEvery: o.statsEvery, intervals: o.intervals, began: time.Now()}
	v.stats = v.began
	if o.json {
		v.json = json.NewEncoder(w)
	} else if v.line.terminal() {
		v.every = 250 * time.Millisecond
	}
	return v
}

// watch shows the progress of one process.
func (v *floodView) watch(p flood.Progress) {
	v.show(p, func(p flood.Progress) any { return p })
}

// show shows the progress p; all makes of it what JSON shows.
func (v *floodView) show(p flood.Progress, all func(flood.Progress) any) {
	began := p.Phase != v.phase
	v.phase = p.Phase
	v.rate.watch(p, time.Now())
	if p.Phase != flood.Drain {
		v.promises.watch(floodNow{p, v.rate}, v.stop)
	}
	// A line falls due with the tick that comes closest; the beginning of the hold is worth one of its own.
	due := !began && time.Since(v.stats) > v.statsEvery-v.promises.watched(v.every)/2 || began && p.Phase == flood.Hold
	if v.json != nil {
		if mine := v.promises.watched(v.every) == v.every; mine || began || due && v.statsEvery > 0 {
			v.stats = time.Now()
			if v.intervals {
				p.Since(&v.interval)
			}
			_ = v.json.Encode(all(p)) // nobody can be told that stderr is gone
		}
		return
	}
	if due && v.statsEvery > 0 {
		v.stats = time.Now()
		v.line.println(fmt.Sprintf("Stats: {%d,%d,%d}", p.Open, p.Failed+p.ClosedEarly, p.Chunks))
	}
	if v.line.terminal() {
		v.line.update(string(p.Phase), v.text(p))
	}
}

func (v *floodView) text(p flood.Progress) string {
	t := stageText(p)
	if lost := p.Failed + p.ClosedEarly; lost > 0 {
		t += fmt.Sprintf(", %d failed or ended", lost)
	}
	if p.Phase == flood.Ramp && p.Stage == "" {
		rate := float64(p.Open) / max(time.Since(v.began).Seconds(), 1e-3)
		t += fmt.Sprintf(", %.0f/s", rate)
		if left := p.Asked - p.Open - p.Failed - p.ClosedEarly; rate >= 1 && left >= 0 {
			t += fmt.Sprintf(", %v to go", (time.Duration(float64(left)/rate) * time.Second).Round(time.Second))
		}
	}
	if p.Reconnects > 0 {
		t += fmt.Sprintf(", %d opened again", p.Reconnects)
	}
	if p.Messages > 0 {
		t += fmt.Sprintf(", %d messages", p.Messages)
	}
	if l := p.Latency; l != nil {
		t += fmt.Sprintf(", latency p50 %.2f p99 %.2f ms", l.P50, l.P99)
	}
	return t
}

// beside is what was asked for, beside what became of it; 0 is nothing.
func beside(asked float64, format string) string {
	if asked == 0 {
		return ""
	}
	return fmt.Sprintf(" (asked: "+format+")", asked)
}

// printFlood prints the result, the workers where there were several, and what became of the promises, if there were any.
func printFlood(w io.Writer, r flood.Result, workers []fleet.Worker, judged *promise.Report, clock *clockResult, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			flood.Result
			Workers  []fleet.Worker  `json:"workers,omitempty"`
			Promises *promise.Report `json:"promises,omitempty"`
			Clock    *clockResult    `json:"clock,omitempty"`
		}{r, workers, judged, clock})
	}
	if err := printBottleneck(w, r.Client); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if workers != nil {
		fleetLines(t, workers)
	}
	fmt.Fprintf(t, "asked\t%d\n", r.Asked)
	fmt.Fprintf(t, "open\t%d\n", r.Open)
	fmt.Fprintf(t, "failed\t%d%s\n", r.Failed, causes(r.FailedBy))
	fmt.Fprintf(t, "closed early\t%d%s\n", r.ClosedEarly, causes(r.ClosedBy))
	if r.Reconnects > 0 {
		fmt.Fprintf(t, "opened again\t%d\n", r.Reconnects)
	}
	shapeLines(t, r)
	refusalLines(t, r.Refusals)
	recoveryLines(t, r.Recovery)
	mannerLines(t, r.Misbehaving)
	fmt.Fprintf(t, "opened per second\t%.0f%s\n", r.OpenPerS, beside(r.OpenAsked, "%.4g"))
	fmt.Fprintf(t, "held, s\t%.1f%s\n", r.Hold, beside(r.HoldAsked, "%.4g"))
	fmt.Fprintf(t, "bytes\t%d\n", r.Bytes)
	fmt.Fprintf(t, "chunks\t%d\n", r.Chunks)
	fmt.Fprintf(t, "messages\t%d\n", r.Messages)
	if r.Messages > 0 {
		fmt.Fprintf(t, "missing\t%d\nduplicated\t%d\nreordered\t%d\n", r.Missing, r.Duplicated, r.Reordered)
	}
	if r.Corrupt > 0 {
		fmt.Fprintf(t, "corrupt\t%d\n", r.Corrupt)
	}
	if r.Late > 0 {
		fmt.Fprintf(t, "late\t%d\n", r.Late)
	}
	floodRuns(t, r.Runs)
	fmt.Fprintf(t, "\n\tp50\tp90\tp99\tp99.9\tmax\n")
	for _, row := range []struct {
		name string
		p    *timing.Percentiles
	}{{"connect, ms", r.Connect}, {"tls, ms", r.TLS}, {"first byte, ms", r.TTFB}, {"latency, ms", r.Latency}, {"  send lag", r.Lag}, {"  service", r.Service}} {
		if row.p == nil && row.name == "tls, ms" {
			continue
		}
		if p := row.p; p != nil {
			fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\n", row.name, p.P50, p.P90, p.P99, p.P999, p.Max)
		} else if !strings.HasPrefix(row.name, " ") {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\n", row.name)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := rampTable(w, r); err != nil {
		return err
	}
	if err := clock.print(w); err != nil {
		return err
	}
	return printPromises(w, judged)
}

// floodRuns are the rows about the runs that messages came from, where that is not one run that counts.
func floodRuns(w io.Writer, runs []flood.Run) {
	if len(runs) == 0 || len(runs) == 1 && runs[0].Counted {
		return
	}
	fmt.Fprintf(w, "runs\t%d\n", len(runs))
	for _, r := range runs {
		name, not := "of "+r.Start.Format(time.DateTime), ""
		if r.Tag == "0" {
			name = "others"
		}
		if !r.Counted {
			not = ", not counted"
		}
		fmt.Fprintf(w, "  %s\t%d messages, %d missing%s\n", name, r.Messages, r.Missing, not)
	}
}
