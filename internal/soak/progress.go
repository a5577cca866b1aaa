package soak

import (
	"slices"
	"time"
)

// show tells Progress how things stand, and asks Abort whether they may go on.
func (c *conductor) show() {
	p := c.progress()
	if c.cfg.Progress != nil {
		c.cfg.Progress(p)
	}
	if c.cfg.Abort != nil && c.course.Aborted == "" && !c.ending {
		c.course.Aborted = c.cfg.Abort(p)
	}
}

func (c *conductor) progress() Progress {
	p := Progress{
		Phase: c.man.phase(), Elapsed: time.Since(c.started), ETA: c.eta(),
		Asked: int64(c.cfg.Conns), Open: c.now.Open, Failed: c.now.Failed, Ended: c.now.Ended, Rate: c.rate, Sent: c.sent,
		Received: c.now.Messages, Missing: c.now.Missing, Duplicated: c.now.Duplicated, Reordered: c.now.Reordered, Corrupt: c.now.Corrupt,
		RSS: c.last.RSS, Peak: c.peak, Latency: c.now.Latency, Lag: c.now.Lag, Service: c.now.Service,
	}
	grown := c.last.RSS - c.base.RSS
	if (c.many() || c.cfg.Foreign != nil && c.last.Procs > 1) && c.last.PSS > 0 && c.base.PSS > 0 {
		p.PSS, p.Procs = c.last.PSS, c.last.Procs
		grown = c.last.PSS - c.base.PSS
	}
	if p.Open > 0 && c.base.RSS > 0 {
		p.PerConn = float64(grown) / float64(p.Open)
	}
	return p
}

// eta adds up what is left of this phase and the lengths of those to come. What the
// ramp and the drain take is a guess.
func (c *conductor) eta() time.Duration {
	guess := max(2*time.Second, c.forConns())
	lengths := []time.Duration{c.plan.empty, guess, c.plan.idle, c.plan.traffic, guess}
	at := slices.Index(phases, c.man.phase())
	if at < 0 {
		return 0
	}
	left := max(lengths[at]-time.Since(c.man.phaseBegan()), 0)
	for _, d := range lengths[at+1:] {
		left += d
	}
	return left
}
