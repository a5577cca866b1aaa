package flood

import (
	"errors"
	"fmt"

	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// As is how the http:// and https:// targets of a run are read: see the constants. ws:// and wss:// targets speak WebSocket, whatever it is.
type As string

// The ways to read an http:// target.
const (
	AsStream As = ""     // a GET; the body of the 200 goes on and on
	AsSSE    As = "sse"  // the same, asking for text/event-stream and accepting nothing else
	AsPoll   As = "poll" // a GET after the other on one connection, each going on from where the last answer ended
)

// ParseAs reads the value of --as. It reads on from the flag.
func ParseAs(s string) (As, error) {
	switch as := As(s); as {
	case AsStream, AsSSE, AsPoll:
		return as, nil
	}
	return "", fmt.Errorf("%q: give sse (server-sent events) or poll (long poll); WebSocket is a URL that begins with ws://", s)
}

// dialect is what a connection speaks.
type dialect uint8

const (
	dialectStream dialect = iota
	dialectSSE
	dialectPoll
	dialectWebSocket // ws://, wss://
)

func (as As) dialect() dialect {
	switch as {
	case AsSSE:
		return dialectSSE
	case AsPoll:
		return dialectPoll
	}
	return dialectStream
}

// accept is the Accept field of a request, where -H says nothing else.
func (d dialect) accept() string {
	if d == dialectSSE {
		return "text/event-stream"
	}
	return "*/*"
}

// check refuses the head of a response that is none of the dialect's. A WebSocket's 101 is not its business.
func (d dialect) check(r *wire.Response) error {
	switch {
	case d == dialectWebSocket:
		return statusCause(r.Status) // it is no 101
	case r.Status == 204 && d == dialectPoll:
		return nil
	case r.Status != 200:
		return statusCause(r.Status)
	case d == dialectSSE && !isEventStream(r):
		return causeNoEvents
	}
	return nil
}

// isEventStream tells whether the Content-Type is text/event-stream, with or without parameters (WHATWG HTML, section 9.2.3).
func isEventStream(r *wire.Response) bool {
	const eventStream = "text/event-stream"
	kind, _ := r.Field("Content-Type")
	if len(kind) < len(eventStream) {
		return false
	}
	rest := kind[len(eventStream):]
	for i, c := range []byte(eventStream) {
		if kind[i]|0x20 != c|0x20 {
			return false
		}
	}
	return len(rest) == 0 || rest[0] == ';' || rest[0] == ' ' || rest[0] == '\t'
}

// mark is where the next poll of a connection goes on: what the last answer said. Only connections that poll have one.
type mark struct {
	kind markKind
	tag  uint8 // dated: where in text the ETag begins
	n    uint8
	text [60]byte

	answered bool // on this connection
}

type markKind uint8

const (
	markNone  markKind = iota
	markSince          // text is a cursor, from Last-Event-ID: for ?since=
	markDated          // text is a Last-Modified, and an ETag perhaps: for If-Modified-Since and If-None-Match, as nchan has it
)

var errMark = errors.New("flood: a position that does not fit")

// take makes m what the head of an answer says. An answer that says nothing leaves it.
func (m *mark) take(r *wire.Response) error {
	if cursor, ok := r.Field("Last-Event-ID"); ok && len(cursor) > 0 {
		for _, c := range cursor { // it becomes a part of a URL
			if !isCursor(c) {
				return errMark
			}
		}
		return m.set(markSince, cursor, nil)
	}
	return m.dated(r)
}

// dated is take without Last-Event-ID.
func (m *mark) dated(r *wire.Response) error {
	if at, ok := r.Field("Last-Modified"); ok {
		tag, _ := r.Field("ETag")
		return m.set(markDated, at, tag)
	}
	return nil
}

func (m *mark) set(kind markKind, text, tag []byte) error {
	if len(text)+len(tag) > len(m.text) {
		return errMark
	}
	m.kind, m.tag, m.n = kind, uint8(len(text)), uint8(len(text)+len(tag))
	copy(m.text[copy(m.text[:], text):], tag)
	return nil
}

// isCursor tells whether c can stand in a cursor, see wire.ParseCursor.
func isCursor(c byte) bool {
	switch {
	case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
		return true
	}
	return c == '.' || c == '_' || c == '~' || c == '-' || c == ':' || c == ','
}

// marks are the marks of one loop's connections.
type marks struct {
	slab    slab.Slab[mark]
	cursors cursors // instead, where --cursor says so
}

// note keeps what an answer says in *held, which is 0 before the first.
func (s *marks) note(held *slab.Slot, r *wire.Response) error {
	if s.cursors.how.templated() {
		return s.cursors.head(held, r)
	}
	if *held == 0 {
		*held = s.slab.Alloc()
	}
	s.slab.At(*held).answered = true
	if s.cursors.how.kind == cursorDated {
		return s.slab.At(*held).dated(r)
	}
	return s.slab.At(*held).take(r)
}

// answered tells whether a poll of a connection has had an answer.
func (s *marks) answered(held slab.Slot) bool { return held != 0 && *s.answer(held) }

// answer is where that is noted.
func (s *marks) answer(held slab.Slot) *bool {
	if s.cursors.how.templated() {
		return &s.cursors.slab.At(held).answered
	}
	return &s.slab.At(held).answered
}

// at is the mark of a connection; one that has none yet goes on from nowhere.
func (s *marks) at(held slab.Slot) mark {
	if held == 0 {
		return mark{}
	}
	return *s.slab.At(held)
}

// forget gives back the mark of a connection that has ended.
func (s *marks) forget(held *slab.Slot) {
	if s.cursors.how.templated() {
		s.cursors.forget(held)
		return
	}
	if *held != 0 {
		s.slab.Free(*held)
		*held = 0
	}
}
