// Package soak runs the whole pipeline once and collects the evidence: it starts
// serve, memlog, flood and msggen as processes of its own, leads them through the
// phases of a run, and leaves a folder from which the verdict can be computed again.
// The server may be one process, a parent with workers, or a topology of several nodes
// on NATS (topology.go); or one that is not our own (foreign.go).
//
// The pieces are processes, not goroutines, because a process is what is measured:
// its memory is its own, its descriptors are counted apart, and what kills it kills
// nothing else. They speak to the conductor as they would to any script: a ready
// line, JSON progress, a JSON result, signals.
//
// Who owns what:
//
//   - Run prepares the folder, starts one conductor, and afterwards computes the
//     summary from the folder alone.
//   - The conductor (conductor.go, phases.go, stats.go) owns all state of the run. One
//     goroutine, Run's own, touches it. Pieces reach it through one channel of events,
//     what nodes answer to its questions through another.
//   - The crew (process.go) owns the processes. Each has two goroutines that turn
//     its output into files and events and that end with it.
//
// No piece outlives its run: the conductor ends them in order, kills who does not
// listen, and on Linux the kernel kills them should this process be killed itself
// (internal/nursery).
package soak

import (
	"cmp"
	"context"
	"errors"
	"time"

	"cometctl/internal/promise"
	"cometctl/internal/timing"
	"cometctl/report"
)

// Errors of Run that a caller may want to tell apart, ErrRefused (foreign.go) among them. With ErrNotEmpty and ErrTooFew
// nothing was started and nothing written; with ErrInterrupted the summary and the
// folder hold what there was until then.
var (
	ErrNotEmpty    = errors.New("is not an empty folder")
	ErrTooFew      = errors.New("too few processes")
	ErrInterrupted = errors.New("soak: interrupted")
)

// Config is one run. All fields are needed unless they say otherwise.
type Config struct {
	Conns    int           // connections to open, at least 1
	Rate     float64       // messages a second, all connections together; 0 is as fast as it goes
	Duration time.Duration // of the traffic phase
	Interval time.Duration // between two samples of the server's memory
	Engine   string        // serve's --engine; empty is serve's own choice
	Workers  int           // of serve and of flood; 0 and 1: none, one process each; or Auto
	Topology Topology      // instead of Workers; the zero Topology is one server
	Foreign  *Foreign      // instead of serve, Topology and Engine; nil is our own server. Workers are of flood alone then
	Dir      string        // the folder to write; absent or empty

	// Options of flood and of msggen that their command lines carry besides those that follow from the fields above.
	FloodOptions, MsggenOptions []string

	// Vet, if it is not nil, is asked before anything is started whether those command lines can work; what it says, Run
	// returns with ErrRefused. The addresses of our own server are not known then: others stand for them.
	Vet func(args []string) error

	// TokenFile is the file of tokens that the nodes' admin listeners ask for, and Authorization is that field of a request with one of
	// them. Both or neither.
	TokenFile, Authorization string

	// FailIf are conditions under which the run fails, about report.SummaryMetrics. Where one is about what flood or msggen would end with 1
	// for, it decides instead.
	FailIf []promise.Condition
	// Abort is called from Run's goroutine when Progress is. As soon as it returns a sentence, the run is ended gently and has failed, for
	// that reason. It may be nil.
	Abort func(Progress) (why string)

	Program string // path of the cometctl that is started for each piece
	Version string // what this program calls itself, for the manifest

	// Quit, when closed, kills every piece at once. Run then returns as soon as it has
	// written what it has. Nil never quits.
	Quit <-chan struct{}

	floods int   // workers of flood, and
	found  []int // the processes of a Foreign that runs already, as preflight decides

	// Progress is called from Run's goroutine about once a second and at the beginning
	// of each phase. It may be nil, and must return soon.
	Progress func(Progress)
}

// Progress is the state of a run in one moment, for people to look at.
type Progress struct {
	Phase   string        // a name of phases.go: "empty", "ramp", "idle", "traffic", "drain"
	Elapsed time.Duration // since the run began
	ETA     time.Duration // until it will probably end
	Asked   int64         // connections asked for
	Open    int64         // connections that flood has open now
	Failed  int64         // connections that could not be opened
	Ended   int64         // connections that were open and ended
	Rate    float64       // messages received a second, over the last report of flood
	Sent    int64         // messages that msggen has sent so far
	RSS     int64         // the server's, bytes; 0 is not known yet
	Peak    int64         // the highest RSS so far
	PSS     int64         // with several nodes, and where it is known; otherwise 0
	Procs   int64         // of which PSS is

	// PerConn is the growth of PSS, or else of RSS, since the empty server, per open
	// connection, in bytes. It says nothing (0) before connections are open.
	PerConn float64
	Latency *timing.Percentiles // due to received, of all messages so far; nil is none yet

	Lag     *timing.Percentiles // of it due to written
	Service *timing.Percentiles // and written to received

	// Of the messages that msggen has sent, as flood has counted them so far.
	Received, Missing, Duplicated, Reordered, Corrupt int64
}

// Settled reports whether every connection is open or has failed, and none is being ended.
func (p Progress) Settled() bool { return p.Phase == phaseIdle || p.Phase == phaseTraffic }

// Run does one soak and returns its summary. Cancelling ctx stops it gently: the
// pieces are ended in order, what they have to tell is kept, and the error is
// ErrInterrupted. A run that went wrong is no error: that is what the verdict in the
// summary says. Errors are those of the folder and of starting. Where the folder could
// not be written, as on a full disk, the summary stands on what is in memory, and the
// error names the first file that is not whole. A summary without a verdict is none.
func Run(ctx context.Context, cfg Config) (report.Summary, error) {
	cfg, err := preflight(ctx, cfg)
	if err != nil {
		return report.Summary{}, err
	}
	dir, err := createFolder(cfg.Dir)
	if err != nil {
		return report.Summary{}, err
	}
	n := newCrew(cfg.Program, string(dir))
	defer n.Close()
	if cfg.Quit != nil {
		over := make(chan struct{})
		defer close(over)
		go func() {
			select {
			case <-cfg.Quit:
				n.KillAll()
			case <-over:
			}
		}()
	}
	c := newConductor(cfg, n, dir)
	if err := cmp.Or(c.run(ctx), n.unwritten()); err != nil {
		return c.salvage(), err
	}
	summary, err := conclude(ctx, dir)
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return c.salvage(), err
	}
	return summary, err
}

// salvage judges what is in memory, where the folder failed. Without a sample there is
// nothing to judge.
func (c *conductor) salvage() report.Summary {
	if len(c.rows) == 0 {
		return report.Summary{}
	}
	return report.Summarize(assemble(c.man, c.kept, c.rows))
}

// conclude computes and writes everything that follows from the evidence.
func conclude(ctx context.Context, dir folder) (report.Summary, error) {
	e, err := dir.evidence()
	if err != nil {
		return report.Summary{}, err
	}
	summary := report.Summarize(e)
	if err := dir.writeJSON(summaryFile, summary); err != nil {
		return summary, err
	}
	if len(e.Samples) > 0 {
		if err := dir.draw(e.Asked); err != nil {
			return summary, err
		}
	}
	if ctx.Err() != nil && e.Interrupted != "" { // a word that came when all was done cut nothing short
		return summary, ErrInterrupted
	}
	return summary, nil
}

// plan is how long the parts of a run take, as far as that is decided beforehand.
type plan struct {
	empty   time.Duration // the empty server
	idle    time.Duration // the idle plateau
	traffic time.Duration
	report  time.Duration // between two progress lines of flood and msggen
}

// The plateaus are long enough for three samples, and the idle one grows with the
// traffic to a length at which the kernel's own bookkeeping has settled.
const (
	plateauSamples = 3
	idleShare      = 12 // idle plateau: this part of the traffic phase,
	idleMax        = 5 * time.Second
	reportMin      = 200 * time.Millisecond
	reportMax      = time.Second
)

func planOf(cfg Config) plan {
	return plan{
		empty:   (plateauSamples - 1) * cfg.Interval,
		idle:    max(plateauSamples*cfg.Interval, min(cfg.Duration/idleShare, idleMax)),
		traffic: cfg.Duration,
		report:  min(max(cfg.Interval, reportMin), reportMax),
	}
}
