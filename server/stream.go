package server

import (
	"bytes"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
	"cometctl/server/router"
)

// stream begins a response without an end: the connection becomes a session of fl.ids, and has its head at once, so that the client knows.
// Messages may be posted from Login on, but they are seen in a later turn, behind the head. A request behind one whose response has no end
// would never have an answer, so that is an error; only line ends, which some clients send behind a request, are none.
func (f *front) stream(l netloop.Loop, c netloop.Conn, cl *client, d dialect, rest []byte) {
	fl := f.loop(l)
	if !d.isSocket() && !isBlank(rest) {
		f.refuseWith(l, c, causePipelined, 400, "A request behind one for a stream: its answer would never come. Use a connection for each.\n")
		return
	}
	f.speak(cl, d)
	l.SetDeadline(c, 0)
	for i := range fl.ids.Len() {
		err := timed(&f.s.counts.times.login, f.s.counts.logins.Load(), loginSample, func() error {
			return f.s.router.Login(fl.ids.At(i), router.Session(c))
		})
		if err != nil {
			f.s.router.Logout(router.Session(c))
			if !f.loginFailed(l, c, err) {
				f.refuse(l, c, &wire.Error{Status: 500, Reason: plain(err)})
			}
			return
		}
	}
	f.loggedIn(cl)
	f.become(cl, phaseStream)
	l.Write(c, fl.streamHead(l.Now(), cl, d), 0)
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

// loggedIn and logout count a session, whose logins in the router are its connection's.
func (f *front) loggedIn(cl *client) {
	cl.flags |= flagLogged
	cl.since = uint32(time.Since(f.s.born) / time.Second)
	f.s.counts.sessions[cl.dialect].Add(1)
	f.s.counts.logins.Add(1)
}

func (f *front) logout(c netloop.Conn, cl *client) {
	if !cl.has(flagLogged) {
		return
	}
	cl.flags &^= flagLogged
	f.s.router.Logout(router.Session(c))
	f.s.counts.sessions[cl.dialect].Add(-1)
}

// goodbye ends a connection in order: a stream with its last chunk, behind everything that is queued for it.
func (f *front) goodbye(l netloop.Loop, c netloop.Conn, why cause) {
	cl := f.loop(l).clients.At(c.Slot())
	switch cl.phase {
	case phaseStream:
		if cl.dialect.isSocket() {
			code, reason := farewell(why)
			f.hangUp(l, c, why, code, reason)
			return
		}
		if cl.has(flagPlain) {
			f.finish(l, c, why, nil)
			return
		}
		f.finish(l, c, why, []byte(wire.LastChunk))
	case phaseHead, phaseBody:
		if cl.has(flagKept) && f.loop(l).partials[c.Slot()] == nil { // an answer to no request might be taken for that to the next one
			f.finish(l, c, why, nil)
			return
		}
		f.refuseWith(l, c, why, 503, drainingText, retryLater)
	}
}

// streamHead is the head of a stream's response. now is the loop's.
func (fl *frontLoop) streamHead(now time.Duration, cl *client, d dialect) []byte {
	if d.isSocket() {
		fl.out = fl.appendUpgraded(fl.out[:0])
		return fl.out
	}
	b := fl.beginHead(now, fl.out[:0], 200)
	b = append(b, "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"...)
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
