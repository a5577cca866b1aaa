package server

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// stream begins a response without an end: the connection becomes a session of fl.ids, and has its head at once, so that the client knows.
// A request behind one whose response has no end would never have an answer, so that is an error; only line ends, which some clients send
// behind a request, are none.
func (f *front) stream(l netloop.Loop, c netloop.Conn, cl *client, d dialect, rest []byte) {
	fl := f.loop(l)
	if !d.isSocket() && !isBlank(rest) {
		f.refuseWith(l, c, causePipelined, 400, "A request behind one for a stream: its answer would never come. Use a connection for each.\n")
		return
	}
	r := &fl.login
	if err := fl.readPositions(); err != nil && d == dialectSSE {
		r.lose() // with a 400 an EventSource would give up for good
	} else if err != nil && d.numbered() {
		f.refuse(l, c, err)
		return
	}
	second := cl.dialect != dialectNone // messages for the session before may still come
	f.speak(cl, d)
	f.become(cl, phaseStream)
	f.loggedIn(cl)
	cl.n = 0
	b := append(fl.scratch[:0], "          "[:chunkRoom]...)
	if d == dialectSSE {
		b = append(wire.AppendRetry(b, f.s.cfg.Retry), '\n')
	}
	b, err := f.resume(c, cl, r, b)
	if err != nil && !errors.Is(err, errBusy) {
		f.refuseLogin(l, c, cl, err)
		return
	}
	if err == nil {
		b = f.appendPosition(b, fl, cl, r)
	}
	f.startHeart(l, c, cl)
	out := fl.streamHead(f.s, l.Now(), cl, d)
	if len(b) > chunkRoom {
		out = append(out, fl.frame(cl, b)...)
		fl.out = out
	}
	if !l.Write(c, out, 0) {
		f.close(l, c, causeSlow, errSlow) // it has not read the answers before
		return
	}
	stays := second || d.numbered() && len(r.positions) > 1
	if err != nil || stays {
		r = f.keep(c, cl, r)
		r.stays = stays
	}
	if err != nil {
		f.later(l, c, r, func(l netloop.Loop) { f.streamOn(l, c, r) })
	}
}

// streamOn goes on with the logins of a stream. A client that is too slow for what it missed is ended: it comes back with what it has.
func (f *front) streamOn(l netloop.Loop, c netloop.Conn, r *roll) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	b, err := f.resume(c, cl, r, append(fl.scratch[:0], "          "[:chunkRoom]...))
	switch {
	case err == nil && !r.stays:
		delete(fl.rolls, c.Slot())
		cl.flags &^= flagRolled
		fallthrough
	case err == nil:
		b = f.appendPosition(b, fl, cl, r)
	case !errors.Is(err, errBusy):
		f.breakLogin(l, c, err)
		return
	}
	if len(b) > chunkRoom && !l.Write(c, fl.frame(cl, b), 0) {
		f.close(l, c, causeSlow, errSlow)
		return
	}
	if err != nil {
		f.later(l, c, r, func(l netloop.Loop) { f.streamOn(l, c, r) })
	}
}

// appendPosition tells an event stream where it is, so that its client can come back before it had a message.
func (f *front) appendPosition(b []byte, fl *frontLoop, cl *client, r *roll) []byte {
	if cl.dialect != dialectSSE || f.s.cfg.History.Messages == 0 {
		return b
	}
	b = append(b, "id: "...)
	b = fl.appendCursor(b, r)
	return append(b, "\n\n"...)
}

// isBlank tells whether b is nothing but line ends.
func isBlank(b []byte) bool { return len(bytes.TrimLeft(b, "\r\n")) == 0 }

// spoken is for what a client says while it has its stream.
func (f *front) spoken(l netloop.Loop, c netloop.Conn, b []byte) {
	if cl := f.loop(l).clients.At(c.Slot()); cl.dialect.isSocket() {
		f.hear(l, c, cl, b)
	} else if !isBlank(b) {
		f.goodbye(l, c, causePipelined)
	}
}

// write sends a message to a session that has its stream.
func (f *front) write(l netloop.Loop, c netloop.Conn, cl *client, r *roll, m *message, account uint32) {
	if l.Write(c, f.loop(l).render(cl, r, m), account) {
		if cl.dialect.counted() {
			cl.n++
		}
		return
	}
	f.s.ledger.settle(account, dropped)
	if f.s.cfg.SlowPolicy == SlowClose {
		f.close(l, c, causeSlow, errSlow)
		return
	}
	cl.flags |= flagHole
	if r != nil && m.id != nil {
		r.find(m.id).hole = true
	}
}

// startHeart lets a stream show that it lives, to clients and to what is between. The first beat comes somewhere in the first interval:
// who all came back together shall not beat together.
func (f *front) startHeart(l netloop.Loop, c netloop.Conn, cl *client) {
	d := f.s.cfg.Heartbeat
	if d < 0 || cl.dialect == dialectHTML {
		l.SetDeadline(c, 0)
		return
	}
	l.SetDeadline(c, d/2+rand.N(d/2+1))
}

// heartbeat writes what a client reads past, unless there is something to read for it already.
func (f *front) heartbeat(l netloop.Loop, c netloop.Conn, cl *client) {
	fl := f.loop(l)
	l.SetDeadline(c, f.s.cfg.Heartbeat)
	if cl.dialect.isSocket() {
		f.ping(l, c, cl)
		return
	}
	if l.Pending(c) > 0 {
		return
	}
	b := append(fl.scratch[:0], "          "[:chunkRoom]...)
	switch cl.dialect {
	case dialectSSE:
		b = append(wire.AppendComment(b, nil), '\n')
	case dialectLines:
		b = append(b, '\n')
	}
	l.Write(c, fl.frame(cl, b), 0)
}

// goodbye ends a connection in order: a stream with its last chunk, behind everything that is queued for it.
func (f *front) goodbye(l netloop.Loop, c netloop.Conn, why cause) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	switch cl.phase {
	case phaseStream:
		if cl.dialect.isSocket() {
			code, reason := farewell(why)
			f.hangUp(l, c, why, code, reason)
			return
		}
		b := append(fl.scratch[:0], "          "[:chunkRoom]...)
		if cl.dialect == dialectSSE && why == causeDrained {
			b = append(wire.AppendRetry(b, f.retryApart()), '\n')
		}
		if len(b) > chunkRoom {
			b = fl.frame(cl, b)
		} else {
			b = nil
		}
		if !cl.has(flagPlain) {
			b = append(b, wire.LastChunk...)
		}
		f.finish(l, c, why, b)
	case phasePoll:
		cl.flags |= flagLast
		cl.cause = why
		f.answerPoll(l, c, cl, nil, 0)
	case phaseHead, phaseBody:
		if cl.has(flagKept) && fl.partials[c.Slot()] == nil { // an answer to no request might be taken for that to the next one
			f.finish(l, c, why, nil)
			return
		}
		f.refuseWith(l, c, why, 503, drainingText, retryLater)
	}
}

// retryApart is a time to come back after for one of many who leave at once: one to three times Config.Retry.
func (f *front) retryApart() time.Duration { return f.s.cfg.Retry + rand.N(2*f.s.cfg.Retry+1) }

// streamHead is the head of a stream's response. now is the loop's.
func (fl *frontLoop) streamHead(s *Server, now time.Duration, cl *client, d dialect) []byte {
	if d.isSocket() {
		fl.out = fl.appendUpgraded(fl.out[:0])
		return fl.out
	}
	b := fl.beginHead(now, fl.out[:0], 200)
	b = append(b, "Content-Type: "...)
	b = append(b, mediaTypes[d]...)
	b = append(b, "\r\nCache-Control: no-store\r\n"...)
	if d == dialectSSE {
		b = append(b, "X-Accel-Buffering: no\r\n"...) // nginx and its like would keep events until there are many
	}
	b = s.cfg.appendCORS(b, fl.origin())
	if d == dialectPoll {
		return fl.endHead(b, cl, -1) // of a HEAD: what there will be nobody knows
	}
	if !cl.has(flagPlain) {
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if cl.has(flagPlain | flagLast) {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "\r\n"...)
	fl.out = b
	return b
}

// dialectMost is the longest of the times that clients are told or kept waiting.
const dialectMost = 24 * time.Hour

func (c *Config) checkDialects() error {
	def(&c.Heartbeat, DefaultHeartbeat)
	def(&c.Retry, DefaultRetry)
	def(&c.PollWait, DefaultPollWait)
	def(&c.KeepAlive, DefaultKeepAlive)
	if c.Heartbeat > dialectMost {
		return configErrorf("--heartbeat %v: give at most %v, or off", c.Heartbeat, dialectMost)
	}
	for _, f := range []struct {
		flag string
		v    time.Duration
	}{{"retry", c.Retry}, {"poll-wait", c.PollWait}, {"keep-alive", c.KeepAlive}} {
		if f.v < 0 || f.v > dialectMost {
			return configErrorf("--%s %v: give up to %v, or 0 for the default", f.flag, f.v, dialectMost)
		}
	}
	return nil
}
