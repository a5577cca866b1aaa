package soak

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// The phases of a run, in their order. Memory is compared between them: a connection
// costs what the idle plateau has over the empty server.
const (
	phaseEmpty   = "empty"   // the server runs, nobody is connected
	phaseRamp    = "ramp"    // flood opens the connections
	phaseIdle    = "idle"    // all are open (or have failed), nothing is sent
	phaseTraffic = "traffic" // msggen sends
	phaseDrain   = "drain"   // what is pending arrives, then everybody goes
)

var phases = []string{phaseEmpty, phaseRamp, phaseIdle, phaseTraffic, phaseDrain}

// How long the conductor waits where something could keep it waiting for ever.
const (
	readyLimit  = 15 * time.Second // for serve to become ready, for memlog's first rows
	drainLimit  = 30 * time.Second // for the last messages to arrive
	drainQuiet  = 3 * time.Second  // none arrived for so long: none will
	stopLimit   = 20 * time.Second // for a piece that was told to stop
	msggenExtra = 15 * time.Second // for msggen beyond its duration; its own patience with the server is 10 s
	statsLimit  = 5 * time.Second  // for an answer of /stats
	rowLimit    = 5 * time.Second  // for a last row of memlog; with longer intervals there is none
	settleLimit = 30 * time.Second // for NATS to hear of every id after the ramp

	workerReady  = 500 * time.Millisecond // more of readyLimit, for each worker of serve
	inquireEvery = 200 * time.Millisecond // between two questions to the nodes
	connsSecond  = 10_000                 // connections that a busy machine opens, closes or subscribes in a second
)

// forConns is what may be added to a limit for the sake of very many connections.
func (c *conductor) forConns() time.Duration {
	return time.Duration(c.cfg.Conns) * time.Second / connsSecond
}

// run does the whole run: the phases, then the end of every piece, however far the
// phases came. Its error is one of the folder, or of what could not even be started.
func (c *conductor) run(ctx context.Context) error {
	c.started = time.Now()
	err := c.conduct(ctx)
	reached, age := c.man.phase(), c.age()
	c.end()
	switch {
	case err == nil, errors.Is(err, errDied), errors.Is(err, errAborted):
		err = nil // bury, or show, has noted it
	case ctx.Err() != nil:
		c.course.Interrupted = fmt.Sprintf("Interrupted in the %s phase, after %s.", reached, age)
		err = nil
	case errors.Is(err, errLimit):
		c.course.Interrupted = fmt.Sprintf("The %s phase did not come to its end, the run was stopped after %s.", reached, age)
		err = nil
	default:
		c.course.Interrupted = fmt.Sprintf("The run was stopped in the %s phase, after %s: %s.", reached, age, strings.TrimPrefix(err.Error(), "soak: "))
	}
	if c.serverDied && ctx.Err() == nil && c.course.Interrupted != "" {
		// The instrument only noticed first what the server's end did to it.
		c.course.Failures, c.course.Interrupted = append(c.course.Failures, c.course.Interrupted), ""
	}
	c.man.Course = c.course
	return cmp.Or(err, c.folder.writeJSON(manifestFile, c.man), c.unkept)
}

// conduct is the run as it should go.
func (c *conductor) conduct(ctx context.Context) error {
	steps := []func(context.Context) error{c.empty, c.ramp, c.idle, c.traffic, c.drain}
	for i, step := range steps {
		c.man.begin(phases[i], time.Now())
		c.show()
		if err := step(ctx); err != nil {
			return err
		}
		if phases[i] == phaseRamp && c.now.Open == 0 {
			return nil // flood's own result says why; there is nobody to send to
		}
	}
	return nil
}

func (c *conductor) empty(ctx context.Context) error {
	pids, err := c.up(ctx)
	if err != nil {
		return err
	}
	c.isUp = true
	if len(c.nodes) == 1 {
		c.man.Listen, c.man.Admin = c.nodes[0].ready.Listen, c.nodes[0].ready.Admin
	}
	c.man.begin(phaseEmpty, time.Now()) // only now is it empty and not still starting
	if _, err := c.start(mem, memlogArgs(c.cfg, pids, c.folder.path(logFile))); err != nil {
		return err
	}
	return c.await(ctx, readyLimit+c.plan.empty, func() bool { return c.samples >= plateauSamples })
}

// ramp has no limit of its own: flood gives up on every single connection in time. With
// several nodes it lasts until NATS knows of all ids.
func (c *conductor) ramp(ctx context.Context) error {
	if _, err := c.start(flood, append(floodArgs(c.cfg, c.plan, c.listening()), "--hdr", c.folder.path(floodLog))); err != nil {
		return err
	}
	if err := c.await(ctx, 0, func() bool { return c.now.Phase != "" && c.now.Phase != phaseRamp }); err != nil || !c.many() {
		return err
	}
	err := c.inquire(ctx, settleLimit+c.forConns(), c.settled)
	if errors.Is(err, errLimit) {
		c.course.Failures = append(c.course.Failures, fmt.Sprintf("NATS had not heard of every connection's id %s after the ramp: %s.",
			settleLimit+c.forConns(), c.unsettled()))
		return nil
	}
	return err
}

// idle lasts as long as planned and, on a machine so busy that memlog comes late,
// until there is a sample of it.
func (c *conductor) idle(ctx context.Context) error {
	rows := c.samples
	if err := c.pass(ctx, c.plan.idle); err != nil {
		return err
	}
	return c.await(ctx, readyLimit+c.cfg.Interval, func() bool { return c.samples > rows+1 })
}

// traffic lasts until msggen has sent what was due in its time. Where the asked rate
// is more than the server takes, that may be much later: then it is stopped, and its
// result says what was reached. The nodes of a topology are asked all the time for what
// they have counted: of one that dies, that is what is left. (A parent remembers what its
// workers had.)
func (c *conductor) traffic(ctx context.Context) error {
	admin := "" // of a foreign server
	if len(c.nodes) > 0 {
		admin = c.nodes[0].ready.Admin
	}
	p, err := c.start(msggen, append(msggenArgs(c.cfg, c.plan, admin, c.servers), "--hdr", c.folder.path(msggenLog)))
	if err != nil {
		return err
	}
	p.mayEnd = true
	last := c.nowAt
	err = c.await(ctx, c.plan.traffic+msggenExtra, func() bool {
		if len(c.nodes) > 1 && c.nowAt != last {
			last = c.nowAt
			c.ask()
		}
		return p.ended
	})
	if errors.Is(err, errLimit) {
		c.stop(p)
		return nil
	}
	return err
}

// drain waits until everything that can arrive has arrived: flood has as many
// messages as the ledger says were not lost on the way, or no more have come for a
// while, or somebody of the two is gone. The last ledgers seen are those that count.
func (c *conductor) drain(ctx context.Context) error {
	began := time.Now()
	seen, grew, last := c.now.Messages, began, time.Time{}
	quiet := drainQuiet + c.forConns()/20 // very many connections are reported of by many processes, that must find the time
	err := c.await(ctx, drainLimit+c.forConns(), func() bool {
		if c.nowAt != last { // flood has reported
			last = c.nowAt
			c.ask()
			if c.now.Messages > seen {
				seen, grew = c.now.Messages, c.nowAt
			}
		}
		return c.pieces[flood].ended || !c.lives() || c.arrived(began) || last.Sub(grew) >= quiet
	})
	if err == nil || errors.Is(err, errLimit) { // flood's result and the ledger show what is missing
		err = c.inquire(ctx, 0, func() bool { return true })
	}
	if errors.Is(err, errLimit) {
		err = nil
	}
	c.keepStats()
	return err
}

// arrived compares what flood has with the ledger, as it was since then.
func (c *conductor) arrived(since time.Time) bool {
	l, known := c.account(since)
	return known && l.Pending == 0 && c.now.Messages >= l.Sent-l.Offline-l.Dropped-l.Gone-l.Unpublished-l.Overrun
}

// end ends every piece that still runs, in the order that loses least: who sends,
// who receives, who watches (one more row shows the server without its connections),
// who serves, the NATS servers after those who are connected to them.
func (c *conductor) end() {
	c.ending = true
	cut := c.man.phase() != phaseDrain
	if cut {
		c.man.begin(phaseDrain, time.Now())
	}
	c.stop(c.pieces[msggen])
	if cut && c.pieces[msggen] != nil {
		c.drain(context.Background()) // what was sent until the cut may still arrive
	}
	c.stop(c.pieces[flood])
	if p := c.pieces[mem]; p != nil && c.cfg.Interval < rowLimit {
		rows := c.samples
		c.await(context.Background(), rowLimit, func() bool { return c.samples > rows || p.ended })
	}
	c.stop(c.pieces[mem])
	servers := min(c.cfg.Topology.Servers, len(c.nodes))
	c.stop(c.nodes[servers:]...)
	c.stop(c.nodes[:servers]...)
	c.stop(c.server)
	c.man.finish(time.Now())
}

// stop asks pieces to stop, all at once, and kills those that do not. A piece that is
// nil, or has ended, is passed over.
func (c *conductor) stop(pieces ...*piece) {
	pieces = slices.DeleteFunc(slices.Clone(pieces), func(p *piece) bool { return p == nil || p.ended })
	var err error
	for _, p := range pieces {
		refused := p.interrupt()
		p.told = refused == nil
		if !errors.Is(refused, os.ErrProcessDone) {
			err = cmp.Or(err, refused)
		}
	}
	ended := func() bool { return !slices.ContainsFunc(pieces, func(p *piece) bool { return !p.ended }) }
	if err == nil {
		err = c.await(context.Background(), stopLimit+c.forConns(), ended)
	}
	if ended() {
		return
	}
	for _, p := range pieces {
		if p.ended {
			continue
		}
		if p != c.server { // how long somebody else's takes to end is not what was asked; that it was killed is in the manifest
			c.course.Failures = append(c.course.Failures,
				fmt.Sprintf("%s was told to stop and had to be killed (%v).", p.record.Name, err))
		}
		p.kill()
	}
	c.await(context.Background(), stopLimit, ended)
}
