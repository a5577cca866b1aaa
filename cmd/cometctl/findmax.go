package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cometctl/internal/findmax"
	"cometctl/internal/pace"
	"cometctl/internal/promise"
	"cometctl/internal/timing"
	"cometctl/msggen"
)

// findMaxOptions are the flags of msggen's search for the highest rate.
type findMaxOptions struct {
	conditions   []string
	receive      []string
	most         string
	trial        time.Duration
	settle       time.Duration
	precision    string
	repeats      int
	floodOptions []string // what stands behind --

	changed func(flag string) bool
}

func (o *findMaxOptions) add(f *pflag.FlagSet) {
	o.changed = f.Changed
	f.StringArrayVar(&o.conditions, "find-max", nil, "search for the highest rate at which this `promise` holds, such as 'p99<100ms', beginning at --rate; may be given several times")
	f.StringArrayVar(&o.receive, "receive", nil, "with --find-max: the `URLs` that a flood listens on meanwhile, as 'cometctl flood' takes them (default those of the bundled server); its options stand behind --")
	f.StringVar(&o.most, "find-to", "0", "with --find-max: the highest `rate` that is tried; 0 is no limit")
	f.DurationVar(&o.trial, "trial", 5*time.Second, "with --find-max: how long each rate is sent at a time")
	f.DurationVar(&o.settle, "settle", 2*time.Second, "with --find-max: after a trial, what has not come when nothing came for this `time` is missing")
	f.StringVar(&o.precision, "precision", "5%", "with --find-max: the search ends when the rate that holds and the one that does not differ by this `share`")
	f.IntVar(&o.repeats, "repeats", 5, "with --find-max: trials of the rate that is told in the end, at least")
}

// asked tells whether a search is.
func (o *findMaxOptions) asked() bool { return len(o.conditions) > 0 }

// unasked refuses what only a search has.
func (o *findMaxOptions) unasked() error {
	for _, name := range []string{"receive", "find-to", "trial", "settle", "precision", "repeats"} {
		if o.changed(name) {
			return fmt.Errorf("--%s is for the search for the highest rate; give --find-max, such as --find-max 'p99<100ms'", name)
		}
	}
	return nil
}

// msggenArgs refuses arguments, but for the options of the search's receiver, which stand behind --.
func msggenArgs(cmd *cobra.Command, args []string) error {
	behind := cmd.ArgsLenAtDash()
	if len(args) == 0 || behind == 0 && cmd.Flags().Changed("find-max") {
		return nil
	}
	if behind == 0 {
		return fmt.Errorf("%q behind -- is an option of the flood that --find-max starts; there is none without it", args[0])
	}
	return noArgs(cmd, args)
}

// findMaxMetrics is what a trial can be judged by.
func findMaxMetrics() metrics[findmax.Trial, struct{}] {
	type trial = findmax.Trial
	m := percentiles[trial, struct{}]("", "latency of the trial's messages, from due to received", func(t trial) *timing.Percentiles { return t.Latency }, nil)
	m = append(m, percentiles[trial, struct{}]("lag_", "from due to written: the generator's part, unless the server kept it waiting",
		func(t trial) *timing.Percentiles { return &t.Lag }, nil)...)
	m = append(m, percentiles[trial, struct{}]("service_", "from written to received: the server's part", func(t trial) *timing.Percentiles { return t.Service }, nil)...)
	one := func(name, of, help string, found func(trial) uint64) {
		m = append(m, metric[trial, struct{}]{Metric: promise.Metric{Name: name, Of: of, Help: help}, found: count(found)})
	}
	one("sent", "", "messages sent in the trial", func(t trial) uint64 { return t.Sent.Sent })
	one("received", "sent", "messages received, each counted once", func(t trial) uint64 { return t.Received })
	one("missing", "sent", "messages sent and not received when nothing more came", func(t trial) uint64 { return t.Missing })
	one("duplicated", "sent", "messages that came again", func(t trial) uint64 { return t.Duplicated })
	one("reordered", "sent", "messages that came after one of their successors", func(t trial) uint64 { return t.Reordered })
	one("corrupt", "sent", "stamps that were spoilt on their way", func(t trial) uint64 { return t.Corrupt })
	one("unsent", "sent", "messages that were due and never sent", func(t trial) uint64 { return t.Unsent })
	one("accepted", "sent", "messages confirmed by the server's answers", func(t trial) uint64 { return t.Accepted })
	one("bad", "sent", "messages refused by the server's answers", func(t trial) uint64 { return t.Bad })
	one("unconfirmed", "sent", "messages written and never answered for", func(t trial) uint64 { return t.Unconfirmed })
	one("asked", "", "connections that the receiver was asked for", func(t trial) uint64 { return uint64(t.Connections) })
	one("open", "asked", "connections that the receiver held at the end of the trial", func(t trial) uint64 { return uint64(t.Open) })
	one("failed", "asked", "connections that could not be opened again during the trial", func(t trial) uint64 { return uint64(t.Failed) })
	one("closed_early", "asked", "connections that ended during the trial", func(t trial) uint64 { return uint64(t.ClosedEarly) })
	return append(m, metric[trial, struct{}]{Metric: promise.Metric{Name: "rate", Unit: promise.PerSecond, Help: "messages sent a second"},
		found: func(t trial) (float64, bool) { return t.Rate, true }})
}

// fewLost is what must hold as well where no promise speaks of missing messages: a server that throws them away is soon fast.
const fewLost = "missing<=0.1%"

// config is the search for these flags and a generator that begins as cfg says.
func (o *findMaxOptions) config(cfg msggen.Config, interval bool) (f findmax.Config, err error) {
	table := findMaxMetrics()
	f.Lookup = table.of
	lost := false
	for _, text := range o.conditions {
		c, err := promise.Parse(text, table.known(false))
		if err != nil {
			return f, fmt.Errorf("--find-max %w", err)
		}
		lost = lost || c.Metric().Name == "missing" || c.Metric().Name == "received"
		f.Promises = append(f.Promises, c)
	}
	if !lost {
		c, err := promise.Parse(fewLost, table.known(false))
		if err != nil {
			return f, err
		}
		f.Promises = append(f.Promises, c)
	}
	switch {
	case interval, len(cfg.Steps.All()) > 0, cfg.Rate.PerSecond() < 1:
		return f, errors.New("--find-max begins at one --rate, of 1/s at least, and goes on from there: give one such as 1000, and no steps or --interval")
	case cfg.Count > 0 || cfg.Duration > 0:
		return f, errors.New("--find-max ends when it has found the rate: --trial is how long each rate is sent, --count and --duration are for a run at one rate")
	case o.trial < time.Second:
		return f, fmt.Errorf("--trial %v: give a second at least, or chance decides", o.trial)
	case o.settle < 500*time.Millisecond:
		return f, fmt.Errorf("--settle %v: give 500ms at least, as the receiver tells what came every 100ms", o.settle)
	case o.repeats < 1 || o.repeats > 100:
		return f, fmt.Errorf("--repeats %d: give 1 to 100", o.repeats)
	}
	f.Step, f.Settle, f.Plan.Repeats, f.Plan.From = o.trial, o.settle, o.repeats, uint64(cfg.Rate.PerSecond())
	most, err := pace.Parse(o.most)
	if err != nil {
		return f, fmt.Errorf("--find-to %w", err)
	}
	f.Plan.To = uint64(most.PerSecond())
	if f.Plan.Precision, err = parsePrecision(o.precision); err != nil {
		return f, fmt.Errorf("--precision %w", err)
	}
	f.Workers, f.Loops = cfg.Workers, o.loops()
	f.Receiver, err = o.receiver(cfg)
	return f, err
}

// parsePrecision reads a share such as 5%.
func parsePrecision(text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(n >= 0.1 && n <= 100) {
		return 0, fmt.Errorf("%q: give a share of 0.1%% to 100%%", text)
	}
	return n / 100, nil
}

// loops is how many loops a process of the flood has, as its options say, and 0 where it has none: its engine is made of goroutines, or it will
// refuse the number anyway.
func (o *findMaxOptions) loops() int {
	f := pflag.NewFlagSet("flood", pflag.ContinueOnError)
	var flood floodOptions
	flood.add(f)
	if f.Parse(o.floodOptions) != nil || flood.engine == "goroutine" {
		return 0
	}
	if slices.ContainsFunc(slices.Concat(o.receive, f.Args()), func(url string) bool {
		return strings.HasPrefix(url, "https:") || strings.HasPrefix(url, "wss:")
	}) {
		return 0
	}
	return max(flood.loops, 0)
}

// receiver is the command line of the flood.
func (o *findMaxOptions) receiver(cfg msggen.Config) ([]string, error) {
	urls := o.receive
	switch {
	case len(urls) > 0:
	case o.changed("to"):
		return nil, fmt.Errorf("--find-max with --to %q: where do the messages arrive? Give --receive with URLs for 'cometctl flood', such as 'http://127.0.0.1:8010/test/{1..%d}'", cfg.To, cfg.IDs)
	default:
		urls = []string{fmt.Sprintf("http://127.0.0.1:8000/test/{1..%d}", cfg.IDs)}
	}
	args := append([]string{"flood", "--json", "--intervals", "--stats-every", "100ms"}, urls...)
	if cfg.AllowRemote {
		args = append(args, "--allow-remote")
	}
	return append(args, o.floodOptions...), nil
}

// runFindMax searches, and prints what was found.
func runFindMax(ctx context.Context, s streams, o msggenOptions) error {
	cfg, err := o.config()
	if err != nil {
		return usageError(err)
	}
	for name, why := range map[string]string{
		"fail-if": "judges a run at one rate; what --find-max looks for is its own condition", "abort-on": "ends a run at one rate; each trial of --find-max is short",
		"hdr": "logs a run at one rate; behind --, it is the receiver's, which has all trials", "by-due": "counts a run at one rate",
		"clock": "is for a receiver on another machine; that of --find-max runs here"} {
		if o.findMax.changed(name) {
			return usageErrorf("--%s %s: leave it out", name, why)
		}
	}
	search, err := o.findMax.config(cfg, o.interval != "")
	if err != nil {
		return usageError(err)
	}
	if search.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("finding the program to start: %w", err)
	}
	search.Send = func(ctx context.Context, rate uint64, n int, step time.Duration) (findmax.Sent, error) {
		return sendTrial(ctx, cfg, rate, n, step, o.findMax.settle)
	}
	show := newFindMaxView(s.err, o.json)
	search.Watch, search.Hear = show.trial, show.heard
	res, err := findmax.Run(ctx, search)
	show.line.done()
	if err != nil && len(res.Trials) == 0 {
		return findMaxError(ctx, res, err)
	}
	if ctx.Err() != nil && len(res.Trials) == 0 {
		return errInterrupted
	}
	if err := printFindMax(s.out, res, o.json); err != nil {
		return err
	}
	return findMaxError(ctx, res, err)
}

// sendTrial is one trial of the generator: a run of msggen, with other random ids than the one before.
func sendTrial(ctx context.Context, cfg msggen.Config, rate uint64, n int, step, grace time.Duration) (findmax.Sent, error) {
	cfg.Rate, cfg.Duration, cfg.Grace = pace.Rate{Events: rate, Per: time.Second}, step, grace
	cfg.Seed += uint64(n)
	r, err := msggen.Run(ctx, cfg)
	if err != nil && !errors.Is(err, msggen.ErrIncomplete) {
		return findmax.Sent{}, err
	}
	return findmax.Sent{Rate: r.Rate, Sent: r.Sent, Accepted: r.Accepted, Bad: r.Bad, Unconfirmed: r.Unconfirmed, Unsent: r.Unsent, Lag: r.Lag,
		Blocked: min(r.Blocked/(step.Seconds()*float64(max(cfg.Workers, 1))), 1), Bottleneck: r.Client.Bottleneck}, nil
}

// findMaxError is the command's error: the search's own, an interruption, that nothing holds (3), or that it was not the server that set the limit (4).
func findMaxError(ctx context.Context, r findmax.Result, err error) error {
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case errors.Is(err, findmax.ErrUnmeasured):
		return &codedError{exitInconclusive, err}
	case err != nil:
		return err
	case r.ClientsLimit:
		return &codedError{exitInconclusive, fmt.Errorf("the client was the limit, not the server: at %d/s %s", r.Beyond, whyBeyond(r))}
	case r.Rate == 0:
		return &codedError{exitVerdict, fmt.Errorf("no rate holds: at %d/s %s", r.Beyond, whyBeyond(r))}
	}
	return nil
}
