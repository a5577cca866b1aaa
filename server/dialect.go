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

// dialectOf is the dialect of a request's path, and the list of ids in it.
func dialectOf(req *wire.Request) (d dialect, list []byte) {
	if list, ok := bytes.CutPrefix(req.Path, []byte("/test/")); ok {
		return dialectHTML, list
	}
	if list, ok := bytes.CutPrefix(req.Path, []byte("/ws/")); ok {
		return dialectWS, list
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
	fl.headOnly = string(fl.req.Method) == "HEAD"
	f.respond(l, c, cl, rest)
	fl.headOnly = false // of what is said without a request
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
	case do == doLogin && d == dialectHTML:
		f.stream(l, c, cl, d, rest)
	case do == doHead:
		if cl.has(flagPlain) {
			cl.flags |= flagLast // its head says so
		}
		f.reply(l, c, causeAnswered, fl.streamHead(l.Now(), cl, d), 0)
	case do == doNotImplemented:
		f.answer(l, c, causeBadRequest, 501, "This method is not implemented here.\n")
	default:
		if file, ok := f.s.files[string(fl.req.Path)]; ok && string(fl.req.Method) != "POST" {
			f.file(l, c, file)
			return
		}
		f.answer(l, c, causeNotFound, 404, "Not found. A stream is at /test/{id}.\n")
	}
}

// render writes a message in the dialect of the session.
func (fl *frontLoop) render(cl *client, msg []byte) []byte {
	// A chunk's size stands in front of it, so the text comes first: behind the room that the size line may take.
	b := append(fl.scratch[:0], "          "[:chunkRoom]...)
	switch cl.dialect {
	case dialectHTML: // what the seed's feed/3 writes: one chunk with its number on this connection
		b = append(b, "Recvd msg #"...)
		b = strconv.AppendUint(b, uint64(cl.n)+1, 10)
		b = append(b, ": '"...)
		b = wire.AppendHTMLEscaped(b, msg)
		b = append(b, "'<br/>"...)
	case dialectWS:
		b = wire.WrapFrame(wire.AppendUTF8Repaired(b, msg), len(b), wire.OpText)
	}
	return fl.frame(cl, b)
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
