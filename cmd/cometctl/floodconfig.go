package main

import (
	"fmt"
	"os"

	"cometctl/flood"
	"cometctl/internal/pace"
)

// floodConfig turns flags into a Config.
func floodConfig(o floodOptions) (cfg flood.Config, err error) {
	switch {
	case o.hold < 0:
		return cfg, usageErrorf("--hold %v: give a time of zero (until Ctrl-C) or more", o.hold)
	case o.drain < 0:
		return cfg, usageErrorf("--drain %v: give a time, or 0 for none", o.drain)
	case o.connectTimeout <= 0:
		return cfg, usageErrorf("--connect-timeout %v: give a time of more than zero, such as 10s", o.connectTimeout)
	case o.intervals && !o.json:
		return cfg, usageErrorf("--intervals is for the lines of progress that --json makes; give both")
	case o.statsEvery < 0:
		return cfg, usageErrorf("--stats-every %v: give a time of zero (no lines) or more", o.statsEvery)
	case o.byDue < 0:
		return cfg, usageErrorf("--by-due %v: give a time, such as 100ms, or 0 for no counts", o.byDue)
	case o.inFlight < 0:
		return cfg, usageErrorf("--in-flight %d: give a number of 1 or more", o.inFlight)
	case o.loops < 1 || o.loops > 256:
		return cfg, usageErrorf("--loops %d: give a number from 1 to 256", o.loops)
	}
	cfg = flood.Config{InFlight: o.inFlight, ConnectTimeout: o.connectTimeout, Hold: o.hold, Drain: o.drain, Seed: o.seed, ByDue: o.byDue,
		Engine: o.engine, Loops: o.loops,
		Rotation: uint64(os.Getpid()) * 64} // 64,000 connections from here on, the next process begins elsewhere
	if cfg.Redial, err = o.again.redial(); err != nil {
		return cfg, err
	}
	if cfg.Manners, err = o.manners.manners(o.seed); err != nil {
		return cfg, err
	}
	if cfg.Runs, err = flood.ParseRuns(o.run); err != nil {
		return cfg, usageError(fmt.Errorf("--run %w", err))
	}
	if o.interval != "" {
		if cfg.Pace, err = pace.ParseInterval(o.interval); err != nil {
			return cfg, usageError(fmt.Errorf("--interval %w", err))
		}
	}
	if o.rate != "" {
		if cfg.Pace, err = pace.Parse(o.rate); err != nil {
			return cfg, usageError(fmt.Errorf("--rate %w", err))
		}
	}
	if err := o.shape.shape(&cfg, o.holds); err != nil {
		return cfg, usageError(err)
	}
	if o.source != "" {
		if cfg.Sources, err = flood.ParseSources(o.source); err != nil {
			return cfg, usageError(fmt.Errorf("--source %w", err))
		}
	}
	return cfg, nil
}
