package server

import (
	"bytes"
	"errors"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// This file is the front's WebSockets (RFC 6455): how a connection becomes one, what its client says, and how it ends. Messages for the client
// are written as those of any other stream. What clients may publish is in talk.go.
//
// An idle WebSocket owns nothing but its records: what has come of a frame, or of a message, and is not whole lies in frontLoop.sockets meanwhile.

// jsonProtocol is the subprotocol of a client that wants JSON lines, for those that cannot choose a query.
const jsonProtocol = "cometctl.json"

// socket is what a client has begun to say.
type socket struct {
	frames  wire.FrameDecoder
	message []byte // of a message that came in parts
	control []byte // of a control frame that came in parts
}

func (s *socket) idle() bool {
	return s.frames == wire.FrameDecoder{} && s.message == nil && s.control == nil
}

// isSocket tells whether a dialect is spoken in frames.
func (d dialect) isSocket() bool { return d == dialectWS || d == dialectWSJSON }

// upgrade answers a request for a WebSocket: by a session, once the handshake is good. Bytes behind the request, which its client should not
// have sent before it had the answer, are frames.
func (f *front) upgrade(l netloop.Loop, c netloop.Conn, cl *client, rest []byte) {
	fl := f.loop(l)
	up, err := wire.ParseUpgrade(&fl.req, jsonProtocol)
	if bad := new(wire.Error); errors.As(err, &bad) && bad.Status == 426 {
		f.answer(l, c, causeBadRequest, bad.Status, bad.Reason+"\n", wire.UpgradeFields)
		return
	}
	d := dialectWS
	if err == nil {
		d, err = socketDialect(&fl.req, up)
	}
	switch {
	case err != nil:
		f.refuse(l, c, err)
		return
	case !f.s.cfg.mayUpgrade(&fl.req):
		f.refuseWith(l, c, causeBadRequest, 403, "A page of this origin may not open WebSockets here; --allow-origin lets it.\n")
		return
	}
	fl.up = up
	if f.s.cfg.WSPublish {
		fl.talkers[c.Slot()] = talker{c, joinIDs(&fl.ids)}
	}
	f.stream(l, c, cl, d, rest)
}

// socketDialect is the dialect that a handshake asks for.
func socketDialect(req *wire.Request, up wire.Upgrade) (dialect, error) {
	format, _, err := wire.QueryValue(req.Query, "format")
	switch {
	case err != nil:
		return dialectNone, err
	case string(format) == "json", len(format) == 0 && up.Protocol == jsonProtocol:
		return dialectWSJSON, nil
	case len(format) == 0, string(format) == "text":
		return dialectWS, nil
	}
	return dialectNone, &wire.Error{Status: 400, Reason: "The format of a WebSocket is text or json."}
}

// mayUpgrade tells whether the page that asks for a WebSocket may have one: browsers let every page ask, of whatever origin, so the server has
// to look. A client that names no origin is no browser. A page of this server's own is one whose origin has the host that the request is for;
// the scheme may differ where TLS ends before this server.
func (c *Config) mayUpgrade(req *wire.Request) bool {
	origin, named := req.Field("Origin")
	if !named || c.allowsOrigin(origin) {
		return true
	}
	scheme, at, ok := bytes.Cut(origin, []byte("://"))
	host, _ := req.Field("Host")
	return ok && (string(scheme) == "http" || string(scheme) == "https") && bytes.EqualFold(at, host)
}

// appendUpgraded appends the head that makes a connection a WebSocket.
func (fl *frontLoop) appendUpgraded(dst []byte) []byte {
	return wire.AppendUpgraded(dst, fl.up, "Server: cometctl\r\n")
}

// wrapLine makes the JSON line that b has from at on a frame, which needs no line end.
func wrapLine(b []byte, at int) []byte { return wire.WrapFrame(b[:len(b)-1], at, wire.OpText) }

// hear takes what a WebSocket's client says.
func (f *front) hear(l netloop.Loop, c netloop.Conn, cl *client, b []byte) {
	fl := f.loop(l)
	s := fl.sockets[c.Slot()]
	kept := s != nil
	if !kept {
		s = &fl.socket
		*s = socket{}
	}
	cl.n = 0 // whatever it says: it is there
	for len(b) > 0 && cl.phase == phaseStream {
		p, n, err := s.frames.Next(b, wire.FrameRules{MessageMax: f.s.cfg.FrameMax})
		b = b[n:]
		switch {
		case err != nil:
			bad := new(wire.Error)
			errors.As(err, &bad)
			f.hangUp(l, c, causeProtocol, bad.Status, bad.Reason)
		case p.Op >= wire.OpClose:
			if payload, whole := f.gather(fl, &s.control, p); whole {
				f.heardControl(l, c, p.Op, payload)
			}
		case p.Op != wire.OpContinuation:
			f.heardData(l, c, s, p)
		}
	}
	switch {
	case cl.phase != phaseStream: // what it had begun is forgotten
		if !kept {
			fl.gathered -= len(s.message) + len(s.control)
		}
	case kept && s.idle():
		delete(fl.sockets, c.Slot())
	case !kept && !s.idle():
		fl.sockets[c.Slot()] = new(*s)
	}
}

// forgetSocket drops what the connection at slot had begun to say.
func (fl *frontLoop) forgetSocket(slot uint32) {
	if s := fl.sockets[slot]; s != nil {
		fl.gathered -= len(s.message) + len(s.control)
		delete(fl.sockets, slot)
	}
}

// gatherMax is how much a loop keeps, in bytes, of messages that its WebSockets have begun.
const gatherMax = 16 << 20

// gather collects the parts of a message or of a control frame in buf. One that comes in one part is not copied.
func (f *front) gather(fl *frontLoop, buf *[]byte, p wire.FramePart) (payload []byte, whole bool) {
	if p.End && len(*buf) == 0 {
		return p.Data, true
	}
	*buf = append(*buf, p.Data...)
	fl.gathered += len(p.Data)
	if !p.End {
		return nil, false
	}
	payload, *buf = *buf, nil
	fl.gathered -= len(payload)
	return payload, true
}

// heardControl answers a whole control frame.
func (f *front) heardControl(l netloop.Loop, c netloop.Conn, op wire.Opcode, payload []byte) {
	fl := f.loop(l)
	switch op {
	case wire.OpPing: // a pong that has no room is lost: RFC 6455 section 5.5.3 has a later one answer for it
		fl.out = wire.AppendFrame(fl.out[:0], wire.OpPong, payload)
		l.Write(c, fl.out, 0)
	case wire.OpClose:
		code, _, err := wire.ParseClose(payload)
		if bad := new(wire.Error); errors.As(err, &bad) {
			f.hangUp(l, c, causeProtocol, bad.Status, bad.Reason)
			return
		}
		f.hangUp(l, c, causePeer, code, "")
	}
}

// heardData takes a part of a message.
func (f *front) heardData(l netloop.Loop, c netloop.Conn, s *socket, p wire.FramePart) {
	fl := f.loop(l)
	switch {
	case !f.s.cfg.WSPublish: // said aloud: who sends waits for something to come of it
		f.hangUp(l, c, causeProtocol, wire.ClosePolicy, "messages are not taken here (--ws-publish)")
	case p.Op != wire.OpText:
		f.hangUp(l, c, causeProtocol, wire.CloseUnsupported, "messages are text")
	case !p.End && fl.gathered+len(p.Data) > gatherMax:
		f.hangUp(l, c, causeRate, wire.CloseAgain, "too many messages are on their way")
	default:
		if msg, whole := f.gather(fl, &s.message, p); whole {
			f.publish(l, c, msg)
		}
	}
}

// hangUp ends a WebSocket: what is queued for it leaves, then the close frame, then this side's end of the connection. What the client still
// sends, its own close frame for one, is read past until it ends its side too.
func (f *front) hangUp(l netloop.Loop, c netloop.Conn, why cause, code int, reason string) {
	fl := f.loop(l)
	fl.out = wire.AppendClose(fl.out[:0], code, reason)
	f.finish(l, c, why, fl.out)
}

// farewell is the close frame's code and reason for an end that this server has decided on.
func farewell(why cause) (code int, reason string) {
	switch why {
	case causeDrained:
		return wire.CloseGoingAway, "this server is about to end"
	case causeKicked:
		return wire.ClosePolicy, "ended by an operator"
	}
	return wire.CloseInternal, why.String()
}

// errNoPong is why a connection ends whose client does not answer.
var errNoPong = errors.New("server: no answer to a ping")

// pingFrame is what asks a client whether it is there.
var pingFrame = wire.AppendFrame(nil, wire.OpPing, nil)

// ping asks a client whether it is there. One that has said nothing since the last time, not even the pong, is not. While there is output for
// it, nobody asks: it could not answer before it has read that.
func (f *front) ping(l netloop.Loop, c netloop.Conn, cl *client) {
	switch {
	case l.Pending(c) > 0:
	case cl.n != 0:
		f.close(l, c, causeIdleTimeout, errNoPong)
	case l.Write(c, pingFrame, 0):
		cl.n = 1
	}
}
