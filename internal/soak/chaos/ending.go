package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"cometctl/internal/timing"
	"cometctl/report"
)

// level is the memory of one node's process, with its workers.
type level struct {
	pid   int
	bytes int64
}

// stop asks a piece to stop, and kills it if it does not.
func (c *conductor) stop(p *piece) {
	if p == nil || p.ended || c.quitting() {
		return
	}
	ended := func() bool { return p.ended }
	p.told = true
	err := p.interrupt()
	for err == nil || errors.Is(err, os.ErrProcessDone) || errors.Is(err, errDied) { // another may die meanwhile
		if err = c.await(context.Background(), stopLimit, ended); p.ended || c.quitting() {
			return
		}
	}
	c.course.Failures = append(c.course.Failures, fmt.Sprintf("%s was told to stop and had to be killed (%v).", p.name, err))
	p.kill()
	c.await(context.Background(), stopLimit, ended)
}

// drain waits until nothing moves any more, and nothing is queued.
func (c *conductor) drain() {
	type mark struct {
		messages int64
		ledgers  report.Ledger
	}
	var last mark
	since := time.Now()
	c.await(context.Background(), drainLimit, func() bool {
		m := mark{messages: c.world.clients.messages}
		for _, v := range c.world.nodes {
			m.ledgers = m.ledgers.Plus(v.Ledger)
		}
		if m != last {
			last, since = m, time.Now()
		}
		return m.ledgers.Pending == 0 && time.Since(since) >= drainQuiet
	})
}

// finish makes the checks of a slot that came to its end.
func (c *conductor) finish(ctx context.Context, e *evidence) error {
	s := &e.slot
	why := unwhole(c.world, c.top, int64(c.cfg.Conns), time.Time{})
	recovered, seen := time.Duration(0), s.RecoverMS != nil
	if seen {
		recovered = time.Duration(*s.RecoverMS * float64(time.Millisecond))
	}
	s.Checks = append(s.Checks, checkWhole(why, recovered, seen)...)
	levels := c.measure(ctx)
	if s.Name != baseline {
		for _, n := range c.top.nodes {
			if was, is := c.levels[n.name], levels[n.name]; was.pid == is.pid && was.bytes > 0 {
				s.Memory = append(s.Memory, report.Level{Piece: n.name, Before: was.bytes, After: is.bytes})
			}
		}
		s.Checks = append(s.Checks, checkMemory(s.Memory))
	}
	c.levels = levels
	return ctx.Err()
}

// measure has every node take its garbage out, and reads what memory it still has.
func (c *conductor) measure(ctx context.Context) map[string]level {
	c.say("looking at memory")
	out := map[string]level{}
	for _, n := range c.top.nodes {
		if err := c.stage.collect(ctx, n); err != nil && ctx.Err() == nil {
			c.course.Failures = append(c.course.Failures, fmt.Sprintf("%s did not collect its garbage: %v.", n.name, err))
		}
		v := c.world.nodes[n.name]
		pids := []int{v.PID}
		for _, w := range v.Workers {
			pids = append(pids, w.PID)
		}
		out[n.name] = level{v.PID, c.stage.memory(pids)}
	}
	return out
}

// end ends every piece that still runs, in the order that loses least: who sends, who receives, who watches, who serves.
func (c *conductor) end() {
	c.ending = true
	c.say("ending")
	for _, p := range c.pieces {
		if c.top.node(p.name).name == "" && p.name != mem && !c.isFlood(p.name) {
			c.stop(p)
		}
	}
	for _, name := range c.floods {
		c.stop(c.byName[name])
	}
	rows := c.samples
	if p := c.byName[mem]; p != nil && !p.ended {
		c.await(context.Background(), rowLimit, func() bool { return c.samples > rows || p.ended })
	}
	c.stop(c.byName[mem])
	for i := len(c.top.nodes) - 1; i >= 0; i-- { // the NATS servers last
		c.stop(c.byName[c.top.nodes[i].name])
	}
}

// generated reads what a generator left.
func (c *conductor) generated(p *piece) generated {
	var r struct {
		Sent        int64           `json:"sent"`
		Unsent      int64           `json:"unsent"`
		Unconfirmed int64           `json:"unconfirmed"`
		ByDue       *timing.Buckets `json:"by_due"`
		Lag         struct {
			Max float64 `json:"max"`
		} `json:"lag_ms"`
		Ledger struct {
			Forwarded int64 `json:"forwarded"`
		} `json:"ledger"`
	}
	http := p.name == publisher
	if json.Unmarshal(p.result, &r) != nil {
		if !http && c.course.Interrupted == "" { // a publisher was killed for that
			c.course.Interrupted = fmt.Sprintf("%s left no result (%s), so that it is not known what it had sent.", p.name, p.exit)
		}
		return generated{overHTTP: http}
	}
	g := generated{sent: r.Sent, unsent: r.Unsent, unconfirmed: r.Unconfirmed, overHTTP: http, byDue: r.ByDue,
		lagMax: time.Duration(r.Lag.Max * float64(time.Millisecond))}
	if !http {
		g.offline = r.Sent - r.Ledger.Forwarded
	}
	return g
}

// conclude makes the account of every slot, now that the floods have said when the messages that they received were due.
func (c *conductor) conclude(out *report.Chaos) {
	received := timing.NewBuckets(step)
	for _, name := range c.floods {
		var r floodResult
		if json.Unmarshal(c.byName[name].result, &r) != nil || r.ByDue == nil {
			if c.course.Interrupted == "" {
				c.course.Interrupted = fmt.Sprintf("%s left no result (%s), so that it is not known what it had received.", name, c.byName[name].exit)
			}
			received = nil
			break
		}
		if err := received.Merge(r.ByDue); err != nil {
			c.course.Interrupted = fmt.Sprintf("The result of %s cannot be used: %v.", name, err)
		}
	}
	tried := map[string]bool{}
	for _, e := range c.found {
		tried[e.slot.Name] = true
		if e.slot.Skipped == "" && received != nil {
			e.facts.received, e.facts.duplicated = received, e.slot.Duplicated
			e.facts.cover = coverOf(e.slot, e.facts)
			account(e.facts, &e.slot)
		}
		out.Slots = append(out.Slots, e.slot)
	}
	for _, name := range c.cfg.Faults {
		if !tried[name] {
			out.Slots = append(out.Slots, report.Slot{Name: name, Skipped: "the run did not get there"})
		}
	}
}
