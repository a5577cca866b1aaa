package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"cometctl/internal/promise"
	"cometctl/internal/timing"
)

// abortEvery is how often --abort-on looks at a run.
const abortEvery = time.Second

// promiseOptions are the flags by which a run is judged.
type promiseOptions struct{ failIf, abortOn []string }

// add adds --fail-if and --abort-on.
func (o *promiseOptions) add(f *pflag.FlagSet) {
	o.addFailIf(f)
	f.StringArrayVar(&o.abortOn, "abort-on", nil, "end the run, and fail, as soon as this `condition` holds of what is known so far, such as 'failed>1%'; may be given several times")
}

func (o *promiseOptions) addFailIf(f *pflag.FlagSet) {
	f.StringArrayVar(&o.failIf, "fail-if", nil, "the run fails (exit code 3) under this `condition`, such as 'p99>200ms'; may be given several times")
}

// metric is a number that a command can be judged by: what it is, and how it is found in a result R and, while the command runs, in its
// progress P. What has no live is known at the end only.
type metric[R, P any] struct {
	promise.Metric
	found func(R) (value float64, measured bool)
	live  func(P) (value float64, measured bool)
}

// metrics is a command's table.
type metrics[R, P any] []metric[R, P]

// known is the table as conditions need it; live leaves out what is known at the end only, and shares of it.
func (m metrics[R, P]) known(live bool) promise.Metrics {
	var out promise.Metrics
	for _, k := range m {
		if k.live == nil && live {
			continue
		}
		if live && !slices.ContainsFunc(m, func(of metric[R, P]) bool { return of.Name == k.Of && of.live != nil }) {
			k.Of = ""
		}
		out = append(out, k.Metric)
	}
	return out
}

// of looks metrics up in a result, and so does during in a progress.
func (m metrics[R, P]) of(r R) promise.Lookup {
	return func(name string) (float64, bool) {
		for _, k := range m {
			if k.Name == name && k.found != nil {
				return k.found(r)
			}
		}
		return 0, false
	}
}

func (m metrics[R, P]) during(p P) promise.Lookup {
	return func(name string) (float64, bool) {
		for _, k := range m {
			if k.Name == name && k.live != nil {
				return k.live(p)
			}
		}
		return 0, false
	}
}

// count is the way to a number that is always there.
func count[T any, N ~int | ~int64 | ~uint64](of func(T) N) func(T) (float64, bool) {
	return func(t T) (float64, bool) { return float64(of(t)), true }
}

// always is count for a number that is no whole one.
func always[T any](of func(T) float64) func(T) (float64, bool) {
	return func(t T) (float64, bool) { return of(t), true }
}

// percentiles are the metrics of a distribution of times; live may be nil. Their names begin with prefix.
func percentiles[R, P any](prefix, help string, of func(R) *timing.Percentiles, live func(P) *timing.Percentiles) metrics[R, P] {
	var out metrics[R, P]
	for _, k := range []struct {
		name string
		of   func(*timing.Percentiles) float64
	}{
		{"p50", func(p *timing.Percentiles) float64 { return p.P50 }},
		{"p90", func(p *timing.Percentiles) float64 { return p.P90 }},
		{"p99", func(p *timing.Percentiles) float64 { return p.P99 }},
		{"p999", func(p *timing.Percentiles) float64 { return p.P999 }},
		{"max", func(p *timing.Percentiles) float64 { return p.Max }},
		{"mean", func(p *timing.Percentiles) float64 { return p.Mean }},
	} {
		m := metric[R, P]{Metric: promise.Metric{Name: prefix + k.name, Unit: promise.Milliseconds, Help: help}}
		m.found = func(r R) (float64, bool) { return percentile(of(r), k.of) }
		if live != nil {
			m.live = func(p P) (float64, bool) { return percentile(live(p), k.of) }
		}
		out = append(out, m)
	}
	return out
}

// percentile is one of p, and not measured where there are none.
func percentile(p *timing.Percentiles, of func(*timing.Percentiles) float64) (float64, bool) {
	if p == nil {
		return 0, false
	}
	return of(p), true
}

// promises are the conditions that a run is judged by. They belong to the goroutine that watches it, and after the run to whoever reads
// the result.
type promises[R, P any] struct {
	table           metrics[R, P]
	failIf, abortOn []promise.Condition
	began           time.Time
	aborted         string // a sentence: the condition that has ended the run; empty: none
}

// parsePromises reads the flags' conditions. Its error is wrong usage.
func parsePromises[R, P any](table metrics[R, P], o promiseOptions) (*promises[R, P], error) {
	p := &promises[R, P]{table: table, began: time.Now()}
	for _, text := range o.failIf {
		c, err := promise.Parse(text, table.known(false))
		if err != nil {
			return nil, usageError(fmt.Errorf("--fail-if %w", err))
		}
		p.failIf = append(p.failIf, c)
	}
	for _, text := range o.abortOn {
		c, err := promise.Parse(text, table.known(true))
		if _, late := promise.Parse(text, table.known(false)); err != nil && late == nil {
			err = fmt.Errorf("%w; %s is known at the end only: --fail-if takes it", err, strings.TrimSpace(text))
		}
		if err != nil {
			return nil, usageError(fmt.Errorf("--abort-on %w", err))
		}
		p.abortOn = append(p.abortOn, c)
	}
	return p, nil
}

// any reports whether the run is judged at all.
func (p *promises[R, P]) any() bool { return len(p.failIf)+len(p.abortOn) > 0 }

// watched is how often the run is to tell how it is getting on, where nobody else needs it more often than every; 0 is never.
func (p *promises[R, P]) watched(every time.Duration) time.Duration {
	if len(p.abortOn) == 0 || every > 0 && every < abortEvery {
		return every
	}
	return abortEvery
}

// watch looks at a run that goes on, and calls stop when a condition of --abort-on holds.
func (p *promises[R, P]) watch(now P, stop func()) {
	if p.aborted == "" && p.broken(now) != "" {
		stop()
	}
}

// broken is the sentence about the condition of --abort-on that holds of a run that goes on; empty if none does.
func (p *promises[R, P]) broken(now P) string {
	lookup := p.table.during(now)
	for _, c := range p.abortOn {
		if holds, _ := c.Holds(lookup); holds {
			p.aborted = fmt.Sprintf("After %v the run was ended by %s: %s.", time.Since(p.began).Round(100*time.Millisecond), c, c.Say(lookup))
			return p.aborted
		}
	}
	return ""
}

// report is what became of the conditions; nil where there were none.
func (p *promises[R, P]) report(r R) *promise.Report {
	if !p.any() {
		return nil
	}
	report := promise.Judge(p.failIf, p.table.of(r))
	if p.aborted != "" {
		report.Abort(p.aborted)
	}
	return &report
}

// judges reports whether a condition of --fail-if is about one of these metrics: then it, and no rule of the command's own, says what of it is
// too much.
func (p *promises[R, P]) judges(names ...string) bool {
	return slices.ContainsFunc(p.failIf, func(c promise.Condition) bool { return slices.Contains(names, c.Metric().Name) })
}

// metricNames lists a table's names for a command's help, in lines of a terminal's width.
func metricNames(known promise.Metrics) string {
	line, out := " ", ""
	for i, k := range known {
		word := " " + k.Name
		if i < len(known)-1 {
			word += ","
		}
		if len(line)+len(word) > 88 {
			out, line = out+line+"\n", " "
		}
		line += word
	}
	return out + line
}

// printPromises prints the conditions and what was found, if there are any.
func printPromises(w io.Writer, r *promise.Report) error {
	if r == nil {
		return nil
	}
	_, err := io.WriteString(w, "\n"+r.String())
	return err
}

// promiseError is the error of a run by its report, which may be nil, and own, what is wrong with the run by the command's own rules. A run that was cut
// short, or that shows nothing, is not made a failure by what was found in it; otherwise a condition that holds decides (3), then what is wrong anyway,
// then what was not measured (4).
func promiseError(r *promise.Report, own error) error {
	code := codeOf(own)
	switch {
	case r == nil || r.Verdict == promise.Pass, code == exitInterrupted, code == exitInconclusive:
		return own
	case r.Verdict == promise.Fail && own != nil:
		return &codedError{exitVerdict, fmt.Errorf("the verdict is fail: %s; besides, %w", r.Text(), own)}
	case r.Verdict == promise.Fail:
		return &codedError{exitVerdict, errors.New("the verdict is fail: " + r.Text())}
	case own != nil:
		return own
	}
	return &codedError{exitInconclusive, errors.New("the verdict is inconclusive: " + r.Text())}
}
