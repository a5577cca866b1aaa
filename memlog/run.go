package memlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"cometctl/internal/pace"
)

// Config says what Run logs, when and where to.
type Config struct {
	Target     Target
	Alone      bool          // log the target without its descendants
	PerProcess bool          // give each process columns of its own behind the sums
	Interval   time.Duration // between two samples; positive
	Duration   time.Duration // the last sample is due at or before it; 0 is until ctx ends
	Follow     bool          // log Target to its end, which is then a good end, also of a Target that could come back
	Path       string        // the log, appended to; empty is none
	Out        io.Writer     // gets the same lines as they are written; nil is none
	Version    string        // of the program, for the log's header
	Watch      func(Sample)  // called from Run with each row when it is written; nil: nobody watches
}

// watchInterval is how often Run looks between two samples whether the target is still
// there, or whether it has come back.
const watchInterval = time.Second

// Run logs the memory of the target and its descendants, and what happens to them, until the log is
// complete.
//
// The first sample is taken at once, the others at whole multiples of Interval after it. A
// sample that falls due while an earlier one is still being taken is left out and noted;
// what it costs to sample moves no later sample.
//
// Run returns nil when Duration is over, when ctx ends and Duration is 0, and when the
// last target of a Follow ends. The log then ends in a note that says so, as it does with every
// other end but that of a log that cannot be written.
func Run(ctx context.Context, c Config) error {
	if c.Interval <= 0 || c.Duration < 0 {
		return fmt.Errorf("memlog: interval %v, duration %v: an interval is more than zero, a duration not less", c.Interval, c.Duration)
	}
	self := os.Getpid()
	l := loop{
		Config:   c,
		schedule: pace.Every(c.Interval),
		find:     func() ([]process, error) { return c.Target.find(self) },
		open:     func(targets []process) (prober, error) { return openProbe(targets, c.Alone) },
	}
	if err := l.attach(); err != nil {
		return c.Target.explain(err)
	}
	defer l.detach()
	if c.Path != "" { // after attach: a target that is not there leaves no file behind
		w, file, err := openLog(c.Path)
		if err != nil {
			return err
		}
		defer file.Close()
		l.logs = append(l.logs, w)
	}
	if c.Out != nil {
		l.logs = append(l.logs, NewWriter(c.Out))
	}
	return l.run(ctx)
}

// find looks for the target in the system's process table.
func (t Target) find(self int) ([]process, error) {
	table, unseen, err := processes(t.Port)
	if err != nil {
		return nil, err
	}
	targets, err := t.choose(table, self)
	if err != nil && unseen {
		err = fmt.Errorf("%w\nsomebody does listen there whom memlog may not look into: run it as root", err)
	}
	return targets, err
}

// Find returns the pids of the processes that t means now: those that Run would begin with. Its errors are those of Run where there is
// no such process, or more than one.
func Find(t Target) ([]int, error) {
	found, err := t.find(os.Getpid())
	if err != nil {
		return nil, t.explain(err)
	}
	pids := make([]int, len(found))
	for i, p := range found {
		pids[i] = p.pid
	}
	return pids, nil
}

// explain adds to the error of a port where nobody listens who listens where, which takes a look into every process.
func (t Target) explain(err error) error {
	if !errors.Is(err, ErrNoTarget) || t.Port == 0 {
		return err
	}
	if table, _, lookErr := processes(anyPort); lookErr == nil {
		err = fmt.Errorf("%w%s", err, listeners(table))
	}
	return err
}
