package server

import (
	"io"
	"net/http"
	"time"
)

// The admin listener's patience.
const (
	adminBody   = 10 * time.Second // for a request's body, and a second more for each bodyRate bytes that have come
	adminAnswer = 30 * time.Second // for a piece of an answer to be taken
	adminIdle   = 30 * time.Second // for the next request of a connection

	bodyRate = 1 << 10 // bytes per second
)

// adminTimes is the patience with one server's clients. net/http's own ReadTimeout is of no use here: it would cut a publisher's stream,
// and end each handler that takes longer, because the read that watches out for the client's end fails. So each request's deadlines are set
// as it goes.
type adminTimes struct{ body, answer, idle time.Duration }

// apply makes the deadlines of a request follow what it reads and writes.
func (t adminTimes) apply(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
	control := http.NewResponseController(w)
	now := time.Now()
	if r.Body != http.NoBody {
		b := &timedBody{ReadCloser: r.Body, control: control, until: now.Add(t.body)}
		// Set for who reads nothing, too: net/http reads a part of what it was not asked for.
		control.SetReadDeadline(b.until)
		r.Body = b
	}
	return &timedWriter{w, control, t.answer, now}, r // net/http has just set the first deadline, by its WriteTimeout
}

// timedBody is a request's body that has to come at bodyRate.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	until   time.Time // when the next byte must have come, without what earned
	earned  int       // bytes that have come since until was set
	endless bool
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case b.endless:
	case err == io.EOF:
		b.control.SetReadDeadline(time.Time{}) // from here on net/http reads to see whether the client ends
	default:
		if b.earned += n; b.earned >= bodyRate { // not for each read: a deadline costs more than a short message
			b.until = b.until.Add(time.Duration(b.earned) * time.Second / bodyRate)
			b.earned = 0
			b.control.SetReadDeadline(b.until)
		}
	}
	return n, err
}

// endless lets the body of r take as long as it likes: a publisher may have nothing to say for days. One whose machine is gone is noticed by
// TCP's keep-alive.
func endless(r *http.Request) {
	if b, ok := r.Body.(*timedBody); ok {
		b.endless = true
		b.control.SetReadDeadline(time.Time{})
	}
}

// timedWriter gives each write of an answer its time, however long its handler thought before: a profile takes half a minute.
type timedWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	set      time.Time // when the deadline was set to patience from then
}

// WriteHeader implements http.ResponseWriter.
func (w *timedWriter) WriteHeader(status int) {
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *timedWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// extend sets the deadline anew, unless nearly all of it is left.
func (w *timedWriter) extend() {
	if now := time.Now(); now.Sub(w.set) > w.patience/8 {
		w.set = now
		w.control.SetWriteDeadline(now.Add(w.patience))
	}
}

// Unwrap is what http.ResponseController looks for.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
