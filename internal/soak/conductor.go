package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cometctl/internal/promise"
	"cometctl/internal/timing"
	"cometctl/memlog"
	"cometctl/report"
)

// The commands that the pieces are, and the names of the pieces too where there is one
// of a kind.
const (
	serve  = "serve"
	mem    = "memlog"
	flood  = "flood"
	msggen = "msggen"
)

// process is a started piece as the conductor sees it.
type process interface {
	pid() int
	interrupt() error // ask it to stop gently; what a foreign server hears is SIGTERM
	kill()            // make it stop
}

// launcher starts pieces. It sends what a piece prints, line by line, and after its
// last line exactly one event with ended set, to events.
type launcher interface {
	start(name string, args []string, events chan<- event) (process, error)
	// exec starts a program that is not ours, of which only the end is an event.
	exec(name string, words []string, events chan<- event) (process, error)
}

// event is something that a piece did.
type event struct {
	name   string
	line   []byte // a line it printed, without the newline; nil if it ended
	stderr bool   // where it printed it
	ended  bool
	exit   string   // how it ended, for people: "exit status 1", "signal: killed"
	code   int      // its exit code; -1 for a signal
	words  []string // the last lines that it had for people, if it ended
}

// piece is what the conductor knows about one process.
type piece struct {
	process
	record *PieceRecord
	does   string // which of our commands it is; empty: none
	serves bool   // it is the server, or a part of it
	mayEnd bool   // its work is done one day, and it ends by itself
	told   bool   // it was told to end
	ended  bool
	words  []string // the last that it said, if it ended

	// Of a node, which is a piece that serves.
	ready      ready
	asking     bool      // its answer is under way
	stats      nodeStats // what it told last
	statsText  []byte    // the same as it came; nil if it never told
	statsAsked time.Time
}

// is reports whether the piece is that command.
func (p *piece) is(command string) bool { return p.does == command }

// Why an await came back without what it awaited.
var (
	errDied    = errors.New("soak: a piece ended by itself")
	errLimit   = errors.New("soak: took too long")
	errAborted = errors.New("soak: a condition has ended the run")
)

// conductor leads the pieces through one run. Only the goroutine that called run may
// touch it.
type conductor struct {
	cfg     Config
	plan    plan
	launch  launcher
	folder  folder
	ledger  func(ctx context.Context, admin string) ([]byte, error) // a node's /stats
	probe   func(ctx context.Context) error                         // whether a foreign server is ready,
	present func() error                                            // and whether one that ran already still does
	events  chan event
	answers chan answer

	man     *Manifest
	pieces  map[string]*piece // by name
	nodes   []*piece          // those that serve, in the order of their start; none of a foreign server
	server  *piece            // a foreign server that was started; nil: there is none
	servers []string          // client URLs of a topology's NATS servers
	course  report.Course
	started time.Time

	isUp       bool // the server was ready as a whole
	ending     bool // the pieces are being ended
	serverDied bool // a node has, and nobody had told it to

	// The evidence once more, should the folder fail.
	kept map[string][]byte // the files NAME.json and stats.json
	rows []report.Sample   // the memory log

	unkept error // why a file with stats could not be written

	samples int           // rows of memlog so far
	columns string        // of these rows
	base    report.Sample // the last row of the empty server, and
	last    report.Sample // of all
	peak    int64         // the highest RSS
	now     floodReport
	nowAt   time.Time // when now came
	rate    float64   // messages received a second, between the last two reports
	rateAt  time.Time // the later one of these came then,
	rateOf  int64     // with so many messages
	sent    int64     // as msggen said last
}

// floodReport is a progress line of flood.
type floodReport struct {
	Open       int64               `json:"open"`
	Failed     int64               `json:"failed"`
	Ended      int64               `json:"closed_early"`
	Messages   int64               `json:"messages"`
	Missing    int64               `json:"missing"`
	Duplicated int64               `json:"duplicated"`
	Reordered  int64               `json:"reordered"`
	Corrupt    int64               `json:"corrupt"`
	Phase      string              `json:"phase"`
	Latency    *timing.Percentiles `json:"latency_ms"`
	Lag        *timing.Percentiles `json:"lag_ms"`
	Service    *timing.Percentiles `json:"service_ms"`
}

func newConductor(cfg Config, l launcher, dir folder) *conductor {
	c := &conductor{
		cfg:    cfg,
		plan:   planOf(cfg),
		launch: l,
		folder: dir,
		ledger: func(ctx context.Context, admin string) ([]byte, error) {
			return getStats(ctx, admin, cfg.Authorization)
		},
		events:  make(chan event, 64),
		answers: make(chan answer, 2*maxNodes),
		man:     newManifest(cfg),
		pieces:  map[string]*piece{},
		kept:    map[string][]byte{},
	}
	if cfg.Foreign != nil {
		c.probe = cfg.Foreign.probe
		c.present = func() error {
			_, err := memlog.Find(memlog.Target{PIDs: cfg.found})
			return err
		}
	}
	return c
}

// many reports whether the server consists of several nodes.
func (c *conductor) many() bool { return c.cfg.nodes() > 1 }

// start starts a piece and notes it in the manifest.
func (c *conductor) start(name string, args []string) (*piece, error) {
	p, err := c.launch.start(name, args, c.events)
	if err != nil {
		return nil, fmt.Errorf("soak: starting %s: %w", name, err)
	}
	return c.enter(p, name, args[0], args), c.folder.writeJSON(manifestFile, c.man)
}

// enter makes a piece of what was started, and notes it in the manifest.
func (c *conductor) enter(p process, name, does string, args []string) *piece {
	r := &PieceRecord{Name: name, Args: redactAll(args), PID: p.pid(), Started: time.Now().UnixNano()}
	c.man.Pieces = append(c.man.Pieces, r)
	c.pieces[name] = &piece{process: p, record: r, does: does, serves: does == serve}
	return c.pieces[name]
}

// await handles events until done says so. It returns early when a piece ends that
// should not (errDied), after limit if that is not 0 (errLimit), and when ctx ends.
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
		select {
		case e := <-c.events:
			if err := c.handle(e); err != nil {
				return err
			}
		case a := <-c.answers:
			c.hear(a)
		case <-tick.C:
			if c.show(); c.course.Aborted != "" && !c.ending {
				return errAborted
			}
		case <-over:
			return errLimit
		case <-ctx.Done():
			return ctx.Err()
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
	p := c.pieces[e.name]
	switch {
	case e.ended:
		return c.bury(p, e)
	case p.is(serve) && !e.stderr && p.ready.Admin == "":
		if err := json.Unmarshal(e.line, &p.ready); err != nil {
			return fmt.Errorf("soak: the ready line of %s, %q: %w", e.name, e.line, err)
		}
	case p.is(mem) && !e.stderr:
		c.sample(e.line)
	case !p.is(serve) && !e.stderr:
		c.kept[e.name+".json"] = append(c.kept[e.name+".json"], e.line...)
	case p.is(flood) && e.stderr:
		c.floodReport(e.line)
	case p.is(msggen) && e.stderr:
		var r struct{ Sent int64 }
		if json.Unmarshal(e.line, &r) == nil {
			c.sent = r.Sent
		}
	}
	return nil
}

// Exit codes of the pieces that mean something here; they are cometctl's own.
const (
	exitFailed       = 1   // it did its work, and what it found is not as asked
	exitInconclusive = 4   // it did its work, and was itself the limit: its result says so
	exitInterrupted  = 130 // it was told to end before its work was done
)

// bury notes a piece's end. One that nobody asked for has failed the run if it is a
// node's, and has made it inconclusive if it is an instrument's. A server that has other
// nodes goes on without this one, and so does the run.
func (c *conductor) bury(p *piece, e event) error {
	p.ended, p.words = true, e.words
	p.record.Ended, p.record.Exit = time.Now().UnixNano(), e.exit
	worked := e.code == 0 || e.code == exitInconclusive && (p.is(flood) || p.is(msggen))
	if worked && (p.mayEnd || p.told) || e.code == exitInterrupted && p.told || p == c.server && p.told || c.quitting() {
		return nil
	}
	text := fmt.Sprintf("%s ended with %s", e.name, e.exit)
	if !p.told && !p.mayEnd {
		text = fmt.Sprintf("%s ended by itself in the %s phase, after %s, with %s", e.name, c.man.phase(), c.age(), e.exit)
	}
	if c.gone(p, e) {
		text = fmt.Sprintf("The server (%s) ended in the %s phase, after %s, memlog says", c.cfg.Foreign, c.man.phase(), c.age())
	}
	if len(e.words) > 0 {
		text += "; its last words: " + strings.Join(e.words, " / ")
	}
	text += "."
	// flood and msggen end like this when connections or messages were lost: a finding, which a condition may allow.
	finding := e.code == exitFailed && (p.is(flood) || p.is(msggen))
	if finding && (p.told || p.mayEnd) && c.allowed(p) {
		return nil
	}
	if !p.told && !c.gone(p, e) {
		c.lookAfterServer()
	}
	fell := p.serves && !p.told || c.gone(p, e)
	c.serverDied = c.serverDied || fell
	if p.serves || fell || finding || c.ending {
		c.course.Failures = append(c.course.Failures, text)
	} else {
		c.course.Interrupted = text
	}
	if c.ending || finding && p.mayEnd || fell && c.isUp && c.lives() {
		return nil
	}
	return errDied
}

// allowed reports whether conditions speak of what a piece complains of with exit code 1: then they decide, by its result.
func (c *conductor) allowed(p *piece) bool {
	about := []string{"open", "failed", "closed_early"}
	if p.is(msggen) {
		about = []string{"missing", "received", "delivered", "sent"}
	}
	return slices.ContainsFunc(c.cfg.FailIf, func(k promise.Condition) bool { return slices.Contains(about, k.Metric().Name) })
}

// lives reports whether the server does, or a node of it.
func (c *conductor) lives() bool {
	if c.cfg.Foreign != nil {
		return !c.serverDied
	}
	return slices.ContainsFunc(c.nodes, func(p *piece) bool { return !p.ended })
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

// age is how long the run has been going on, as people want to read it.
func (c *conductor) age() time.Duration { return time.Since(c.started).Round(100 * time.Millisecond) }

// sample takes a row of the memory log, as memlog prints it.
func (c *conductor) sample(line []byte) {
	if bytes.HasPrefix(line, []byte("# columns:")) {
		c.columns = string(line) + "\n" // says what the rows hold
		return
	}
	var s memlog.Sample
	if memlog.NewReader(strings.NewReader(c.columns+string(line)+"\n")).Read(&s) != nil {
		return
	}
	if c.samples == 0 {
		c.man.FirstSample = time.Now().UnixNano()
	}
	c.samples++
	if s.RSS >= 0 {
		c.last = sampleOf(s, c.man.FirstSample)
		c.peak = max(c.peak, c.last.RSS)
		c.rows = append(c.rows, c.last)
		if c.man.phase() == phaseEmpty {
			c.base = c.last
		}
	}
}

// fleetRate is the time over which the rate of a flood of many processes is taken.
const fleetRate = 5 * time.Second

func (c *conductor) floodReport(line []byte) {
	var r floodReport
	if json.Unmarshal(line, &r) != nil || r.Phase == "" {
		return // a line for people
	}
	c.now, c.nowAt = r, time.Now()
	switch d := c.nowAt.Sub(c.rateAt); {
	case c.rateAt.IsZero():
	case c.cfg.floods > 1 && d < fleetRate:
		return // its processes do not report all at once: between two reports lie none of their messages, or those of seconds
	case d > 0:
		c.rate = float64(r.Messages-c.rateOf) / d.Seconds()
	}
	c.rateAt, c.rateOf = c.nowAt, r.Messages
}
