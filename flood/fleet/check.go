package fleet

import (
	"fmt"
	mrand "math/rand/v2"

	"cometctl/flood"
	"cometctl/internal/rlimit"
)

// check refuses what cannot work before anything is started.
func (cfg *Config) check() error {
	n := 0
	if cfg.Flood.Targets != nil {
		n = cfg.Flood.Targets.Len()
	}
	workers := cfg.Workers + cfg.Machines
	limit, err := rlimit.Raise()
	switch {
	case err != nil:
		return fmt.Errorf("fleet: %w", err)
	case n == 0:
		return notStarted("no targets")
	case workers == 0:
		return notStarted("no workers")
	case workers > n:
		return notStarted("%d workers for %d connections; each needs one at least", workers, n)
	case cfg.Machines == 0 && room(limit) < (n+workers-1)/workers:
		return notStarted("%d connections over %d workers are up to %d for each, and the hard limit here is %d file descriptors, %d of them set aside; give --workers %d, or raise the limit (ulimit -Hn)",
			n, workers, (n+workers-1)/workers, limit.Hard, rlimit.Reserve, needed(n, limit))
	}
	if err := cfg.Flood.Manners.Check(n); err != nil {
		return unstarted{err}
	}
	for cfg.Flood.Manners.Any() && cfg.Flood.Manners.Seed == 0 { // or each worker would draw its own
		cfg.Flood.Manners.Seed = mrand.Uint64()
	}
	if cfg.Watch == nil {
		cfg.Watch = func(Progress) {}
	}
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.Flood.ConnectTimeout <= 0 {
		cfg.Flood.ConnectTimeout = flood.DefaultConnectTimeout
	}
	return nil
}

// unstarted is an ErrNotStarted that says only why.
type unstarted struct{ error }

func (unstarted) Is(target error) bool { return target == ErrNotStarted }
func (u unstarted) Unwrap() error      { return u.error }

func notStarted(format string, args ...any) error {
	return unstarted{fmt.Errorf("fleet: "+format, args...)}
}
