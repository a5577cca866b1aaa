package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cometctl/internal/pace"
	"cometctl/internal/rlimit"
	"cometctl/internal/soak"
	"cometctl/internal/soak/chaos"
	"cometctl/report"
)

// chaosOptions are the flags of chaos that are not in its Config.
type chaosOptions struct {
	chaos.Config
	rate   string
	faults string
	json   bool
	judge  promiseOptions
}

func newChaosCmd(s streams) *cobra.Command {
	var o chaosOptions
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Kill, stop and cut off pieces of a cluster under traffic, and account for every message",
		Long: `chaos starts a cluster on this machine: at each of --sites a NATS server, a front, and a
parent with two workers; a flood of two processes over all of them; and for each fault a
generator that publishes to NATS. Then it lets one thing go wrong after the other, repairs
it, and waits until everything is whole again. The faults:

  ` + strings.Join(chaos.Faults(), ", ") + `

Each message that was due is in exactly one bin: delivered, offline, dropped, gone, overrun,
unpublished, unsent, or lost in transit, with the due times and the cause. After each fault
everything must be whole within 5 s of the repair, every session live where its connection
is, no message have come twice, and the memory of what lived through it be what it was.

What was killed is started again on the same addresses after a second. The partition needs
root and ip(8): the run then makes network namespaces of its own and removes them; without,
it is skipped. chaos leaves a folder with chaos.json, every piece's log and result, the memory
log and its picture, and prints a table.

The verdict is pass, fail (exit code 3) or inconclusive (4), as of soak. --fail-if 'lost>1%' adds
a condition under which it is fail, --abort-on 'duplicated>0' one that is looked at each second
and ends the run. The metrics, with shares in percent of due:

` + metricNames(chaosMetrics().known(false)) + `

Linux only.`,
		Example: `  # everything, about three minutes
  cometctl chaos

  # two faults, few connections
  cometctl chaos --conns 100 --faults kill-front,kill-nats

  # a longer cut, and the result for a program
  sudo cometctl chaos --faults partition --outage 30s --json -o cut`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runChaos(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Conns, "conns", 2000, "connections to open, over all fronts")
	f.StringVar(&o.rate, "rate", "1000", "`rate` of messages, all connections together: 1000, 500/s, 30/m")
	f.IntVar(&o.Sites, "sites", 3, "NATS servers, each with a front and a parent of two workers")
	f.StringVar(&o.faults, "faults", "all", "`list` of faults, in their order")
	f.DurationVar(&o.Calm, "calm", 2*time.Second, "how long to send before each fault, and after everything is whole again")
	f.DurationVar(&o.Outage, "outage", 10*time.Second, "how long a process stands still, or a network is cut")
	f.StringVarP(&o.Dir, "output", "o", "", "folder to write, absent or empty (default chaos-YYYYmmdd-HHMMSS)")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	o.judge.add(f)
	return cmd
}

// complete checks the flags' values and fills in the rest of the Config.
func (o *chaosOptions) complete(s streams) (err error) {
	if o.Config.Faults, err = chaos.ParseFaults(o.faults); err != nil {
		return usageErrorf("--faults %s: %w", o.faults, err)
	}
	rate, err := pace.Parse(o.rate)
	if err != nil {
		return usageErrorf("--rate %w", err)
	}
	if o.Rate = rate.PerSecond(); o.Rate < 1 {
		return usageErrorf("--rate %s: give 1/s or more: nothing is known of a fault under which nobody sends", o.rate)
	}
	if o.Outage <= 0 {
		return usageErrorf("--outage %s: give a time of more than zero, such as 10s", o.Outage)
	}
	if o.Calm <= 0 {
		return usageErrorf("--calm %s: give a time of more than zero, such as 2s", o.Calm)
	}
	judge, err := parsePromises(chaosMetrics(), o.judge)
	if err != nil {
		return err
	}
	o.FailIf, o.Abort = judge.failIf, judge.broken
	if o.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("finding the program to start: %w", err)
	}
	if o.Dir == "" {
		o.Dir = time.Now().Format("chaos-20060102-150405")
	}
	o.Version, o.Quit = version(), s.quit
	return nil
}

// runChaos checks the flags' values, runs, and prints what was found.
func runChaos(ctx context.Context, s streams, o chaosOptions) error {
	if err := o.complete(s); err != nil {
		return err
	}
	if err := chaos.Preflight(o.Config); err != nil {
		return usageError(err)
	}
	line := newLive(s.err, soakEvery, time.Now)
	o.Progress = func(p chaos.Progress) { line.update(p.Slot, chaosText(p)) }
	found, err := chaos.Run(ctx, o.Config)
	line.done()
	var short *rlimit.Shortage
	switch {
	case errors.Is(err, soak.ErrNotEmpty), errors.As(err, &short):
		return usageError(err)
	case found.Verdict == "":
		return err
	}
	printed := o.print(s, found)
	if err != nil && !errors.Is(err, soak.ErrInterrupted) {
		return errors.Join(printed, fmt.Errorf("%w; the folder is not whole", err))
	}
	return errors.Join(printed, verdictError(report.Summary{Verdict: found.Verdict}, o.Dir, err))
}

// print prints what was found to stdout, and where the folder is to stderr.
func (o chaosOptions) print(s streams, found report.Chaos) error {
	fmt.Fprintf(s.err, "folder: %s\n", o.Dir)
	if !o.json {
		return report.ChaosTable(s.out, found)
	}
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	return e.Encode(found)
}

// chaosText is the live line behind the name of the fault.
func chaosText(p chaos.Progress) string {
	return fmt.Sprintf("%d/%d  %d/%d conns  %d msgs  %s", p.Number, p.Of, p.Open, p.Asked, p.Messages, p.Step)
}
