package chaos

import (
	"context"
	"errors"
	"time"

	"cometctl/report"
)

// sight is one look at a node.
type sight struct {
	node  string
	stats stats
	ready bool
	err   error
	at    time.Time // when it was asked for
}

// watchEvery is the time between two looks at a node.
const watchEvery = 50 * time.Millisecond

// watch looks at a node until ctx ends. It runs on a goroutine of its own.
func (c *conductor) watch(ctx context.Context, n node) {
	for {
		s := sight{node: n.name, at: time.Now()}
		s.stats, s.ready, s.err = c.stage.look(ctx, n)
		select {
		case c.sights <- s:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(watchEvery):
		case <-ctx.Done():
			return
		}
	}
}

// see takes a look at a node into the state.
func (c *conductor) see(s sight) {
	v := c.world.nodes[s.node]
	v.asked, v.down, v.mute = s.at, false, false
	switch {
	case errors.Is(s.err, context.DeadlineExceeded):
		v.mute = true
	case s.err != nil:
		v.down = true
	default:
		v.stats, v.ready, v.answered = s.stats, s.ready, s.at
		c.live(s.node, s.stats)
		c.outage(s.node, s.stats)
	}
	c.world.nodes[s.node] = v
}

// live notes the ledger of a node's process. Another process than before has begun its own.
func (c *conductor) live(name string, s stats) {
	lives := c.lives[name]
	if len(lives) == 0 || c.pids[name] != s.PID {
		lives = append(lives, life{node: name})
		c.pids[name] = s.PID
	}
	lives[len(lives)-1].last = s.Ledger
	c.lives[name] = lives
}

// outage notes what a node says of its last time without NATS, if that began in this slot.
func (c *conductor) outage(name string, s stats) {
	if c.slot == nil || s.Cluster == nil || s.Cluster.Last == nil || s.Cluster.Last.From.UnixNano() < c.slot.From {
		return
	}
	last := s.Cluster.Last
	o := report.Outage{Node: name, From: last.From.UnixNano(), Cause: last.Cause}
	if !last.To.IsZero() {
		o.To = last.To.UnixNano()
	}
	for i, known := range c.slot.Outages {
		if known.Node == name && known.From == o.From {
			c.slot.Outages[i] = o
			return
		}
	}
	c.slot.Outages = append(c.slot.Outages, o)
}

// tear notes that the process of a node is dying, and its ledger with it.
func (c *conductor) tear(name string) {
	if lives := c.lives[name]; len(lives) > 0 {
		lives[len(lives)-1].torn = true
	}
}

// turn begins the ledgers of a slot: what was until now is not its own.
func (c *conductor) turn() {
	for name, lives := range c.lives {
		last := lives[len(lives)-1].last
		c.lives[name] = []life{{node: name, first: last, last: last}}
	}
}

// look looks for the first sign of the fault, if that is still to be found.
func (c *conductor) look() {
	if c.hunt == nil || c.slot.DetectMS != nil {
		return
	}
	if what := sign(c.hunt.before, c.world, c.top.nodes, c.hunt.target); what != "" {
		c.noticed(what)
	}
}

// noticed notes the first sign of the fault.
func (c *conductor) noticed(what string) {
	if c.slot.DetectMS == nil {
		c.slot.DetectMS, c.slot.DetectedBy = new(milliseconds(time.Since(c.hunt.at))), what
	}
}
