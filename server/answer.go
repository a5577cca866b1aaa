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
	for _, field := range fields {
		b = append(b, field...)
	}
	b = fl.endHead(b, fl.clients.At(c.Slot()), len(text))
	if !fl.headOnly {
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

// endHead appends the end of the head of a response with length bytes of content.
func (fl *frontLoop) endHead(dst []byte, cl *client, length int) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(length), 10)
	switch {
	case cl.has(flagLast):
		dst = append(dst, "\r\nConnection: close"...)
	case cl.has(flagPlain): // HTTP/1.0 wants to be told
		dst = append(dst, "\r\nConnection: keep-alive"...)
	}
	return append(dst, "\r\n\r\n"...)
}
