package server

import (
	"errors"
	"io"

	"cometctl/internal/netloop"
	"cometctl/server/history"
)

// front is the comet listener's handler.
//
//	client.go     what it remembers of a connection
//	admission.go  whether a connection may stay
//	request.go    requests: their heads and bodies, one behind the other
//	dialect.go    what a request asks for, and how a message is written in each dialect
//	login.go      how a connection becomes a session, and hears what it missed
//	stream.go     responses without an end
//	poll.go       responses that wait
//	answer.go     responses with one
//	causes.go     why connections end
type front struct{ s *Server }

// Opened implements netloop.Handler.
func (f *front) Opened(l netloop.Loop, c netloop.Conn) {
	cl := f.loop(l).clients.Reach(c.Slot())
	*cl = client{}
	f.become(cl, phaseHead)
	f.s.counts.accepted.Add(1)
	f.s.counts.open.Add(1)
	if f.admit(l, c) {
		l.SetDeadline(c, f.s.cfg.HeadTimeout)
	}
}

// Readable implements netloop.Handler.
func (f *front) Readable(l netloop.Loop, c netloop.Conn, b []byte) { f.read(l, c, b) }

// Posted implements netloop.Handler: a message for a session, on the way to its socket.
func (f *front) Posted(l netloop.Loop, c netloop.Conn, msg []byte, tag uint64, alive bool) {
	fl := f.loop(l)
	m := message{text: msg}
	if tag&history.TagNumbered != 0 {
		m.n, m.id, m.text = history.Cut(msg)
	}
	if alive {
		cl := fl.clients.At(c.Slot())
		var r *roll
		if cl.has(flagRolled) {
			r = fl.rolls[c.Slot()]
		}
		if tag&history.TagTorn != 0 && cl.dialect.numbered() {
			f.missed(c, cl, r, &m)
		}
		switch {
		case r != nil && !r.takes(&m):
		case m.id == nil && cl.dialect.numbered(): // it was sent before the login
		case cl.phase == phaseStream:
			f.write(l, c, cl, r, &m, uint32(tag))
			return
		case cl.phase == phasePoll && f.polled(l, c, cl, r, &m, uint32(tag)):
			return
		}
	}
	f.s.ledger.settle(uint32(tag), gone)
}

// Wrote implements netloop.Handler.
func (f *front) Wrote(_ netloop.Loop, _ netloop.Conn, tag uint32) {
	f.s.ledger.settle(tag, delivered)
}

// Unsent implements netloop.Handler.
func (f *front) Unsent(_ netloop.Loop, _ netloop.Conn, tag uint32) { f.s.ledger.settle(tag, gone) }

// Expired implements netloop.Handler.
func (f *front) Expired(l netloop.Loop, c netloop.Conn) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	switch cl.phase {
	case phaseHead, phaseBody:
		switch waits := fl.partials[c.Slot()] == nil; {
		case waits && cl.has(flagKept):
			f.close(l, c, causeIdleTimeout, errIdle)
		case waits: // it never said a word; nobody waits for an answer
			f.s.counts.refused[causeHeadTimeout].Add(1)
			f.close(l, c, causeHeadTimeout, errHeadTimeout)
		default:
			f.refuseWith(l, c, causeHeadTimeout, 408, "The request took too long.\n")
		}
	case phaseStream:
		f.heartbeat(l, c, cl)
	case phasePoll:
		f.answerPoll(l, c, cl, nil, 0)
	}
}

// Closed implements netloop.Handler.
func (f *front) Closed(l netloop.Loop, c netloop.Conn, err error) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	f.logout(c, cl)
	f.left(l, c, cl)
	why := cl.cause
	if why == causePeer { // nothing was decided
		why = causeOf(err)
	}
	f.s.counts.closed[why].Add(1)
	f.complain(why, err)
	fl.forget(c.Slot())
	f.become(cl, phaseNone)
	*cl = client{}
	f.s.counts.open.Add(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		f.s.cfg.Log.Debug("connection ended", "loop", c.Loop(), "slot", c.Slot(), "cause", why.String(), "reason", err)
	}
	if f.s.draining.Load() {
		if errors.Is(err, netloop.ErrLinger) || errors.Is(err, netloop.ErrClosed) {
			f.s.counts.cut.Add(1)
		}
		f.s.left()
	}
}

// finish sends a last answer, behind everything that is queued, and ends the connection in order.
func (f *front) finish(l netloop.Loop, c netloop.Conn, why cause, last []byte) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	f.logout(c, cl)
	fl.forget(c.Slot())
	cl.cause = why
	f.become(cl, phaseEnd)
	f.part(l, c, cl)
	l.End(c, last)
}

// close ends a connection at once; what is queued for it is gone.
func (f *front) close(l netloop.Loop, c netloop.Conn, why cause, err error) {
	f.loop(l).clients.At(c.Slot()).cause = why
	l.Close(c, err)
}
