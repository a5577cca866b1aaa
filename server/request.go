package server

import (
	"errors"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// bodyMax is how much of a request's body is read and dropped.
const bodyMax = 64 << 10

// read takes what has arrived: requests, one behind the other, as long as each has its answer.
func (f *front) read(l netloop.Loop, c netloop.Conn, b []byte) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	for len(b) > 0 {
		switch cl.phase {
		case phaseHead:
			b = f.readHead(l, c, cl, b)
		case phaseBody:
			b = f.readBody(l, c, cl, b)
		case phaseStream:
			f.spoken(l, c, b)
			return
		case phasePoll:
			f.stash(l, c, b)
			return
		default:
			return // it ends, or has ended
		}
	}
}

// readHead takes bytes of a head, and returns those behind it.
func (f *front) readHead(l netloop.Loop, c netloop.Conn, cl *client, b []byte) (rest []byte) {
	fl := f.loop(l)
	p := fl.partials[c.Slot()]
	scan := &fl.scan
	if p != nil {
		scan = &p.scan
	} else {
		*scan = wire.HeadScanner{}
	}
	n, done, err := scan.Scan(b, wire.Limits{})
	switch {
	case err != nil && p == nil:
		f.refuse(l, c, f.unwantedTLS(b, err))
	case err != nil:
		f.refuse(l, c, err)
	case !done:
		if p == nil {
			p = &partial{scan: *scan}
			f.begin(l, c, cl, p)
		}
		p.buf = append(p.buf, b...)
	case p != nil:
		delete(fl.partials, c.Slot())
		return f.head(l, c, cl, append(p.buf, b[:n]...), b[n:])
	default:
		return f.head(l, c, cl, b[:n], b[n:])
	}
	return nil
}

// begin keeps the beginning of a request. The first request of a connection has its time from when that was opened.
func (f *front) begin(l netloop.Loop, c netloop.Conn, cl *client, p *partial) {
	f.loop(l).partials[c.Slot()] = p
	if cl.has(flagKept) && !cl.has(flagWaits) {
		f.wait(l, c, cl)
		l.SetDeadline(c, f.s.cfg.HeadTimeout)
	}
}

// head takes a whole head and what has come behind it. The request is answered when its body has been read past, so that its answer
// stands where the client looks for it, and the next request begins where it does.
func (f *front) head(l netloop.Loop, c netloop.Conn, cl *client, head, rest []byte) []byte {
	fl := f.loop(l)
	if err := wire.ParseRequest(head, wire.Limits{}, &fl.req); err != nil {
		f.refuse(l, c, err)
		return nil
	}
	body, err := fl.req.Body(bodyMax)
	if err != nil {
		f.refuse(l, c, err)
		return nil
	}
	n, done, err := body.Next(rest)
	switch {
	case err != nil:
		f.refuse(l, c, err)
		return nil
	case !done:
		if fl.req.Expect100 && len(rest) == 0 {
			l.Write(c, []byte("HTTP/1.1 100 Continue\r\n\r\n"), 0)
		}
		f.begin(l, c, cl, &partial{buf: append([]byte(nil), head...), body: body})
		f.become(cl, phaseBody)
		return nil
	}
	f.request(l, c, cl, rest[n:])
	return rest[n:]
}

// readBody takes bytes of a body, and returns those behind it.
func (f *front) readBody(l netloop.Loop, c netloop.Conn, cl *client, b []byte) (rest []byte) {
	fl := f.loop(l)
	p := fl.partials[c.Slot()]
	n, done, err := p.body.Next(b)
	if done {
		err = wire.ParseRequest(p.buf, wire.Limits{}, &fl.req) // again: another request may have come in between
	}
	if err != nil {
		f.refuse(l, c, err)
		return nil
	}
	if !done {
		return nil
	}
	delete(fl.partials, c.Slot())
	f.become(cl, phaseHead)
	f.request(l, c, cl, b[n:])
	return b[n:]
}

// refuse answers a request that cannot be understood, and ends the connection: where its next request would begin is
// anybody's guess.
func (f *front) refuse(l netloop.Loop, c netloop.Conn, err error) {
	bad := &wire.Error{Status: 400, Reason: plain(err)}
	errors.As(err, &bad)
	f.refuseWith(l, c, causeBadRequest, bad.Status, bad.Reason+"\n")
}

// refuseWith answers with an error and ends the connection.
func (f *front) refuseWith(l netloop.Loop, c netloop.Conn, why cause, status int, text string, fields ...string) {
	f.loop(l).clients.At(c.Slot()).flags |= flagLast
	f.answer(l, c, why, status, text, fields...)
}
