package flood

import (
	"context"
	"time"

	"cometctl/internal/netloop"
)

// drain reads on for a while when the hold is over: what comes now is late. What the result says of connections stands already. It is cut short by
// the end of the last connection, and by that of ctx, unless that has ended the hold.
func (r *run) drain(ctx context.Context) {
	r.each((*lane).drain)
	r.enter(Late)
	cut := ctx.Done()
	if ctx.Err() != nil {
		cut = nil
	}
	for end := time.After(r.cfg.Drain); r.reading() > 0; {
		select {
		case <-end:
			return
		case <-cut:
			return
		case <-r.tick:
			r.show()
		case <-r.interval:
			r.log()
		case <-r.plan.changed:
		}
	}
}

// reading is how many connections are left to read from.
func (r *run) reading() (n int) {
	r.each(func(a *lane, _ netloop.Loop) { n += a.reading })
	return n
}

// drain lets the lane read on and do nothing else: what is not open is given up, and what ends has not ended early.
func (a *lane) drain(l netloop.Loop) {
	a.all(func(b *lane) { b.stopping, b.tracker.draining = true, true })
	l.Conns(func(c netloop.Conn) bool {
		if a.recs.At(c.Slot()).manner == Behaves {
			a.reading++
		}
		return true
	})
	l.Conns(func(c netloop.Conn) bool {
		if a.recs.At(c.Slot()).stage != stageOpen {
			l.Close(c, errStopped)
		}
		return true
	})
}

// drained notes the end of a connection.
func (a *lane) drained() {
	if a.reading > 0 {
		if a.reading--; a.reading == 0 {
			signal(a.plan.changed)
		}
	}
}
