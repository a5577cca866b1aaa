package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cometctl/internal/pace"
	"cometctl/internal/rlimit"
	"cometctl/internal/soak"
	"cometctl/report"
)

// soakOptions are the flags of soak that are not in its Config.
type soakOptions struct {
	soak.Config
	rate              string
	workers, topology string
	json              bool
	foreign           foreignOptions
	judge             promiseOptions
}

func newSoakCmd(s streams) *cobra.Command {
	var o soakOptions
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Run all pieces against the bundled server or any other, and give a verdict",
		Long: `soak starts serve, memlog, flood and msggen as processes of its own, on free ports, and
leads them through a run: the empty server, the ramp, an idle plateau, traffic, and the
drain. It leaves a folder with the memory log, its picture, every piece's own log and
result, and summary.json with the verdict, and it prints the summary.

--workers N shares the connections out: N processes serve on one port, and N flood, on NATS
(Linux). auto is as many as the descriptor limit asks for. --topology 3x2 is a cluster on
this machine: three NATS servers with two fronts each, and msggen publishes to NATS.
Memory is then that of all serving processes together, pages that they share counted
once where PSS is known, and a message may also be lost between nodes. A node that dies
fails the run, which goes on to its end without it.

Any other server can stand in its place. With --server none it runs already: --pid or --port
says whose memory it is about. With --exec it is started, in the foreground, and ended (SIGTERM,
then SIGKILL, for its whole process group); it is ready when it listens on --port, or when
--ready answers. --urls are what flood opens, each one connection, and --to is where msggen
sends, to the ids 1 to as many as there are URLs. Options of flood and of msggen are passed
on; the header of what is sent is --send-header. Such a server keeps no ledger: what was sent
and what came is counted at its clients. If it ends by itself, the run fails.

The verdict is pass, fail (exit code 3) if a connection could not be opened or ended
early, a message is missing or came twice, or the asked rate was not reached, and
inconclusive (4) if the run shows neither. With --fail-if 'p99>200ms' it is fail if that is so
of the summary; one about what there is a rule for, such as 'missing>0.1%', takes the rule's
place, and one about what was not measured makes it inconclusive. --abort-on 'failed>1%' is
looked at each second, and ends the run at once. The metrics, with shares in percent of sent,
asked, or rate_asked:

` + metricNames(soakMetrics().known(false)) + `

Interrupted (130), it stops all its processes
and still writes what it has. If the folder cannot be written, as on a full disk, it ends
with 1 and still prints the summary.`,
		Example: `  # 10,000 connections, 1000 messages a second, a minute of traffic
  cometctl soak

  # a quick look
  cometctl soak --conns 500 --rate 500 --duration 5s

  # the article's process per connection against the event loop, in one picture
  cometctl soak --engine goroutine -o before
  cometctl soak --engine epoll -o after
  cometctl plot -o engines.png before/mochimem.log after/mochimem.log

  # a million connections, in as many processes as their descriptor limit asks for
  cometctl soak --conns 1000000 --workers auto --rate 20000

  # a cluster: three NATS servers, two fronts each
  cometctl soak --topology 3x2

  # another server that runs already, and one that is started
  cometctl soak --server none --port 8010 -H 'TE: chunked' \
    --urls 'http://127.0.0.1:8010/test/{1..2000}' --to 'POST http://127.0.0.1:8010/send/{id}'
  cometctl soak --exec 'nginx -p /tmp -c /etc/nchan.conf -g "daemon off;"' --port 8010 --as sse \
    --urls 'http://127.0.0.1:8010/events/{1..2000}' --to 'POST http://127.0.0.1:8010/send/{id}'

  # a verdict of one's own
  cometctl soak --fail-if 'p99>20ms' --fail-if 'user_bytes_per_conn>1KiB' --abort-on 'missing>100'

  # a day of it
  cometctl soak --duration 24h --interval 60s -o day`,
		Args: cobra.MatchAll(noArgs, oneOf("workers", "topology")),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.prepare(cmd.Flags()); err != nil {
				return err
			}
			return runSoak(cmd.Context(), s, o)
		},
	}
	o.add(cmd.Flags())
	return cmd
}

// add adds the flags.
func (o *soakOptions) add(f *pflag.FlagSet) {
	f.IntVar(&o.Conns, "conns", 10000, "connections to open; of another server, as many as there are --urls")
	f.StringVar(&o.rate, "rate", "1000", "`rate` of messages, all connections together: 1000, 500/s, 30/m; 0 is as fast as it goes")
	f.DurationVar(&o.Duration, "duration", time.Minute, "how long to send messages")
	f.StringVar(&o.Engine, "engine", "", "the server's engine: epoll or goroutine (default the server's choice)")
	f.StringVar(&o.workers, "workers", "1", "`processes` of serve and of flood each, or auto: as many as the connections need")
	f.StringVar(&o.topology, "topology", "", "serve as a cluster: `NATSxFRONTS`, NATS servers and fronts of each, such as 3x2 (default one process)")
	f.StringVar(&o.TokenFile, "token-file", "", "`file` with the token that the server's admin listener asks for, of this run's pieces too: on a machine with other people (default it asks for none)")
	f.DurationVar(&o.Interval, "interval", time.Second, "time between two samples of the server's memory")
	f.StringVarP(&o.Dir, "output", "o", "", "folder to write, absent or empty (default soak-YYYYmmdd-HHMMSS)")
	f.BoolVar(&o.json, "json", false, "print the summary as JSON")
	o.foreign.add(f)
	addPassed(f)
	o.judge.add(f)
}

// prepare makes of the flags a Config, without a look at the machine.
func (o *soakOptions) prepare(f *pflag.FlagSet) error {
	if err := o.foreign.check(f.Changed); err != nil {
		return err
	}
	o.FloodOptions, o.MsggenOptions = o.foreign.options(f)
	return cmp.Or(o.applyForeign(f.Changed), o.check(), o.parse())
}

// check finds out what is wrong with the flags' values.
func (o soakOptions) check() error {
	switch {
	case o.Conns < 1:
		return usageErrorf("--conns %d: at least 1 connection is needed", o.Conns)
	case o.Duration <= 0:
		return usageErrorf("--duration %s: give a time of more than zero, such as 60s", o.Duration)
	case o.Interval < 10*time.Millisecond:
		return usageErrorf("--interval %s: give 10ms or more", o.Interval)
	case o.Engine != "" && o.Engine != "epoll" && o.Engine != "goroutine":
		return usageErrorf("--engine %s: there are epoll and goroutine", o.Engine)
	}
	return nil
}

// parse reads the flags that are texts into the Config.
func (o *soakOptions) parse() error {
	rate, err := pace.Parse(o.rate)
	if err != nil {
		return usageErrorf("--rate %w", err)
	}
	if o.Rate = rate.PerSecond(); o.Rate > 0 && o.Rate < 0.001 {
		return usageErrorf("--rate %s: give 1/1000s or more, or 0 for as fast as it goes", o.rate)
	}
	if o.topology != "" {
		if o.Topology, err = soak.ParseTopology(o.topology); err != nil {
			return usageErrorf("--topology %w", err)
		}
	}
	if o.workers == "auto" {
		o.Workers = soak.Auto
	} else if o.Workers, err = strconv.Atoi(o.workers); err != nil || o.Workers < 1 || o.Workers > maxWorkers {
		return usageErrorf("--workers %s: give a number from 1 to %d, or auto", o.workers, maxWorkers)
	}
	return nil
}

// maxWorkers guards against a slip: each is a process of serve and one of flood.
const maxWorkers = 1000

// runSoak runs the soak and prints its summary.
func runSoak(ctx context.Context, s streams, o soakOptions) error {
	var err error
	if o.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("finding the program to start: %w", err)
	}
	if o.Authorization, err = authorization(o.TokenFile); err != nil {
		return err
	}
	if o.Dir == "" {
		o.Dir = time.Now().Format("soak-20060102-150405")
	}
	judge, err := parsePromises(soakMetrics(), o.judge)
	if err != nil {
		return err
	}
	o.FailIf, o.Abort = judge.failIf, judge.broken
	o.Version = version()
	o.Quit, o.Vet = s.quit, vetPiece
	line := newLive(s.err, soakEvery, time.Now)
	o.Progress = func(p soak.Progress) { line.update(p.Phase, progressText(p)) }

	summary, err := soak.Run(ctx, o.Config)
	line.done()
	var short *rlimit.Shortage
	switch {
	case errors.Is(err, soak.ErrTooFew), errors.As(err, &short):
		return usageError(seeDoctor(err, o.Conns))
	case errors.Is(err, soak.ErrNotEmpty), errors.Is(err, soak.ErrRefused), errors.Is(err, errors.ErrUnsupported):
		return usageError(err)
	case err != nil && !errors.Is(err, soak.ErrInterrupted):
		if summary.Verdict != "" {
			err = fmt.Errorf("%w; the folder is not whole, the summary was made from memory", err)
			return errors.Join(printSummary(s, o, summary), err)
		}
		return err
	}
	return errors.Join(printSummary(s, o, summary), verdictError(summary, o.Dir, err))
}

// soakEvery is the time between two lines where the live line is none.
const soakEvery = 5 * time.Second

// printSummary prints the summary to stdout and where the folder is to stderr.
func printSummary(s streams, o soakOptions, summary report.Summary) error {
	fmt.Fprintf(s.err, "folder: %s\n", o.Dir)
	if o.json {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(summary)
	}
	return report.Table(s.out, summary)
}

// verdictError turns a verdict into the error that has its exit code. The reasons
// were printed with the summary. interrupted is Run's error: nil or ErrInterrupted.
func verdictError(summary report.Summary, dir string, interrupted error) error {
	switch {
	case interrupted != nil:
		return fmt.Errorf("%w; what there was until then is in %s", errInterrupted, dir)
	case summary.Verdict == report.Fail:
		return &codedError{exitVerdict, fmt.Errorf("the verdict is fail; the evidence is in %s", dir)}
	case summary.Verdict == report.Inconclusive:
		return &codedError{exitInconclusive, fmt.Errorf("the verdict is inconclusive; the evidence is in %s", dir)}
	}
	return nil
}
