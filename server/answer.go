package server

import (
	"net/http"
	"strconv"
	"time"

	"cometctl/internal/netloop"
)

// Texts of answers that several places give.
const (
	drainingText = "This server is about to end. Try again later.\n"
	retryLater   = "Retry-After: 5\r\n"
)

// answer answers with a text, and counts a refusal. The fields are whole lines.
func (f *front) answer(l netloop.Loop, c netloop.Conn, why cause, status int, text string, fields ...string) {
	fl := f.loop(l)
	f.s.counts.refused[why].Add(1)
	b := fl.beginHead(l.Now(), fl.out[:0], status)
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\n"...)
	b = f.s.cfg.appendCORS(b, fl.origin())
	for _, field := range fields {
		b = append(b, field...)
	}
	b = fl.endHead(b, fl.clients.At(c.Slot()), len(text))
	if !fl.isHead() {
		b = append(b, text...)
	}
	fl.out = b
	f.reply(l, c, why, b, 0)
}

// reply sends a whole response, which is told by tag unless that is 0, and goes on to the connection's next request, or ends it.
func (f *front) reply(l netloop.Loop, c netloop.Conn, why cause, response []byte, tag uint32) {
	cl := f.loop(l).clients.At(c.Slot())
	switch {
	case cl.has(flagLast) && tag == 0:
		f.finish(l, c, why, response) // taken whatever is pending
	case !l.Write(c, response, tag): // it asks, and does not read
		if tag != 0 {
			f.s.ledger.settle(tag, dropped)
		}
		f.close(l, c, causeSlow, errSlow)
	case cl.has(flagLast):
		f.finish(l, c, why, nil)
	default:
		cl.flags |= flagKept
		f.become(cl, phaseHead)
		l.SetDeadline(c, f.s.cfg.KeepAlive)
	}
}

// beginHead appends the beginning of a response's head. now is the loop's.
func (fl *frontLoop) beginHead(now time.Duration, dst []byte, status int) []byte {
	if fl.date == "" || now-fl.dateAt >= time.Second {
		fl.date, fl.dateAt = time.Now().UTC().Format(http.TimeFormat), now
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	dst = append(dst, "\r\nServer: cometctl\r\nDate: "...)
	dst = append(dst, fl.date...)
	return append(dst, "\r\n"...)
}

// endHead appends the end of the head of a response with length bytes of content; less than none for one that can have no content.
func (fl *frontLoop) endHead(dst []byte, cl *client, length int) []byte {
	if length >= 0 {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(length), 10)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case cl.has(flagLast):
		dst = append(dst, "Connection: close\r\n"...)
	case cl.has(flagPlain): // HTTP/1.0 wants to be told
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// isHead tells whether what is said now answers a HEAD, and so has no content.
func (fl *frontLoop) isHead() bool { return fl.asked && string(fl.req.Method) == "HEAD" }

// origin is that of the page whose request is being answered, nil if it is no page's.
func (fl *frontLoop) origin() []byte {
	if !fl.asked {
		return nil
	}
	origin, _ := fl.req.Field("Origin")
	return origin
}

// appendCORS appends the fields that let a page of an allowed origin read a response (WHATWG Fetch, section 3.2).
func (c *Config) appendCORS(dst, origin []byte) []byte {
	if len(c.AllowOrigin) == 0 {
		return dst
	}
	dst = append(dst, "Vary: Origin\r\n"...)
	if len(origin) == 0 || !c.allowsOrigin(origin) {
		return dst
	}
	dst = append(dst, "Access-Control-Allow-Origin: "...)
	dst = append(dst, origin...)
	return append(dst, "\r\nAccess-Control-Expose-Headers: Last-Event-ID\r\n"...)
}

// isPreflight tells whether fl.req asks, for a page of an allowed origin, what it may send.
func (f *front) isPreflight(fl *frontLoop) bool {
	origin := fl.origin()
	return string(fl.req.Method) == "OPTIONS" && len(origin) > 0 && f.s.cfg.allowsOrigin(origin)
}

// preflight answers such a request.
func (f *front) preflight(l netloop.Loop, c netloop.Conn, cl *client) {
	fl := f.loop(l)
	b := fl.beginHead(l.Now(), fl.out[:0], 204)
	b = f.s.cfg.appendCORS(b, fl.origin())
	b = append(b, "Access-Control-Allow-Methods: GET, HEAD\r\nAccess-Control-Allow-Headers: Last-Event-ID, Content-Type\r\nAccess-Control-Max-Age: 600\r\n"...)
	fl.out = fl.endHead(b, cl, -1)
	f.reply(l, c, causeAnswered, fl.out, 0)
}
