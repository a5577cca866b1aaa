package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/flood"
	"cometctl/internal/broker"
	"cometctl/internal/nursery"
	"cometctl/internal/timing"
)

// stage is how far the coordinator is.
type stage int

const (
	gathering stage = iota // the workers
	sharing                // the targets among them
	flooding               // all have begun
	stopping               // all were told to
)

// coordinator is a fleet that runs. It belongs to Run's goroutine.
type coordinator struct {
	cfg     Config
	nc      *nats.Conn
	nursery *nursery.Nursery
	invite  Invitation // but for its token
	run     string     // its name
	clock   func() int64
	msgs    chan *nats.Msg // hellos, beats and wishes for a piece of a share
	said    chan string    // by local workers
	exits   chan exit      // of local workers
	stage   stage
	begun   bool // flooding has been reached
	start   int64
	phase   flood.Phase
	members []*member // local ones first; nil: one that is waited for
	started int       // local workers
	failure error     // why nothing was opened
	hold    <-chan time.Time
	late    <-chan time.Time // who has not stopped by then will not
	holding time.Time        // since then everything was tried; zero: not yet
	held    time.Duration    // from then until all were told to stop, or had ended

	sum, scratch *flood.Tally
	due          *timing.Buckets // nil: nobody asked
}

// exit is the end of a local worker's process.
type exit struct {
	m   *member
	how string
}

// leastInFlight is how many handshakes each worker has under way where nobody asked for a number. With two of them it would be woken
// for each, and so would the server's processes: five times the processor time of a crowd that comes together.
const leastInFlight = 16

// startAhead is how long before the start everybody is told when it is.
const startAhead = 250 * time.Millisecond

// stopPatience is how long workers may take to stop: two cores close 50,000 connections a second, both ends of them.
const stopPatience = time.Minute

// Run gathers the workers, lets them flood and returns what was found: after Hold, when ctx ends once they have begun (both without
// an error), or when no connection is left and none is to come (with flood.ErrAllEnded). Where a context that is over, or an error, has kept it
// from beginning, there is no result; ErrNotStarted is the error where what was asked for cannot be.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	c := &coordinator{cfg: cfg, run: strings.ToLower(rand.Text()), msgs: make(chan *nats.Msg, 4096), said: make(chan string, 64),
		exits: make(chan exit, cfg.Workers), members: make([]*member, cfg.Workers+cfg.Machines), sum: flood.NewTally(0), scratch: flood.NewTally(0)}
	if cfg.Flood.ByDue > 0 {
		c.due = timing.NewBuckets(cfg.Flood.ByDue)
	}
	began := time.Now()
	c.clock = func() int64 { return began.UnixNano() + int64(time.Since(began)) }
	end, err := c.connect(ctx)
	if err != nil {
		return Result{}, err
	}
	defer end()
	c.nursery = nursery.New()
	c.nursery.Follow() // all of them wait for us
	defer c.nursery.Close()
	err = c.conduct(ctx)
	c.dismiss()
	if !c.begun {
		return Result{}, err
	}
	return c.result(), err
}

// connect gets the coordinator a NATS. end lets go of it.
func (c *coordinator) connect(ctx context.Context) (end func(), err error) {
	to, stop := c.cfg.Connect, func() {}
	if len(to.URLs) == 0 {
		embed := c.cfg.Embed
		if c.cfg.Machines == 0 && embed.User == "" { // nobody else has business there
			embed.User, embed.Password = "fleet", rand.Text()
		}
		server, err := broker.Embed(embed)
		if err != nil {
			return nil, fmt.Errorf("fleet: %w", err)
		}
		stop = server.Close
		to.URLs, to.User, to.Password = []string{server.URL()}, embed.User, embed.Password
		to.Patience = broker.LocalPatience
	}
	if c.nc, err = dial(ctx, to, dialPatience); err != nil {
		stop()
		return nil, err
	}
	end = func() {
		_ = c.nc.FlushTimeout(requestTimeout) // the last answers; who does not get them gives up by itself
		c.nc.Close()
		stop()
	}
	c.invite = Invitation{URLs: to.URLs, User: to.User, Password: to.Password, Workers: c.cfg.Workers}
	if err := c.subscribe(ctx); err != nil {
		end()
		return nil, err
	}
	if c.cfg.Machines > 0 {
		c.cfg.Log(fmt.Sprintf("waiting for %d more: cometctl flood --join %s", c.cfg.Machines, strings.Join(to.URLs, ",")))
	}
	return end, nil
}

// subscribe begins to answer. On a NATS outside somebody else may do so already, and workers would join the one or the other.
func (c *coordinator) subscribe(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	switch _, err := c.nc.RequestWithContext(asked, clockSubject, nil); {
	case err == nil:
		return notStarted("another flood is being coordinated at %s; wait for its end, or use another NATS", c.nc.ConnectedUrlRedacted())
	case !errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("fleet: %w", err)
	}
	// The time is told from a goroutine of its own, so that nothing else delays it.
	_, err := c.nc.Subscribe(clockSubject, func(m *nats.Msg) { _ = m.Respond(strconv.AppendInt(nil, c.clock(), 10)) })
	for _, subject := range []string{helloSubject, shareSubject(c.run), beatSubject(c.run)} {
		if err == nil {
			_, err = c.nc.ChanSubscribe(subject, c.msgs)
		}
	}
	if err == nil {
		err = c.nc.Flush()
	}
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	return nil
}

// conduct does it all, from the first worker's start to the last one's end.
func (c *coordinator) conduct(ctx context.Context) error {
	var tick <-chan time.Time
	if c.cfg.Flood.Every > 0 {
		t := time.NewTicker(c.cfg.Flood.Every)
		defer t.Stop()
		tick = t.C
	}
	var interval <-chan time.Time
	if every := c.cfg.Flood.HDR.Every(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		interval = t.C
	}
	pulse := time.NewTicker(Silence / 10)
	defer pulse.Stop()
	interrupt := ctx.Done()
	for {
		if over, err := c.advance(); over {
			return err
		}
		select {
		case <-interrupt:
			if interrupt = nil; !c.begun {
				c.failure = context.Cause(ctx)
			}
			c.stop()
		case <-c.hold:
			c.stop()
		case <-c.late:
			c.giveUp()
		case <-tick:
			if c.begun && (c.stage != stopping || c.phase == flood.Late) {
				c.show()
			}
		case now := <-interval:
			if c.begun {
				c.log(now)
			}
		case now := <-pulse.C:
			c.listen(now)
		case m := <-c.msgs:
			c.answer(m)
		case line := <-c.said:
			c.cfg.Log(line)
		case e := <-c.exits:
			c.exited(e)
		}
	}
}

// advance goes on to the next stage once this one's work is done. over reports that there is none.
func (c *coordinator) advance() (over bool, err error) {
	switch c.stage {
	case gathering:
		if err := c.startSome(); err != nil {
			c.fail(err)
		} else if c.all(func(m *member) bool { return m.joined }) {
			c.share()
		}
	case sharing:
		if c.all(func(m *member) bool { return m.state == ready }) {
			c.stage, c.begun = flooding, true
			c.start = c.clock() + int64(startAhead)
			c.cfg.Flood.HDR.Begin(time.Unix(0, c.start))
			c.wake()
			c.enter(flood.Ramp)
		}
	case flooding:
		if c.phase == flood.Ramp && c.all((*member).settled) {
			c.enter(flood.Hold)
			if c.cfg.Flood.Hold > 0 {
				c.hold = time.After(c.cfg.Flood.Hold)
			}
		}
		if c.all(func(m *member) bool { return m.gone }) {
			c.enter(flood.Drain)
			return true, flood.ErrAllEnded
		}
	}
	if c.stage == stopping && c.all(func(m *member) bool { return m.gone }) {
		if c.begun {
			c.enter(flood.Drain)
		}
		return true, c.failure
	}
	return false, nil
}

// all reports whether every worker is there and is so. One that was never there is none to wait for while stopping.
func (c *coordinator) all(is func(*member) bool) bool {
	for _, m := range c.members {
		if m == nil && c.stage == stopping {
			continue
		}
		if m == nil || !is(m) {
			return false
		}
	}
	return true
}

// startSome starts local workers, but not so many at once that none of them gets on.
func (c *coordinator) startSome() error {
	busy := 0
	for _, m := range c.members[:c.started] {
		if !m.joined {
			busy++
		}
	}
	for ; c.started < c.cfg.Workers && busy < 2*runtime.NumCPU(); busy++ {
		m := &member{index: c.started, local: &local{name: fmt.Sprintf("local-%d", c.started+1), token: rand.Text()}}
		c.members[m.index] = m
		c.started++
		say := func(line string) { c.said <- m.local.name + ": " + line }
		if err := m.local.start(c.nursery, c.cfg.Program, c.cfg.Args, c.invite, say, func(how string) { c.exits <- exit{m, how} }); err != nil {
			m.gone = true
			return fmt.Errorf("fleet: %w", err)
		}
	}
	return nil
}

// share divides the targets among those who have joined.
func (c *coordinator) share() {
	rooms, all := make([]int, len(c.members)), 0
	for i, m := range c.members {
		rooms[i] = m.hello.Room
		all += m.hello.Room
	}
	t := c.cfg.Flood.Targets
	shares, err := flood.Divide(t.Len(), rooms, c.cfg.Flood.Rotation)
	if err != nil {
		c.fail(notStarted("%d connections, but the %d workers have descriptors for %d only; raise their limits (ulimit -Hn), or have more of them",
			t.Len(), len(rooms), all))
		return
	}
	f := c.cfg.Flood
	p := plan{Ask: c.cfg.Ask, Pace: f.Pace.String(), InFlight: f.InFlight, ConnectTimeout: f.ConnectTimeout, Redial: f.Redial, Manners: f.Manners, ByDue: f.ByDue, Drain: f.Drain, Run: f.Runs.String(),
		Clock: f.ClockOffset, Every: min(beatEvery*time.Duration(1+(len(c.members)-1)/beatMost), beatLast)}
	least := 1
	if f.InFlight <= 0 && f.Pace.Unlimited() {
		p.InFlight, least = flood.DefaultInFlight, leastInFlight
	}
	if p.InFlight > 0 {
		p.InFlight = max(p.InFlight/len(c.members), least)
	}
	for i, m := range c.members {
		if f.Seed != 0 {
			p.Seed = f.Seed + uint64(i) // or all would draw the same
		}
		m.give(t, shares[i], p)
	}
	c.stage = sharing
	c.wake()
}

// fail gives the run up before it has begun.
func (c *coordinator) fail(err error) {
	if c.failure == nil {
		c.failure = err
	}
	c.stop()
}

// stop tells all workers to stop.
func (c *coordinator) stop() {
	if c.stage == stopping {
		return
	}
	if !c.holding.IsZero() {
		c.held = time.Since(c.holding)
	}
	patience := stopPatience + c.cfg.Flood.Drain
	if !c.begun { // nothing is to be closed
		patience = requestTimeout
	} else if c.cfg.Flood.Drain > 0 {
		c.enter(flood.Late)
	}
	c.stage, c.hold, c.late = stopping, nil, time.After(patience)
	for _, m := range c.members {
		if m != nil && !m.joined {
			m.gone = true // it cannot be told; its stdin will end
		}
	}
	c.wake()
}

func (c *coordinator) wake() {
	_ = c.nc.Publish(wakeSubject(c.run), nil) // they ask by themselves, a second later
}

func (c *coordinator) respond(m *nats.Msg, what any) {
	if text, err := json.Marshal(what); err == nil {
		_ = m.Respond(text) // who hears nothing asks again
	}
}
