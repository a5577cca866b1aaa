package main

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"cometctl/memlog"
)

// memlogOptions are the flags of memlog.
type memlogOptions struct {
	pid, port          int
	name, output       string
	interval, duration time.Duration
	follow             bool
}

func newMemlogCmd(s streams) *cobra.Command {
	var o memlogOptions
	cmd := &cobra.Command{
		Use:   "memlog",
		Short: "Log a process's memory and connections, a row a minute",
		Long: `memlog appends a row to the memory log at every interval and prints it, as the
article's loop of netstat, ps and tee did: date, epoch seconds, RSS in KB, established
connections, and then elapsed seconds, anonymous RSS, PSS, kernel memory of sockets,
descriptors, processor seconds and threads. 'cometctl plot' draws it.

The connections are the established ones on the TCP ports that the target listens on. A
cell is empty where something cannot be had; a line that starts with # says why.

Without --pid, --port or --name the target is the running 'cometctl serve'. When a target
ends, that is written down. One named by --pid ends the log, with exit code 1; otherwise
memlog waits for the next process that fits, and goes on with it. With --follow every
target's end is the log's good end, with exit code 0.`,
		Example: `  # the running cometctl serve, a row a minute into mochimem.log, until Ctrl-C
  cometctl memlog

  # ten seconds, a row each second: 11 rows
  cometctl memlog --interval 1s --duration 10s

  # whoever listens on port 8000, through restarts
  cometctl memlog --port 8000

  # the article's server, printed only
  cometctl memlog --name 'name n1' -o -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runMemlog(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.pid, "pid", 0, "log the process with this pid")
	f.IntVar(&o.port, "port", 0, "log the process that listens on this TCP port")
	f.StringVar(&o.name, "name", "", "log the process whose command line matches this regular `pattern`, as pgrep -f")
	f.DurationVar(&o.interval, "interval", time.Minute, "time between two rows")
	f.DurationVar(&o.duration, "duration", 0, "end after the last row that is due by then; 0 is never")
	f.StringVarP(&o.output, "output", "o", "mochimem.log", "log to append to, each row is printed too; - is printed only")
	f.BoolVar(&o.follow, "follow", false, "follow the target to its end, and end with it")
	cmd.MarkFlagsMutuallyExclusive("pid", "port", "name")
	return cmd
}

// runMemlog checks the flags' values and logs.
func runMemlog(ctx context.Context, s streams, o memlogOptions) error {
	cfg := memlog.Config{
		Target:   memlog.Target{PID: o.pid, Port: o.port},
		Interval: o.interval,
		Duration: o.duration,
		Follow:   o.follow,
		Path:     o.output,
		Out:      s.out,
		Version:  version(),
	}
	switch {
	case o.interval <= 0:
		return usageErrorf("--interval %v: give a time of more than zero, such as 60s", o.interval)
	case o.duration < 0:
		return usageErrorf("--duration %v: give a time of zero (until Ctrl-C) or more", o.duration)
	case o.pid < 0:
		return usageErrorf("--pid %d: a pid is a number of 1 or more", o.pid)
	case o.port < 0 || o.port > 65535:
		return usageErrorf("--port %d: a port is a number from 1 to 65535", o.port)
	}
	if o.name != "" {
		re, err := regexp.Compile(o.name)
		if err != nil {
			return usageError(fmt.Errorf("--name %q: %w", o.name, err))
		}
		cfg.Target.Name = re
	}
	if o.output == "-" {
		cfg.Path = ""
	}
	return memlog.Run(ctx, cfg)
}
