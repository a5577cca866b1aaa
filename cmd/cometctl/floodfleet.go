package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cometctl/flood"
	"cometctl/flood/fleet"
	"cometctl/internal/broker"
	"cometctl/internal/netloop"
)

// fleetOptions are the flags of flood that are about several processes.
type fleetOptions struct {
	workers  string
	machines int
	join     string
	listen   string
	urls     []string
	nats     natsOptions
}

func (o *fleetOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.workers, "workers", "1", "processes that share the URLs: a `number`, or auto for as many as descriptors ask for, and processors where there are many URLs (with --machines: 1)")
	f.IntVar(&o.machines, "machines", 0, "wait for so many workers from elsewhere to --join, beside those of --workers (which may be 0 then)")
	f.StringVar(&o.join, "join", "", "take a share of the flood that is coordinated at this NATS `URL`, such as nats://a:4222; it has the URLs and all that is about them")
	f.StringVar(&o.listen, "nats-listen", "127.0.0.1:0", "with --workers or --machines: `address` of the NATS server over which they work together; port 0 picks one")
	f.StringSliceVar(&o.urls, "nats", nil, "with --workers or --machines: work together over these NATS servers instead, such as nats://a:4222,nats://b:4222")
	o.nats.add(f)
}

// joinFlags are the flags that --join goes with: they are about this machine. Everything else is the coordinator's to say.
var joinFlags = []string{"join", "allow-remote", "source", "engine", "loops", "stats-every", "json", "nats-user", "nats-password", "nats-password-file",
	"nats-creds", "nats-ca", "nats-cert", "nats-key"}

// floodArgs wants sources of URLs, but none with --join.
func floodArgs(cmd *cobra.Command, args []string) error {
	if !cmd.Flags().Changed("join") {
		return someArgs("a file of URLs, a URL, a template such as 'http://127.0.0.1:8000/test/{1..10000}', or - for stdin")(cmd, args)
	}
	if len(args) > 0 {
		return fmt.Errorf("%q is one argument too many: with --join, the URLs come from the coordinator", args[0])
	}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && !slices.Contains(joinFlags, f.Name) {
			err = fmt.Errorf("--%s is the coordinator's to say; with --join, give what is about this machine only: --allow-remote, --source, --engine, --loops", f.Name)
		}
	})
	return err
}

// asked reports whether several processes are wanted, and how many of them here.
func (o *fleetOptions) asked(urls int) (local int, asked bool, err error) {
	if o.workers == "auto" && o.machines > 0 {
		local = 1 // what does not fit is told when all are there
	} else if o.workers == "auto" {
		if local, err = fleet.Auto(urls); err != nil {
			return 0, false, err
		}
	} else if local, err = strconv.Atoi(o.workers); err != nil || local < 0 || local == 0 && o.machines == 0 {
		return 0, false, usageErrorf("--workers %s: give a number of processes, or auto", o.workers)
	}
	asked = local > 1 || o.machines > 0
	switch {
	case o.machines < 0:
		return 0, false, usageErrorf("--machines %d: give the number of workers that will --join", o.machines)
	case !asked && (len(o.urls) > 0 || o.nats.given()) && o.workers != "auto":
		return 0, false, usageErrorf("NATS is for several processes; give --workers or --machines as well")
	}
	return local, asked, nil
}

// runFleet floods with several processes.
func runFleet(ctx context.Context, o floodOptions, ask flood.Ask, cfg flood.Config, local int, show *floodView) (fleet.Result, error) {
	if !cfg.Ramp.None() || !cfg.Arrivals.Unlimited() || !cfg.Lifetime.None() {
		return fleet.Result{}, usageErrorf("--ramp, --arrivals and --lifetime are for one process; leave out --workers and --machines")
	}
	fc := fleet.Config{Flood: cfg, Ask: ask, Workers: local, Machines: o.fleet.machines, Log: show.line.println,
		Watch: func(p fleet.Progress) {
			show.show(p.Progress, func(q flood.Progress) any { p.Progress = q; return p })
		}}
	fc.Flood.Every = max(cfg.Every, 0)
	if cfg.Engine != "" && !slices.Contains(netloop.Engines(), cfg.Engine) {
		return fleet.Result{}, fmt.Errorf("%w: %q", netloop.ErrEngine, cfg.Engine)
	}
	var err error
	if fc.Connect, err = o.fleet.nats.connect(o.fleet.urls); err != nil {
		return fleet.Result{}, usageError(err)
	}
	fc.Connect.Name = "cometctl flood"
	if len(o.fleet.urls) == 0 {
		if o.fleet.nats.creds != "" {
			return fleet.Result{}, usageErrorf("--nats-creds %s: they are for a NATS outside; give --nats, or a user and a password", o.fleet.nats.creds)
		}
		fc.Embed = broker.EmbedConfig{Listen: o.fleet.listen, User: fc.Connect.User, Password: fc.Connect.Password}
		if o.fleet.nats.cert != "" {
			fc.Embed.TLS = fc.Connect.TLS
		}
	}
	if fc.Program, err = os.Executable(); err != nil {
		return fleet.Result{}, fmt.Errorf("finding the program to start: %w", err)
	}
	fc.Args = o.workerArgs()
	result, err := fleet.Run(ctx, fc)
	switch {
	case errors.Is(err, fleet.ErrNotStarted), errors.Is(err, broker.ErrConfig):
		return result, usageError(err)
	case errors.Is(err, syscall.EADDRINUSE):
		return result, fmt.Errorf("%w; choose another with --nats-listen, port 0 picks one", err)
	case ctx.Err() != nil && result.Asked == 0:
		return result, errInterrupted
	}
	return result, err
}

// workerArgs is the command line of a local worker: what is about this machine.
func (o floodOptions) workerArgs() []string {
	args := []string{"flood", "--loops", strconv.Itoa(o.loops)}
	if o.allowRemote {
		args = append(args, "--allow-remote")
	}
	for _, f := range []struct{ name, value string }{{"--engine", o.engine}, {"--source", o.source}, {"--nats-creds", o.fleet.nats.creds},
		{"--nats-ca", o.fleet.nats.ca}, {"--nats-cert", o.fleet.nats.cert}, {"--nats-key", o.fleet.nats.key}} {
		if f.value != "" {
			args = append(args, f.name, f.value)
		}
	}
	return args
}

// runJoin takes a share of somebody else's flood.
func runJoin(ctx context.Context, s streams, o floodOptions) error {
	cfg, err := floodConfig(o)
	if err != nil {
		return err
	}
	if cfg.Engine != "" && !slices.Contains(netloop.Engines(), cfg.Engine) {
		return noEngine(cfg.Engine)
	}
	jc := fleet.JoinConfig{AllowRemote: o.allowRemote, Sources: cfg.Sources, Engine: cfg.Engine, Loops: cfg.Loops, Loaded: settleMemory}
	if jc.Connect, err = o.fleet.nats.connect(strings.Split(o.fleet.join, ",")); err != nil {
		return usageError(err)
	}
	if o.fleet.join == "-" {
		return joinLocal(ctx, s, jc)
	}
	show := newFloodView(s.err, o)
	show.promises = new(promises[floodEnd, floodNow]) // the coordinator has them
	jc.Watch, jc.Log = show.watch, show.line.println
	result, err := fleet.Join(ctx, jc)
	show.line.done()
	switch {
	case result.Asked == 0 && ctx.Err() != nil:
		return errInterrupted
	case result.Asked == 0 && errors.Is(err, broker.ErrConfig):
		return usageError(err)
	case result.Asked == 0:
		return err
	}
	if printErr := printFlood(s.out, result, nil, nil, nil, o.json); printErr != nil {
		return printErr
	}
	if err != nil && !errors.Is(err, flood.ErrAllEnded) && ctx.Err() == nil {
		return err
	}
	return bottleneckError(result.Client, floodVerdict(ctx, result, nil, o, show.promises))
}

// joinLocal is a local worker: it is invited through stdin, whose end is the coordinator's, and prints no result.
func joinLocal(ctx context.Context, s streams, jc fleet.JoinConfig) error {
	in := bufio.NewReader(s.in)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return usageErrorf("--join -: %w", err)
	}
	invitation, err := fleet.ParseInvitation(line)
	if err != nil {
		return usageError(err)
	}
	runOn(runtime.NumCPU() / invitation.Workers)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel(fleet.ErrGone)
	}()
	jc.Connect.URLs, jc.Token = invitation.URLs, invitation.Token
	jc.Connect.User, jc.Connect.Password = invitation.User, invitation.Password
	jc.Log = func(string) {}
	_, err = fleet.Join(ctx, jc)
	if errors.Is(err, flood.ErrAllEnded) {
		return nil // is for the coordinator to say
	}
	return err
}

// noEngine refuses an engine that this system does not have.
func noEngine(name string) error {
	return usageErrorf("--engine %s: this system has no such engine; use epoll (Linux only) or goroutine", name)
}

// fleetLines are the rows of the printed result that are about workers: how many, and those worth a word of their own.
func fleetLines(w io.Writer, workers []fleet.Worker) {
	fmt.Fprintf(w, "workers\t%d\n", len(workers))
	for _, m := range workers {
		switch {
		case m.Ended != "":
			fmt.Fprintf(w, "  %s\t%d of %d open, %s\n", m.Name, m.Open, m.Asked, m.Ended)
		case m.ClockOffset != 0:
			fmt.Fprintf(w, "  %s\t%d of %d open, its clock %v behind, give or take %v\n", m.Name, m.Open, m.Asked,
				time.Duration(m.ClockOffset*1e6), time.Duration(m.ClockError*1e6))
		}
	}
}
