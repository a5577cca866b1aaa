// Package chaos runs a soak with faults: pieces of a cluster are killed, stopped, restarted or cut off, one after the other, under traffic,
// and afterwards every message that was due is in exactly one bin, with the times and the causes of what was lost.
//
// What runs: at each site a NATS server (`serve --router-only --nats-listen`), a front (`serve --nats`) and a parent (`serve --workers`); one flood over
// all of them, one message generator for each fault, one memory log. All are processes of their own, as in a soak. docs/design/chaos.md says
// why, and what is counted how.
//
// Who owns what:
//
//   - Run prepares the place and the folder, starts one conductor, and writes what it found.
//   - The conductor (conductor.go, slot.go, hit.go) owns all state of the run. One goroutine, Run's own, touches it. Pieces and watchers
//     reach it through channels.
//   - A watcher for each node (watch.go) asks it for its state again and again.
//   - The stage (stage.go) is all that the conductor does to the machine; tests have another one, on a fake clock. The place (place.go,
//     netns_linux.go) is where the nodes are.
//   - account.go and state.go are pure: from what was seen to bins, signs and checks. plan.go and topology.go say what is to happen.
//
// No piece outlives its run, and the network namespaces of a run that was killed are removed by the next.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"cometctl/internal/promise"
	"cometctl/internal/rlimit"
	"cometctl/internal/soak"
	"cometctl/report"
)

// ErrSystem is returned by Preflight on systems that have not what a run needs.
var ErrSystem = errors.New("chaos: the faults need Linux: workers that share a port, and processes that can be stopped")

// Config is one run. All fields are needed unless they say otherwise.
type Config struct {
	Conns   int           // connections to open, at least one for each front and parent
	Rate    float64       // messages a second, all connections together
	Sites   int           // NATS servers, each with a front and a parent; at least 2, at most 9
	Faults  []string      // names out of Faults, in their order
	Calm    time.Duration // traffic before each fault, and after everything is whole again
	Outage  time.Duration // how long a process stands still, or a network is cut
	Dir     string        // the folder to write; absent or empty
	Program string        // path of the cometctl that is started for each piece
	Version string        // what this program calls itself

	// FailIf are conditions under which the run fails, about report.ChaosMetrics.
	FailIf []promise.Condition
	// Abort is called from Run's goroutine when Progress is. As soon as it returns a sentence, the run is ended gently and has failed, for
	// that reason. It may be nil.
	Abort func(Progress) (why string)

	// Quit, when closed, kills every piece at once. Run then returns as soon as it has written what it has. Nil never quits.
	Quit <-chan struct{}
	// Progress is called from Run's goroutine about once a second and at each step. It may be nil, and must return soon.
	Progress func(Progress)
}

// Progress is the state of a run in one moment, for people to look at.
type Progress struct {
	Slot     string // name of the fault
	Step     string // what is being waited for
	Number   int    // of the slot, from 1
	Of       int
	Open     int64 // connections
	Asked    int64
	Messages int64 // received so far
	Again    int64 // messages that came again
}

// Preflight finds out whether cfg can work here, before anything is started or written. It returns ErrSystem, an *rlimit.Shortage, or an
// error that names the field and its value.
func Preflight(cfg Config) error {
	if runtime.GOOS != "linux" {
		return ErrSystem
	}
	if cfg.Sites < 2 || cfg.Sites > 9 {
		return fmt.Errorf("chaos: %d sites; give 2 to 9", cfg.Sites)
	}
	if least := 2 * workers * cfg.Sites; cfg.Conns < least {
		return fmt.Errorf("chaos: %d connections; give at least %d, so that each front of %d sites has some", cfg.Conns, least, cfg.Sites)
	}
	// The share of one process of the flood is the largest.
	if err := rlimit.Check((cfg.Conns+workers-1)/workers, "connections of one process of the flood"); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return nil
}

// Run does one run and returns what it found. Cancelling ctx stops it gently: the pieces are ended in order, what they have to tell is kept, and
// the error is soak.ErrInterrupted. A run that went wrong is no error: that is what the verdict says. Errors are those of the folder, of the
// networks, and of starting.
func Run(ctx context.Context, cfg Config) (report.Chaos, error) {
	if err := Preflight(cfg); err != nil {
		return report.Chaos{}, err
	}
	if err := soak.CreateFolder(cfg.Dir); err != nil {
		return report.Chaos{}, err
	}
	p, skip, err := findPlace(cfg)
	if err != nil {
		return report.Chaos{}, err
	}
	st := newMachine(cfg.Program, cfg.Dir, p)
	defer st.close()
	if cfg.Quit != nil {
		over := make(chan struct{})
		defer close(over)
		go func() {
			select {
			case <-cfg.Quit:
				st.killAll()
			case <-over:
			}
		}()
	}
	top, err := newTopology(cfg.Sites, cfg.Conns, p)
	if err != nil {
		return report.Chaos{}, err
	}
	if top.token, err = st.protect(); err != nil {
		return report.Chaos{}, err
	}
	defer os.Remove(top.token) // a secret of nodes that are gone
	c := newConductor(cfg, top, st)
	c.skip = skip
	found := c.run(ctx)
	if len(cfg.FailIf) > 0 {
		found.Promises = new(promise.Judge(cfg.FailIf, found.Lookup()))
	}
	found.Verdict, found.Reasons = report.JudgeChaos(found)
	title := fmt.Sprintf("Mem usage with %d connections, %g msg/sec, and faults", cfg.Conns, cfg.Rate)
	err = errors.Join(st.unwritten(), soak.WriteJSON(cfg.Dir, resultFile, found), soak.Draw(cfg.Dir, title))
	if err == nil && found.Interrupted != "" && ctx.Err() != nil {
		err = soak.ErrInterrupted
	}
	return found, err
}

// resultFile is what Run writes into the folder, beside the memory log with its picture and each piece's own NAME.log and NAME.json.
const resultFile = "chaos.json"

// findPlace is where the nodes will be: in networks of their own where a partition is asked for and possible.
func findPlace(cfg Config) (p place, skip map[string]string, err error) {
	if !slices.Contains(cfg.Faults, partition) {
		return newLoopback(), nil, nil
	}
	if why := canCut(); why != "" {
		return newLoopback(), map[string]string{partition: why}, nil
	}
	p, err = newNetworks(cfg.Sites)
	return p, nil, err
}
