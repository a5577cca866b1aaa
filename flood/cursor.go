package flood

import (
	"errors"
	"fmt"
	"strings"

	"cometctl/internal/netloop"
	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// Cursor says where an answer to a poll tells how to go on, for servers that have a way of their own: what {cursor} is in the next request. The zero
// Cursor goes by what an answer has: Last-Event-ID, or Last-Modified and ETag.
type Cursor struct {
	kind  cursorKind
	name  string // of the field, or of the JSON member
	first string // what {cursor} is in the first request
}

type cursorKind uint8

const (
	cursorNone   cursorKind = iota
	cursorHeader            // a field of the answer
	cursorJSON              // a member of the JSON in its body
	cursorDated             // Last-Modified and ETag, as conditions of the next request
)

const cursorWays = "give header:NAME, json:NAME or last-modified; header:NAME=FIRST says what the first request has"

// ParseCursor reads the value of --cursor. It reads on from the flag.
func ParseCursor(s string) (c Cursor, err error) {
	way, name, _ := strings.Cut(s, ":")
	c.name, c.first, _ = strings.Cut(name, "=")
	switch way {
	case "":
		if s == "" {
			return Cursor{}, nil
		}
	case "last-modified":
		if s == way {
			return Cursor{kind: cursorDated}, nil
		}
	case "header":
		c.kind = cursorHeader
		if _, _, err := parseField(c.name + ": x"); err != nil {
			return Cursor{}, fmt.Errorf("%.80q: %q is no name of a field; %s", s, c.name, cursorWays)
		}
	case "json":
		c.kind = cursorJSON
		if c.name == "" || strings.ContainsAny(c.name, `"\`) || len(c.name) > maxRun {
			return Cursor{}, fmt.Errorf("%.80q: %q is no name of a JSON member that is written as it is; %s", s, c.name, cursorWays)
		}
	}
	switch {
	case c.kind == cursorNone:
		return Cursor{}, fmt.Errorf("%.80q: %s", s, cursorWays)
	case len(c.first) > maxCursor || !usableCursor([]byte(c.first)):
		return Cursor{}, fmt.Errorf("%.80q: the first cursor is longer than %d bytes, or has a control character", s, maxCursor)
	}
	return c, nil
}

// templated tells that the cursor goes where {cursor} stands.
func (c Cursor) templated() bool { return c.kind == cursorHeader || c.kind == cursorJSON }

// Errors of a URL with {cursor}, or without it. Each reads on from the URL itself.
var (
	errNoCursor  = errors.New("has {cursor}; say with --as poll where an answer has it: --cursor header:NAME or json:NAME")
	errNoPlace   = errors.New("has no {cursor}, and no field of -H has it, so what --cursor finds would go nowhere")
	errPlacePush = errors.New("is a WebSocket, which has no {cursor}")
)

// checkCursor judges u by whether there are cursors.
func (r *Rules) checkCursor(u *parsedURL) error {
	poll := r.As == AsPoll && !u.websocket
	switch has := u.cursor || r.Header.cursor; {
	case u.cursor && u.websocket:
		return errPlacePush
	case has && !u.websocket && (!poll || !r.Cursor.templated()):
		return errNoCursor
	case !has && poll && r.Cursor.templated():
		return errNoPlace
	}
	return nil
}

// maxCursor is how long a cursor may be, in bytes.
const maxCursor = 230

// causeCursor is the cause of a poll that ends because the next one cannot be asked.
const causeCursor cause = "bad cursor"

// place of a poll by --cursor; only connections that poll so have one.
type cursorMark struct {
	scan wire.ValueScanner
	n    uint8
	some bool // there is one; before, the first of --cursor counts

	answered bool // as in mark
	text     [maxCursor]byte
}

func (m *cursorMark) value() []byte { return m.text[:m.n] }

// usableCursor tells whether a cursor can stand in a field.
func usableCursor(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// cursors are the places of one loop's connections.
type cursors struct {
	slab slab.Slab[cursorMark]
	how  Cursor
}

func (s *cursors) reach(held *slab.Slot) *cursorMark {
	if *held == 0 {
		*held = s.slab.Alloc()
		*s.slab.At(*held) = cursorMark{}
	}
	return s.slab.At(*held)
}

// head takes the cursor from an answer's fields, where it is there.
func (s *cursors) head(held *slab.Slot, r *wire.Response) error {
	m := s.reach(held)
	m.scan, m.answered = wire.ValueScanner{}, true
	if s.how.kind != cursorHeader {
		return nil
	}
	text, ok := r.Field(s.how.name)
	if !ok {
		return nil
	}
	if len(text) > len(m.text) {
		return causeCursor
	}
	m.n, m.some = uint8(copy(m.text[:], text)), true
	return nil
}

// body takes it from a piece of an answer's body.
func (s *cursors) body(held slab.Slot, data []byte) {
	if s.how.kind != cursorJSON || held == 0 {
		return
	}
	m := s.slab.At(held)
	value := m.scan.Scan(data, s.how.name, m.text[:m.n])
	m.n, m.some = uint8(len(value)), m.some || len(value) > 0
}

// next is the cursor of the next request. ok is false where the answer has one that cannot be sent.
func (s *cursors) next(held slab.Slot) (text []byte, ok bool) {
	if held == 0 || !s.slab.At(held).some {
		return []byte(s.how.first), true
	}
	m := s.slab.At(held)
	return m.value(), !m.scan.Long() && usableCursor(m.value())
}

func (s *cursors) forget(held *slab.Slot) {
	if *held != 0 {
		s.slab.Free(*held)
		*held = 0
	}
}

// appendEscaped appends a cursor as a part of a URL: what is neither unreserved nor harmless in a query is percent-encoded (RFC 3986 section 3.4).
func appendEscaped(dst, text []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range text {
		if isCursor(c) {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', digits[c>>4], digits[c&15])
	}
	return dst
}

// poll asks for what came since the answer that has ended. It returns false where that cannot be asked for: c has ended.
func (a *lane) poll(l netloop.Loop, c netloop.Conn, r *record) bool {
	r.stream.again()
	if !a.composePoll(r) {
		a.heads.forgetKept(&r.stream) // the next connection begins anew
		l.Close(c, causeCursor)
		return false
	}
	l.Write(c, a.request, 0)
	return true
}

// composePoll makes a.request the next poll of a connection, and returns false where that cannot be asked for.
func (a *lane) composePoll(r *record) bool {
	targets, marks := a.plan.targets, &a.heads.marks
	if !targets.cursor.templated() {
		a.request = targets.appendRequest(a.request[:0], int(r.target), marks.at(r.stream.kept), nonce{})
		return true
	}
	cursor, ok := marks.cursors.next(r.stream.kept)
	if ok {
		a.request = targets.appendPoll(a.request[:0], int(r.target), cursor)
	}
	return ok
}
