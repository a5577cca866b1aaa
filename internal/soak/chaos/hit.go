package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// hit does a fault to its target, repairs it, and waits until everything is whole again. It returns gens and the generators that it started
// itself.
func (c *conductor) hit(ctx context.Context, name string, e *evidence, gens []*piece) ([]*piece, error) {
	var err error
	conns := int64(c.cfg.Conns)
	at := func(k kind, site int) node { return c.top.node(c.top.nameOf(k, site)) }
	switch name {
	case killFront:
		err = c.killNode(ctx, at(frontKind, 2))
	case killNATS:
		err = c.killNode(ctx, at(natsKind, 3))
	case killParent:
		err = c.killNode(ctx, at(parentKind, 2))
	case killWorker:
		err = c.killWorker(ctx, at(parentKind, 1))
	case killMsggen:
		gens, err = c.killMsggen(ctx, at(frontKind, 1), gens)
		e.facts.untimed = true
	case killFlood:
		err = c.killFlood(ctx)
		e.facts.noClient = true
	case stopFront:
		err = c.stopFront(ctx, at(frontKind, 1))
	case restartNATS:
		err = c.restartNATS(ctx, at(natsKind, 1))
	case partition:
		err = c.partition(ctx, at(natsKind, 2))
	}
	e.facts.cause = fmt.Sprintf(faultOf(name).does, e.slot.Target)
	if err != nil {
		return gens, err
	}
	repaired := time.Now()
	e.slot.Repaired = repaired.UnixNano()
	c.say("repaired, waiting until all is whole")
	if err = c.whole(ctx, recoverLimit, conns, repaired); err == nil {
		e.slot.RecoverMS = new(milliseconds(time.Since(repaired)))
	}
	return gens, err
}

// killNode kills a node, misses it for a while, and starts it again on its addresses.
func (c *conductor) killNode(ctx context.Context, n node) error {
	p := c.byName[n.name]
	c.beginHunt(n.name, "killing %s")
	c.tear(n.name)
	p.told = true
	p.kill()
	if err := c.await(ctx, stopLimit, func() bool { return p.ended }); err != nil {
		return err
	}
	if err := c.pass(ctx, down); err != nil {
		return err
	}
	return c.startNode(n)
}

// killWorker kills a worker of a parent, which starts another by itself.
func (c *conductor) killWorker(ctx context.Context, n node) error {
	rows := c.world.nodes[n.name].Workers
	if len(rows) == 0 {
		return fmt.Errorf("chaos: %s names no workers", n.name)
	}
	victim := rows[0]
	c.beginHunt(fmt.Sprintf("%s worker %d", n.name, victim.Index), "killing %s")
	if err := c.stage.killChild(c.byName[n.name].pid(), victim.PID); err != nil {
		return err
	}
	return c.await(ctx, recoverLimit, func() bool {
		return slices.ContainsFunc(c.world.nodes[n.name].Workers, func(w worker) bool {
			return w.Index == victim.Index && w.PID != victim.PID && w.State == running
		})
	})
}

// killMsggen starts a generator that publishes to a node over HTTP, kills it, and starts it again.
func (c *conductor) killMsggen(ctx context.Context, n node, gens []*piece) ([]*piece, error) {
	start := func() (*piece, error) {
		args := msggenArgs(c.cfg, c.stage.far(), "http://"+n.admin+"/send", max(c.cfg.Rate/publisherShare, 1), 1)
		if c.top.token != "" {
			args = append(args, "--token-file", c.top.token)
		}
		p, err := c.start(publisher, 0, args)
		if err == nil {
			gens = append(gens, p)
		}
		return p, err
	}
	p, err := start()
	if err != nil {
		return gens, err
	}
	if err := c.pass(ctx, c.cfg.Calm); err != nil {
		return gens, err
	}
	c.beginHunt(publisher, "killing %s")
	p.told = true
	p.kill()
	if err := c.await(ctx, stopLimit, func() bool { return p.ended }); err != nil {
		return gens, err
	}
	c.noticed(publisher + " ended, " + p.exit)
	if err := c.pass(ctx, down); err != nil {
		return gens, err
	}
	_, err = start()
	return gens, err
}

// publisherShare is which part of the usual rate the generator that is killed sends beside it.
const publisherShare = 10

// killFlood kills a process of the flood, and starts another flood for the connections that died with it.
func (c *conductor) killFlood(ctx context.Context) error {
	i := slices.IndexFunc(c.shares, func(w floodWorker) bool { return w.Ended == "" && len(w.Share) > 0 })
	if i < 0 {
		return errors.New("chaos: no process of the flood is left that says which connections are its own")
	}
	victim := c.shares[i]
	c.beginHunt("flood "+victim.Name, "killing %s")
	if err := c.stage.killChild(c.byName[flood].pid(), victim.PID); err != nil {
		return err
	}
	seen := func() bool { return c.world.clients.ended > c.hunt.before.clients.ended }
	if err := c.await(ctx, recoverLimit, seen); err != nil {
		return err
	}
	if err := c.pass(ctx, down); err != nil {
		return err
	}
	return c.startFlood(fmt.Sprintf("%s-%d", flood, len(c.floods)+1), 1, victim.Share)
}

// stopFront has a front stand still for a while.
func (c *conductor) stopFront(ctx context.Context, n node) error {
	p := c.byName[n.name]
	c.beginHunt(n.name, "stopping %s for "+c.cfg.Outage.String())
	if err := p.halt(); err != nil {
		return fmt.Errorf("chaos: stopping %s: %w", n.name, err)
	}
	err := c.pass(ctx, c.cfg.Outage)
	return errors.Join(err, p.resume()) // however that went: who stands still cannot be told to end
}

// restartNATS ends a NATS server in order, and starts it again at once.
func (c *conductor) restartNATS(ctx context.Context, n node) error {
	p := c.byName[n.name]
	c.beginHunt(n.name, "restarting %s")
	c.tear(n.name) // what it does between the last look at it and its end
	p.told = true
	if err := p.terminate(); err != nil {
		return fmt.Errorf("chaos: ending %s: %w", n.name, err)
	}
	if err := c.await(ctx, stopLimit, func() bool { return p.ended }); err != nil {
		return err
	}
	return c.startNode(n)
}

// partition takes the network away between one NATS server and the others, for a while.
func (c *conductor) partition(ctx context.Context, n node) error {
	c.beginHunt(n.name, "cutting off %s for "+c.cfg.Outage.String())
	if err := c.stage.cut(n.site, true); err != nil {
		return err
	}
	err := c.pass(ctx, c.cfg.Outage)
	return errors.Join(err, c.stage.cut(n.site, false))
}

// beginHunt notes the fault's target and moment, and how everything is before it. doing says what is done, for people.
func (c *conductor) beginHunt(target, doing string) {
	c.say("%s", strings.Replace(doing, "%s", target, 1))
	before := c.world
	before.nodes = maps.Clone(before.nodes)
	c.hunt = &hunt{before: before, target: target, at: time.Now()}
	c.slot.Target, c.slot.At = target, c.hunt.at.UnixNano()
}
