package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cometctl/internal/soak"
	"cometctl/internal/timing"
	"cometctl/report"
)

// The pieces that are no nodes, by their names.
const (
	mem       = "memlog"
	flood     = "flood"
	publisher = "publisher" // over HTTP, to be killed
)

// piece is what the conductor knows about one process.
type piece struct {
	process
	name   string
	told   bool // its end is asked for
	ended  bool
	exit   string
	code   int
	words  []string
	result []byte // what it printed on stdout, of instruments
}

// Why an await came back without what it awaited.
var (
	errDied    = errors.New("chaos: a piece ended by itself")
	errLimit   = errors.New("chaos: took too long")
	errAborted = errors.New("chaos: a condition has ended the run")
)

// conductor leads the pieces through one run. Only the goroutine that called run may touch it.
type conductor struct {
	cfg    Config
	top    topology
	stage  stage
	skip   map[string]string // faults that cannot be tried here, and why
	events chan event
	sights chan sight

	pieces  []*piece          // by number
	byName  map[string]*piece // the latest of each name
	course  report.Course
	closing bool // the pieces are being ended
	ending  bool // the pieces are being ended
	world   world
	floods  []string           // names of the floods, in the order of their start
	tallies map[string]clients // what each flood said last
	shares  []floodWorker      // of the first flood
	samples int                // rows of memlog

	number int               // of the slot, from 1
	slot   *report.Slot      // that is on
	step   string            // what is waited for
	hunt   *hunt             // for the first sign
	lives  map[string][]life // of each node, in this slot
	pids   map[string]int    // of the last of them
	levels map[string]level  // memory of each node after the slot before
	found  []*evidence
}

// evidence is what a slot leaves for the account, which needs the floods' results and is made when all is over.
type evidence struct {
	slot  report.Slot
	facts facts
}

// hunt is the search for the first sign of a fault.
type hunt struct {
	before world
	target string
	at     time.Time
}

// floodWorker is a row of a flood's progress.
type floodWorker struct {
	Name  string   `json:"name"`
	PID   int      `json:"pid"`
	Asked int64    `json:"asked"`
	Ended string   `json:"ended"`
	Share []string `json:"share"`
}

// floodReport is a progress line of flood.
type floodReport struct {
	Open       int64         `json:"open"`
	Closed     int64         `json:"closed_early"`
	Messages   int64         `json:"messages"`
	Duplicated int64         `json:"duplicated"`
	Phase      string        `json:"phase"`
	Workers    []floodWorker `json:"workers"`
}

// floodResult is what flood says at its end.
type floodResult struct {
	Duplicated int64           `json:"duplicated"`
	ByDue      *timing.Buckets `json:"by_due"`
}

func newConductor(cfg Config, top topology, st stage) *conductor {
	return &conductor{cfg: cfg, top: top, stage: st,
		events: make(chan event, 64), sights: make(chan sight), byName: map[string]*piece{},
		world: world{nodes: map[string]view{}}, tallies: map[string]clients{},
		lives: map[string][]life{}, pids: map[string]int{}}
}

// start starts a piece.
func (c *conductor) start(name string, site int, args []string) (*piece, error) {
	p, err := c.stage.start(len(c.pieces), name, site, args, c.events)
	if err != nil {
		return nil, fmt.Errorf("chaos: starting %s: %w", name, err)
	}
	c.pieces = append(c.pieces, &piece{process: p, name: name})
	c.byName[name] = c.pieces[len(c.pieces)-1]
	return c.byName[name], nil
}

func (c *conductor) startNode(n node) error {
	_, err := c.start(n.name, n.site, c.top.serve(n))
	return err
}

// await handles events until done says so. It returns early when a piece ends that should not (errDied), after limit if that is not 0
// (errLimit), and when ctx ends or Quit is closed.
func (c *conductor) await(ctx context.Context, limit time.Duration, done func() bool) error {
	var over <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		over = t.C
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !done() {
		var err error
		select {
		case e := <-c.events:
			err = c.handle(e)
		case s := <-c.sights:
			c.see(s)
		case <-tick.C:
			if c.show(); c.aborts() {
				return errAborted
			}
		case <-over:
			return errLimit
		case <-c.cfg.Quit:
			return soak.ErrInterrupted // all are being killed
		case <-ctx.Done():
			return ctx.Err()
		}
		c.look()
		if err != nil {
			return err
		}
	}
	return nil
}

// pass lets d pass, and handles what happens meanwhile.
func (c *conductor) pass(ctx context.Context, d time.Duration) error {
	err := c.await(ctx, d, func() bool { return d <= 0 })
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

// handle takes one event into the state.
func (c *conductor) handle(e event) error {
	p := c.pieces[e.number]
	switch {
	case e.ended:
		p.ended, p.exit, p.code, p.words = true, e.exit, e.code, e.words
		return c.bury(p)
	case p.name == mem && !e.stderr:
		if len(e.line) > 0 && e.line[0] != '#' {
			c.samples++
		}
	case c.isFlood(p.name) && e.stderr:
		c.floodSays(p.name, e.line)
	case !e.stderr:
		p.result = append(append(p.result, e.line...), '\n')
	}
	return nil
}

func (c *conductor) isFlood(name string) bool { return slices.Contains(c.floods, name) }

// floodSays takes a progress line of a flood.
func (c *conductor) floodSays(name string, line []byte) {
	var r floodReport
	if json.Unmarshal(line, &r) != nil || r.Phase == "" {
		return // a line for people
	}
	ended := 0
	for _, w := range r.Workers {
		if w.Ended != "" {
			ended++
		}
	}
	if name == flood && len(r.Workers) > 0 {
		c.shares = r.Workers
	}
	c.tallies[name] = clients{open: r.Open, closed: r.Closed, messages: r.Messages, duplicated: r.Duplicated, ended: ended}
	sum := clients{at: time.Now()}
	for _, t := range c.tallies {
		sum.open += t.open
		sum.closed += t.closed
		sum.messages += t.messages
		sum.duplicated += t.duplicated
		sum.ended += t.ended
	}
	c.world.clients = sum
}

// bury notes a piece's end. One that nobody asked for has failed the run if it is a node's, and has made it inconclusive if it is an
// instrument's. Exit code 1 of an instrument that was told to end is a finding of its own (a flood whose worker died says so), and 130 an
// obedience.
func (c *conductor) bury(p *piece) error {
	if p.told || c.quitting() {
		return nil
	}
	text := fmt.Sprintf("%s ended by itself, with %s, %s", p.name, p.exit, c.where())
	if len(p.words) > 0 {
		text += "; its last words: " + strings.Join(p.words, " / ")
	}
	text = strings.TrimRight(text, ".") + "."
	if c.top.node(p.name).name != "" || c.ending {
		c.course.Failures = append(c.course.Failures, text)
	} else if c.course.Interrupted == "" {
		c.course.Interrupted = text
	}
	if c.ending {
		return nil
	}
	return errDied
}

// where says at which point of the run something happened.
func (c *conductor) where() string {
	if c.slot == nil {
		return "before the first message"
	}
	return "in the time of " + c.slot.Name
}

// quitting reports whether the pieces are being killed because Quit was closed.
func (c *conductor) quitting() bool {
	select {
	case <-c.cfg.Quit:
		return true
	default:
		return false
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// show tells Progress how the run is getting on.
func (c *conductor) show() {
	if c.cfg.Progress != nil {
		c.cfg.Progress(c.progress())
	}
}

// aborts asks Abort, once a run, whether the run may go on.
func (c *conductor) aborts() bool {
	if c.cfg.Abort == nil || c.closing || c.course.Aborted != "" {
		return false
	}
	c.course.Aborted = c.cfg.Abort(c.progress())
	return c.course.Aborted != ""
}

func (c *conductor) progress() Progress {
	p := Progress{Slot: "start", Step: c.step, Number: c.number, Of: len(c.cfg.Faults) + 1,
		Open: c.world.clients.open, Asked: int64(c.cfg.Conns), Messages: c.world.clients.messages, Again: c.world.clients.duplicated}
	if c.slot != nil {
		p.Slot = c.slot.Name
	}
	return p
}

// say begins a step.
func (c *conductor) say(format string, args ...any) {
	c.step = fmt.Sprintf(format, args...)
	c.show()
}
