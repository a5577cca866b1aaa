package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"cometctl/internal/soak"
	"cometctl/report"
)

// down is how long a dead process is missed, until it is started again as an init system would.
const down = time.Second

// How long the conductor waits where something could keep it waiting for ever.
const (
	readyLimit   = 30 * time.Second        // for all nodes to be ready, for all connections to open
	recoverLimit = 30 * time.Second        // for everything to be whole again
	drainLimit   = 20 * time.Second        // for the last messages to arrive
	drainQuiet   = 1500 * time.Millisecond // nothing moved for so long: nothing will; a flood's word may be a second old
	stopLimit    = 20 * time.Second        // for a piece that was told to stop
	rowLimit     = 5 * time.Second         // for a row of memlog
)

// run does the whole run, then ends every piece, however far it came, and makes the account.
func (c *conductor) run(ctx context.Context) report.Chaos {
	out := report.Chaos{Format: 1, Version: c.cfg.Version, From: time.Now().UnixNano(), Slots: []report.Slot{},
		Asked: report.ChaosAsked{Asked: report.Asked{Conns: int64(c.cfg.Conns), Rate: c.cfg.Rate}, Sites: c.cfg.Sites,
			Faults: c.cfg.Faults, OutageS: c.cfg.Outage.Seconds()}}
	watching, enough := context.WithCancel(context.Background())
	for _, n := range c.top.nodes {
		go c.watch(watching, n)
	}
	err := c.conduct(ctx)
	where := c.where()
	c.closing = true
	c.end()
	enough()
	switch {
	case err == nil, errors.Is(err, errDied), errors.Is(err, errAborted): // bury, or aborts, has noted it
	case ctx.Err() != nil, c.quitting():
		c.course.Interrupted = fmt.Sprintf("Interrupted %s.", where)
	default:
		c.course.Failures = append(c.course.Failures, fmt.Sprintf("The run was stopped %s: %s.", where, strings.TrimPrefix(err.Error(), "chaos: ")))
	}
	c.conclude(&out)
	out.Course, out.To = c.course, time.Now().UnixNano()
	return out
}

// conduct is the run as it should go.
func (c *conductor) conduct(ctx context.Context) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	for i, name := range append([]string{baseline}, c.cfg.Faults...) {
		c.number = i + 1
		if why := c.skip[name]; why != "" {
			c.found = append(c.found, &evidence{slot: report.Slot{Name: name, Skipped: why}})
			continue
		}
		if err := c.inSlot(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// open starts the nodes, the NATS servers first, the memory log and the flood, and waits until all is whole.
func (c *conductor) open(ctx context.Context) error {
	c.say("starting %d nodes", len(c.top.nodes))
	for _, n := range c.top.nodes {
		if n.kind != natsKind { // its own server must be there, or it joins another
			own := nodeName(natsKind, n.site)
			if err := c.await(ctx, readyLimit, func() bool { return c.world.nodes[own].ready }); err != nil {
				return fmt.Errorf("%w: waiting for %s", err, own)
			}
		}
		if err := c.startNode(n); err != nil {
			return err
		}
	}
	if _, err := c.start(mem, 0, []string{"memlog", "--pid", fmt.Sprint(os.Getpid()), "--interval", "1s", "-o", c.stage.file(soak.MemoryLog)}); err != nil {
		return err
	}
	if err := c.whole(ctx, readyLimit, 0, time.Time{}); err != nil {
		return err
	}
	c.say("opening %d connections", c.cfg.Conns)
	if err := c.startFlood(flood, workers, c.top.urls()); err != nil {
		return err
	}
	if err := c.whole(ctx, readyLimit, int64(c.cfg.Conns), time.Now()); err != nil {
		return err
	}
	c.levels = c.measure(ctx)
	return nil
}

func (c *conductor) startFlood(name string, own int, urls []string) error {
	c.floods = append(c.floods, name)
	_, err := c.start(name, 0, floodArgs(c.stage.far(), own, urls))
	return err
}

// whole waits until everything is whole with conns connections, seen after since.
func (c *conductor) whole(ctx context.Context, limit time.Duration, conns int64, since time.Time) error {
	why := ""
	err := c.await(ctx, limit, func() bool {
		why = unwhole(c.world, c.top, conns, since)
		return why == ""
	})
	if errors.Is(err, errLimit) {
		return fmt.Errorf("%w: after %s, %s", errLimit, limit, why)
	}
	return err
}

// inSlot is the time of one fault.
func (c *conductor) inSlot(ctx context.Context, name string) error {
	e := &evidence{slot: report.Slot{Name: name, From: time.Now().UnixNano(), Windows: []report.Window{}, Outages: []report.Outage{}, Memory: []report.Level{}, Checks: []report.Check{}}}
	c.found, c.slot, c.hunt = append(c.found, e), &e.slot, nil
	c.turn()
	doubled := c.world.clients.duplicated
	gen, err := c.start("msggen-"+name, 0, msggenArgs(c.cfg, c.stage.far(), c.top.natsURLs(1), c.cfg.Rate, c.top.sites))
	if err != nil {
		return err
	}
	gens := []*piece{gen}
	c.say("traffic before it")
	if err = c.pass(ctx, c.cfg.Calm); err == nil && name != baseline {
		gens, err = c.hit(ctx, name, e, gens)
	}
	if err == nil {
		c.say("traffic after it")
		err = c.pass(ctx, c.cfg.Calm)
	}
	// From here on the slot ends in order, whatever went wrong: what was sent is accounted for.
	for _, g := range gens {
		c.stop(g)
		e.facts.generators = append(e.facts.generators, c.generated(g))
	}
	c.say("what is on its way arrives")
	c.drain()
	e.slot.Duplicated = c.world.clients.duplicated - doubled
	if err == nil {
		err = c.finish(ctx, e)
	}
	e.slot.To = time.Now().UnixNano()
	e.facts.slot = span{e.slot.From, e.slot.To}
	for _, n := range c.top.nodes {
		e.facts.lives = append(e.facts.lives, c.lives[n.name]...)
	}
	return err
}
