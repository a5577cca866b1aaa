package server

import "cometctl/internal/netloop"

// admit decides whether a connection that was just opened may ask for something. One that may not has its answer, and takes nobody's place
// while it lingers.
func (f *front) admit(l netloop.Loop, c netloop.Conn) bool {
	if held := f.s.counts.held.Add(1); held > int64(f.s.cfg.MaxConns) || held+f.s.counts.lent.Load() > f.s.most {
		f.s.counts.held.Add(-1)
		f.loop(l).clients.At(c.Slot()).flags |= flagFull
		f.refuseWith(l, c, causeFull, 503, "No room for another connection. Try again later.\n", retryLater)
		return false
	}
	if f.s.draining.Load() { // it waited in the accept queue
		f.refuseWith(l, c, causeDrained, 503, drainingText, retryLater)
		return false
	}
	return true
}

// left gives back what a connection held that has ended.
func (f *front) left(_ netloop.Loop, _ netloop.Conn, cl *client) {
	if !cl.has(flagFull) {
		f.s.counts.held.Add(-1)
	}
}
