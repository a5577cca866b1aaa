package soak

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"

	"cometctl/internal/rlimit"
)

// Auto as Config.Workers is as many as the connections need.
const Auto = -1

// headroom is how many more connections the workers of `serve` can hold than Auto
// expects: the kernel spreads those of a shared port by hash, unevenly.
const headroom = 1.03

// preflight finds out whether cfg can work, before anything is started or written, and
// how many processes share the connections. Every connection is a descriptor in serve
// and another one in flood, and each process has the limit that this one has.
func preflight(ctx context.Context, cfg Config) (Config, error) {
	limit, err := rlimit.Raise()
	if err != nil {
		return cfg, fmt.Errorf("soak: %w", err)
	}
	if cfg, err = cfg.shared(capacity(limit)); err != nil {
		return cfg, err
	}
	if cfg.Foreign == nil && cfg.Workers > 1 && runtime.GOOS != "linux" {
		return cfg, fmt.Errorf("soak: several workers on one port: %w by this system; Linux has them, and --topology has several processes everywhere",
			errors.ErrUnsupported)
	}
	if cfg.Vet != nil {
		front := []string{nobody} // a topology's would not look different
		for _, args := range [][]string{floodArgs(cfg, planOf(cfg), front), msggenArgs(cfg, planOf(cfg), nobody, nil)} {
			if err := cfg.Vet(args); err != nil {
				return cfg, fmt.Errorf("soak: %s %w this: %w", args[0], ErrRefused, err)
			}
		}
	}
	if cfg.Foreign != nil {
		cfg.found, err = cfg.Foreign.preflight(ctx)
	}
	return cfg, err
}

// nobody stands for our server's addresses until it has some.
const nobody = "127.0.0.1:1"

// capacity is how many connections a process may hold.
func capacity(limit rlimit.Files) int {
	if limit.Hard < rlimit.Reserve {
		return 0
	}
	return int(min(limit.Hard-rlimit.Reserve, math.MaxInt32))
}

// shared decides how many processes share the connections, each of which may hold that
// many. It returns an *rlimit.Shortage if one process cannot hold what it should, and
// ErrTooFew if several cannot.
func (cfg Config) shared(each int) (Config, error) {
	enough := workersFor(cfg.Conns, each)
	if cfg.Workers == Auto && cfg.Topology == (Topology{}) {
		cfg.Workers = enough
	}
	cfg.Workers = max(cfg.Workers, 1)
	fronts := cfg.Topology.Servers * cfg.Topology.Fronts
	short := &rlimit.Shortage{What: "connections", Asked: cfg.Conns, Need: uint64(cfg.Conns) + rlimit.Reserve, Hard: uint64(each) + rlimit.Reserve}
	switch {
	case each < 1: // however many processes
		return cfg, fmt.Errorf("soak: %w", short)
	case fronts > 0 && cfg.Conns > fronts*each:
		per := (cfg.Conns - 1) / each / cfg.Topology.Servers
		return cfg, fmt.Errorf("soak: %w: the %d fronts of %s hold %d connections, %d each, and %d were asked for; give --topology %s, or --workers auto",
			ErrTooFew, fronts, cfg.Topology, fronts*each, each, cfg.Conns, Topology{cfg.Topology.Servers, per + 1})
	case fronts > 0:
		cfg.floods = (cfg.Conns + each - 1) / each
	case cfg.Workers == 1 && cfg.Conns > each:
		return cfg, fmt.Errorf("soak: %w, or share them out: --workers %d", short, enough)
	case cfg.Conns > cfg.Workers*each:
		return cfg, fmt.Errorf("soak: %w: %d workers hold %d connections, %d each, and %d were asked for; give --workers %d, or auto",
			ErrTooFew, cfg.Workers, cfg.Workers*each, each, cfg.Conns, enough)
	default:
		cfg.floods = cfg.Workers
	}
	return cfg, nil
}

// workersFor is how many workers hold so many connections, if each holds no more than that.
func workersFor(conns, each int) int {
	if conns <= each || each < 1 {
		return 1
	}
	return int(math.Ceil(float64(conns) * headroom / float64(each)))
}

// nodes is how many processes with a router the server consists of: those of the
// topology, or the workers and their parent, or one.
func (cfg Config) nodes() int {
	switch {
	case cfg.Foreign != nil:
		return 1
	case cfg.Topology != (Topology{}):
		return cfg.Topology.nodes()
	case cfg.Workers > 1:
		return 1 + cfg.Workers
	}
	return 1
}
