package main

import (
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"cometctl/flood"
	"cometctl/internal/promise"
)

// redialOptions are the flags of flood that are about connections which come back.
type redialOptions struct {
	reconnect, backoff string
	respect, resume    bool
}

func (o *redialOptions) add(f *pflag.FlagSet) {
	o.reconnect = "none"
	f.Var(checkedText{&o.reconnect, "when", func(s string) error { _, err := flood.ParseRedial(s); return err }}, "reconnect", "`when` a connection that failed or ended is dialed again: none (never), immediate, backoff, or a time such as 500ms, give or take half of it")
	f.Var(checkedText{&o.backoff, "time..time", func(s string) error { _, _, err := flood.ParseBackoff(s); return err }}, "backoff", fmt.Sprintf("with --reconnect backoff: the most of the first wait and of any, as `TIME..TIME` (default %v..%v)", flood.DefaultBackoffFirst, flood.DefaultBackoffMost))
	f.BoolVar(&o.respect, "respect-retry", false, "with --reconnect: never come back before the server's retry: (event streams) or Retry-After (503, 429) is over; the wait of --reconnect begins then")
	f.BoolVar(&o.resume, "resume", false, "with --reconnect: ask for what came since: Last-Event-ID for event streams, and polls go on from their last answer")
}

// checkedText is a pflag.Value: text that is refused where the flag is read, as soak does for flood.
type checkedText struct {
	text  *string
	kind  string
	check func(string) error
}

// String implements pflag.Value.
func (c checkedText) String() string { return *c.text }

// Type implements pflag.Value.
func (c checkedText) Type() string { return c.kind }

// Set implements pflag.Value.
func (c checkedText) Set(s string) error {
	if err := c.check(s); err != nil {
		return err
	}
	*c.text = s
	return nil
}

// on reports whether connections are dialed again.
func (o *redialOptions) on() bool {
	r, err := o.redial()
	return err == nil && r.On()
}

// redial is what the flags say. Its errors are of usage.
func (o *redialOptions) redial() (flood.Redial, error) {
	r, err := flood.ParseRedial(o.reconnect)
	if err != nil {
		return r, usageError(fmt.Errorf("--reconnect %w", err))
	}
	if o.backoff != "" {
		if r.Policy != flood.PolicyBackoff {
			return r, usageErrorf("--backoff %s is for --reconnect backoff; give that as well", o.backoff)
		}
		if r.First, r.Most, err = flood.ParseBackoff(o.backoff); err != nil {
			return r, usageError(fmt.Errorf("--backoff %w", err))
		}
	}
	switch {
	case o.respect && !r.On():
		return r, usageErrorf("--respect-retry says when to dial again; give --reconnect as well, such as --reconnect backoff")
	case o.resume && !r.On():
		return r, usageErrorf("--resume is for connections that are dialed again; give --reconnect as well, such as --reconnect backoff")
	}
	r.Respect, r.Resume = o.respect, o.resume
	return r, nil
}

// recoveryLines are the rows of the printed result about what was lost at a time and how it came back.
func recoveryLines(w io.Writer, r *flood.Recovery) {
	if r == nil {
		return
	}
	for _, c := range r.Cuts {
		fmt.Fprintf(w, "lost at %.1f s\t%d within %.2f s\n", c.AtS, c.Lost, c.LostMs/1e3)
		fmt.Fprintf(w, "  open again\t%d%s%s%s", c.Back, after("50 %", c.Back50), after("95 %", c.Back95), after("all", c.Back100))
		if c.Back > 0 {
			fmt.Fprintf(w, "; at most %d within 100 ms", c.Peak)
		}
		fmt.Fprintf(w, "\n  messages\t%d missed, %d recovered, %d duplicated\n", c.Missed, c.Recovered, c.Duplicated)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "lost\t%d times more, fewer each\n", r.More)
	}
}

// after is ", 50 % after 0.61 s".
func after(what string, ms *float64) string {
	if ms == nil {
		return fmt.Sprintf(", %s never", what)
	}
	return fmt.Sprintf(", %s after %.2f s", what, *ms/1e3)
}

// recoveryMetrics is what a flood can be judged by that has lost connections and got them back: of the longest, where there were several cuts.
func recoveryMetrics() (m metrics[floodEnd, floodNow]) {
	back := func(share string, of func(flood.Cut) *float64) {
		m = append(m, metric[floodEnd, floodNow]{Metric: promise.Metric{Name: "back_" + share, Unit: promise.Milliseconds,
			Help: "time until " + share + " % of the connections that were lost together were open again; not measured where they are not"},
			found: func(r floodEnd) (float64, bool) { return slowest(r.Recovery, of) }})
	}
	back("50", func(c flood.Cut) *float64 { return c.Back50 })
	back("95", func(c flood.Cut) *float64 { return c.Back95 })
	back("100", func(c flood.Cut) *float64 { return c.Back100 })
	sum := func(name, help string, of func(flood.Cut) uint64) {
		m = append(m, metric[floodEnd, floodNow]{Metric: promise.Metric{Name: name, Of: "sent", Help: help},
			found: func(r floodEnd) (n float64, measured bool) {
				if r.Recovery == nil {
					return 0, false
				}
				for _, c := range r.Recovery.Cuts {
					n += float64(of(c))
				}
				return n, true
			}})
	}
	sum("missed", "messages that none received because connections were lost, known by what came on the next ones", func(c flood.Cut) uint64 { return c.Missed })
	sum("recovered", "messages that were written while their connection was lost and came on the next one", func(c flood.Cut) uint64 { return c.Recovered })
	return m
}

// slowest is the longest time of all cuts; nothing where one of them has none.
func slowest(r *flood.Recovery, of func(flood.Cut) *float64) (ms float64, measured bool) {
	if r == nil {
		return 0, false
	}
	for _, c := range r.Cuts {
		at := of(c)
		if at == nil {
			return 0, false
		}
		ms = max(ms, *at)
	}
	return ms, true
}
