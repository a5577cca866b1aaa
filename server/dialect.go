package server

import (
	"bytes"
	"strconv"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
	"cometctl/server/router"
)

// doing is what a request asks for.
type doing uint8

const (
	doNotFound       doing = iota
	doNotImplemented       // a method that the seed does not know
	doLogin                // messages for ids, in a dialect
	doHead                 // the head of what doLogin would answer
)

// route decides what a request gets: the table of the comet listener. For doLogin and doHead, ids are those that it names.
func route(req *wire.Request, ids *wire.IDs) (doing, dialect, error) {
	method := string(req.Method)
	if method == "POST" {
		return doNotFound, dialectNone, nil
	}
	if method != "GET" && method != "HEAD" {
		return doNotImplemented, dialectNone, nil
	}
	d, list := dialectOf(req)
	if d == dialectNone {
		return doNotFound, d, nil
	}
	if err := ids.Parse(list); err != nil {
		return doNotFound, d, err
	}
	for i := range ids.Len() {
		if err := router.ValidID(ids.At(i)); err != nil {
			return doNotFound, d, err
		}
	}
	if method == "HEAD" {
		return doHead, d, nil
	}
	return doLogin, d, nil
}

// prefixes are the paths of each dialect; the ids follow.
var prefixes = [...]struct {
	path string
	d    dialect
}{{"/test/", dialectHTML}, {"/events/", dialectSSE}, {"/poll/", dialectPoll}, {"/ws/", dialectWS}}

// mediaTypes are what each dialect is called in HTTP.
var mediaTypes = [dialects]string{
	dialectHTML: "text/html; charset=utf-8", dialectSSE: "text/event-stream", dialectLines: "application/x-ndjson", dialectPoll: "application/x-ndjson",
}

// dialectOf is the dialect that a request asks for, by its path, and under /test/ by what it accepts; and the list of ids in its path. Who
// accepts nothing that we have gets the seed's stream, as from the seed.
func dialectOf(req *wire.Request) (d dialect, list []byte) {
	for _, p := range prefixes {
		list, ok := bytes.CutPrefix(req.Path, []byte(p.path))
		if !ok {
			continue
		}
		if p.d == dialectHTML {
			switch req.Prefers("text/html", mediaTypes[dialectSSE], mediaTypes[dialectLines]) {
			case 1:
				return dialectSSE, list
			case 2:
				return dialectLines, list
			}
		}
		return p.d, list
	}
	return dialectNone, nil
}

// request answers the request in fl.req; rest is what has arrived behind it.
func (f *front) request(l netloop.Loop, c netloop.Conn, cl *client, rest []byte) {
	fl := f.loop(l)
	f.headWhole(fl, cl)
	cl.flags &^= flagPlain | flagLast
	if fl.req.Minor == 0 {
		cl.flags |= flagPlain
	}
	if !fl.req.KeepAlive {
		cl.flags |= flagLast
	}
	fl.asked = true
	f.respond(l, c, cl, rest)
	fl.asked = false
}

func (f *front) respond(l netloop.Loop, c netloop.Conn, cl *client, rest []byte) {
	fl := f.loop(l)
	do, d, err := route(&fl.req, &fl.ids)
	switch {
	case f.s.draining.Load():
		f.refuseWith(l, c, causeDrained, 503, drainingText, retryLater)
	case err != nil:
		f.refuse(l, c, err)
	case d.isSocket():
		f.upgrade(l, c, cl, rest)
	case do == doLogin && d == dialectPoll:
		f.poll(l, c, cl)
	case do == doLogin:
		f.stream(l, c, cl, d, rest)
	case do == doHead:
		if cl.has(flagPlain) && d != dialectPoll {
			cl.flags |= flagLast // its head says so
		}
		f.reply(l, c, causeAnswered, fl.streamHead(f.s, l.Now(), cl, d), 0)
	case do == doNotImplemented && f.isPreflight(fl):
		f.preflight(l, c, cl)
	case do == doNotImplemented:
		f.answer(l, c, causeBadRequest, 501, "This method is not implemented here.\n")
	default:
		if file, ok := f.s.files[string(fl.req.Path)]; ok && string(fl.req.Method) != "POST" {
			f.file(l, c, file)
			return
		}
		f.answer(l, c, causeNotFound, 404, "Not found. Streams are at /test/{id}, /events/{id} and /ws/{id}, long polls at /poll/{id}, and / is a page that shows them.\n")
	}
}

// render writes a message in the dialect of the session, whose roll r may be nil.
func (fl *frontLoop) render(cl *client, r *roll, m *message) []byte {
	// A chunk's size stands in front of it, so the text comes first: behind the room that the size line may take.
	b := append(fl.scratch[:0], "          "[:chunkRoom]...)
	switch cl.dialect {
	case dialectHTML: // what the seed's feed/3 writes: one chunk with its number on this connection
		b = append(b, "Recvd msg #"...)
		b = strconv.AppendUint(b, uint64(cl.n)+1, 10)
		b = append(b, ": '"...)
		b = wire.AppendHTMLEscaped(b, m.text)
		return fl.frame(cl, append(b, "'<br/>"...))
	case dialectWS:
		return fl.frame(cl, wire.WrapFrame(wire.AppendUTF8Repaired(b, m.text), len(b), wire.OpText))
	}
	if cl.has(flagHole) {
		b = fl.appendHole(b, cl, r, m)
	}
	return fl.frame(cl, fl.appendMessage(b, cl, r, m))
}

// appendMessage appends a numbered message.
func (fl *frontLoop) appendMessage(b []byte, cl *client, r *roll, m *message) []byte {
	switch cl.dialect {
	case dialectSSE:
		return wire.AppendEvent(b, fl.cursorAt(r, m.n), "", m.text)
	case dialectWSJSON:
		return wrapLine(wire.AppendLine(b, m.id, m.n, m.text), len(b))
	default:
		return wire.AppendLine(b, m.id, m.n, m.text)
	}
}

// appendGap appends that messages of id up to n are lost.
func (fl *frontLoop) appendGap(b []byte, cl *client, r *roll, id []byte, n uint64) []byte {
	switch cl.dialect {
	case dialectSSE:
		return wire.AppendGapEvent(b, fl.cursorAt(r, n), id, n)
	case dialectWSJSON:
		return wrapLine(wire.AppendGap(b, id, n), len(b))
	default:
		return wire.AppendGap(b, id, n)
	}
}

// appendHole appends the gap of messages that were dropped before m, whose reader was too slow for them.
func (fl *frontLoop) appendHole(b []byte, cl *client, r *roll, m *message) []byte {
	if r == nil {
		cl.flags &^= flagHole
		return fl.appendGap(b, cl, r, m.id, m.n-1)
	}
	p := r.find(m.id)
	if !p.hole {
		return b
	}
	p.hole, p.n = false, m.n-1
	b = fl.appendGap(b, cl, r, m.id, p.n)
	p.n = m.n
	return b
}

// cursorAt is the cursor of a session that has read up to message n of its only id, or as far as its roll says.
func (fl *frontLoop) cursorAt(r *roll, n uint64) []byte {
	if r == nil || len(r.positions) == 1 {
		fl.number = strconv.AppendUint(fl.number[:0], n, 10)
	} else {
		fl.number = fl.appendCursor(fl.number[:0], r)
	}
	return fl.number
}

// chunkRoom is what the size line of a chunk may take.
const chunkRoom = 10

// frame makes b, which begins with chunkRoom bytes to spare, a piece of a stream: a chunk, or for HTTP/1.0 and WebSockets what it is.
func (fl *frontLoop) frame(cl *client, b []byte) []byte {
	text := len(b) - chunkRoom
	if cl.has(flagPlain) || cl.dialect.isSocket() {
		fl.scratch = b
		return b[chunkRoom:]
	}
	b = append(b, "\r\n"...)
	fl.scratch = b
	i := chunkRoom
	for _, ch := range []byte("\n\r") {
		i--
		b[i] = ch
	}
	for {
		i--
		b[i] = "0123456789abcdef"[text&15]
		if text >>= 4; text == 0 {
			return b[i:]
		}
	}
}
