package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"cometctl/memlog"
)

// memlogOptions are the flags of memlog.
type memlogOptions struct {
	pids               []int
	port               int
	name, output       string
	interval, duration time.Duration
	follow             bool
	alone, perProcess  bool
	judge              promiseOptions
}

func newMemlogCmd(s streams) *cobra.Command {
	var o memlogOptions
	cmd := &cobra.Command{
		Use:   "memlog",
		Short: "Log the memory and connections of a process and its descendants, a row a minute",
		Long: `memlog appends a row to the memory log at every interval and prints it, as the
article's loop of netstat, ps and tee did: date, epoch seconds, RSS in KB, established
connections, and then elapsed seconds, anonymous RSS, PSS, kernel memory of sockets,
descriptors, processor seconds, threads and processes. 'cometctl plot' draws it.

The connections are the established ones on the TCP ports that the target listens on. A
cell is empty where something cannot be had; a line that starts with # says why.

A row is the sum over a family: the target and all its descendants, those that come later
too. Who starts and who ends is written down. Connections on a port that several of them
share count once. RSS counts a page as often as it is mapped, PSS in all once. --alone
logs the target without its descendants; --per-process adds columns for each process,
such as rss_kb:4711.

Without --pid, --port or --name the target is the running 'cometctl serve'. Where several
processes fit, and all descend from one of them, as with nginx's master and workers, it is
that one. --pid may name several, whose families are added up.

When a target ends, that is written down. If it was the last of those named by --pid, it
ends the log; with others left the log goes on without it. Either has exit code 1 in the
end. Otherwise memlog waits for the next process that fits, and goes on with it. With
--follow every target's end is a good end, with exit code 0.

With --fail-if 'slope_bytes_per_hour>1MiB' the exit code is 3 if that is so at the end, and
--abort-on 'rss>1GiB' ends the log with the first row of which it is so; 4 says that something
was not measured. What was found is printed on stderr. The metrics, of the last row unless they
say otherwise:

` + metricNames(memlogMetrics().known(false)),
		Example: `  # the running cometctl serve, a row a minute into mochimem.log, until Ctrl-C
  cometctl memlog

  # ten seconds, a row each second: 11 rows
  cometctl memlog --interval 1s --duration 10s

  # whoever listens on port 8000, through restarts, and each of its processes for itself
  cometctl memlog --port 8000 --per-process

  # several servers, added up
  cometctl memlog --pid 6300,6305 --pid 6310

  # the article's server, printed only
  cometctl memlog --name 'name n1' -o -`,
		Args: cobra.MatchAll(noArgs, oneOf("pid", "port", "name")),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags().Changed); err != nil {
				return usageError(err)
			}
			return runMemlog(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&o.pids, "pid", nil, "log the process with this `pid`; several are separated by commas, or by giving it again")
	f.IntVar(&o.port, "port", 0, "log the process that listens on this TCP port")
	f.StringVar(&o.name, "name", "", "log the process whose command line matches this regular `pattern`, as pgrep -f")
	f.BoolVar(&o.alone, "alone", false, "log the target without its descendants")
	f.BoolVar(&o.perProcess, "per-process", false, "add columns for each process")
	f.DurationVar(&o.interval, "interval", time.Minute, "time between two rows")
	f.DurationVar(&o.duration, "duration", 0, "end after the last row that is due by then; 0 is never")
	f.StringVarP(&o.output, "output", "o", "mochimem.log", "log to append to, each row is printed too; - is printed only")
	o.judge.add(f)
	f.BoolVar(&o.follow, "follow", false, "follow the target to its end, and end with it")
	return cmd
}

// check refuses values that cannot be meant; changed says whether a flag was given.
func (o memlogOptions) check(changed func(flag string) bool) error {
	switch {
	case o.interval <= 0:
		return fmt.Errorf("--interval %v: give a time of more than zero, such as 60s", o.interval)
	case o.duration < 0:
		return fmt.Errorf("--duration %v: give a time of more than zero, or 0 to go on until Ctrl-C", o.duration)
	case changed("port") && (o.port < 1 || o.port > 65535):
		return fmt.Errorf("--port %d: a port is a number from 1 to 65535", o.port)
	case changed("name") && o.name == "":
		return errors.New("--name \"\" matches every process; give a part of the command line")
	case o.output == "":
		return errors.New("--output \"\": give the name of a file, or - to print only")
	}
	for _, pid := range o.pids {
		if pid < 1 {
			return fmt.Errorf("--pid %d: a pid is a number of 1 or more", pid)
		}
	}
	if _, err := regexp.Compile(o.name); err != nil {
		return fmt.Errorf("--name %q: %w", o.name, err)
	}
	return nil
}

// runMemlog logs; the options are checked.
func runMemlog(ctx context.Context, s streams, o memlogOptions) error {
	cfg := memlog.Config{
		Target:     memlog.Target{PIDs: o.pids, Port: o.port},
		Alone:      o.alone,
		PerProcess: o.perProcess,
		Interval:   o.interval,
		Duration:   o.duration,
		Follow:     o.follow,
		Path:       o.output,
		Out:        s.out,
		Version:    version(),
	}
	if o.name != "" {
		cfg.Target.Name = regexp.MustCompile(o.name)
	}
	if o.output == "-" {
		cfg.Path = ""
	}
	judge, err := parsePromises(memlogMetrics(), o.judge)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	seen := new(memlogSeen)
	if judge.any() {
		cfg.Watch = func(row memlog.Sample) {
			seen.add(row)
			judge.watch(seen, stop)
		}
	}
	err = memlog.Run(running, cfg)
	if errors.Is(err, memlog.ErrInterrupted) {
		err = &codedError{exitInterrupted, err}
		if ctx.Err() == nil { // a promise has ended it
			err = nil
		}
	}
	if seen.rows == 0 {
		return err
	}
	judged := judge.report(seen)
	return errors.Join(printPromises(s.err, judged), promiseError(judged, err))
}
