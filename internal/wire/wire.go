// Package wire speaks the protocols of a comet stream without I/O: the heads of requests and responses, the chunked
// coding both ways, event streams and JSON lines, WebSockets, what a request asks for (ids, cursors, queries, Accept),
// escaping, and the stamp of a generated message.
//
// Everything works on []byte. Feed in what has arrived, however it was cut, and get events out; ask for bytes, and get
// them appended to your slice. There is no reader, no writer, no goroutine, no clock and, as long as the input is good,
// no allocation. Sources are named by number: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 8259 (JSON), RFC 6455
// (WebSocket); and by name: WHATWG HTML (event streams), URL (queries), Encoding (UTF-8).
//
// Two kinds of names do the work:
//
//   - HeadScanner and ChunkDecoder remember where they are between two reads. They hold no pointer and at most 16 bytes,
//     so that a record of an idle connection can contain them. Their zero value is ready. After an error they stay at
//     the byte that caused it: the connection is lost, and scanning on answers the same. So does FrameDecoder, in 20 bytes
//     that are needed amid a message only.
//   - ParseRequest, ParseResponse and NextStamp look at bytes that are there as a whole and remember nothing. What they
//     return are slices of their input, which live as long as the caller leaves that input alone.
//
// Who hands over a slice keeps it; nothing is retained after a call. A value of this package has no lock: the goroutine
// that has the turn of its connection is the only one to touch it.
//
// A server uses it so: Scan what arrives until a head is whole (keep the bytes of an unfinished one), ParseRequest that
// head once, skip its Body, answer with AppendChunk and LastChunk. A client does the same with ParseResponse, ChunkDecoder.Next and
// NextStamp. Every rule about single bytes and line ends lives in HeadScanner, every rule about meaning in the parsers;
// docs/design/wire.md says which rules are stricter than the RFC, and why.
package wire

import (
	"fmt"
	"math"
)

// Limits bounds what a head may cost its reader. A field that is zero or negative means that of DefaultLimits.
type Limits struct {
	Line   int // bytes of the start line, without its line end
	Head   int // bytes of the head, from the start line to the empty line that ends it
	Fields int // number of fields
}

// DefaultLimits returns 8 KiB for a start line (RFC 9112 section 3 asks for at least 8000 bytes), 16 KiB for a head, and
// 100 fields.
func DefaultLimits() Limits { return Limits{Line: 8 << 10, Head: 16 << 10, Fields: 100} }

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Line <= 0 {
		l.Line = d.Line
	}
	if l.Head <= 0 {
		l.Head = d.Head
	}
	if l.Fields <= 0 {
		l.Fields = d.Fields
	}
	l.Head = min(l.Head, math.MaxInt32) // HeadScanner counts in 32 bits
	return l
}

// Error says why bytes were refused. It is the only type of error that this package returns.
type Error struct {
	// Status is the HTTP status to answer with: 400, 413, 414, 431, 501 or 505. In a response, which nobody answers, it only
	// classes the fault. Of the frames of a WebSocket it is the code to close with: 1002, 1007 or 1009.
	Status int
	// Reason names the offence in one line of printable text. It may quote up to 40 bytes of the input: escape it before
	// it becomes HTML.
	Reason string
}

// Error returns the Reason.
func (e *Error) Error() string { return e.Reason }

// reject makes the *Error of a refusal. Input is quoted with %+.40q, so that an error stays one short printable line.
func reject(status int, format string, args ...any) error {
	return &Error{Status: status, Reason: fmt.Sprintf(format, args...)}
}

// Classes of bytes: the bits of class.
const (
	isToken  = 1 << iota // tchar of RFC 9110 section 5.6.2: methods, field names
	isText               // HTAB, SP, VCHAR and obs-text: field values, reason phrases
	isTarget             // VCHAR save '#': request targets, which carry no fragment
	isHost               // unreserved and sub-delims of RFC 3986: host names
	isID                 // A-Z a-z 0-9 . _ ~ -: ids
	isDigit              // 0-9
)

// class holds the classes of each byte; it is never written to.
var class = func() (t [256]uint8) {
	mark := func(bits uint8, set string) {
		for i := range len(set) {
			t[set[i]] |= bits
		}
	}
	const digits, letters = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	mark(isToken|isHost|isID, digits+letters+"-._~")
	mark(isDigit, digits)
	mark(isToken, "!#$%&'*+^`|")
	mark(isHost, "!$&'()*+,;=")
	for c := range t {
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[c] |= isText
		}
		if c > ' ' && c < 0x7f && c != '#' {
			t[c] |= isTarget
		}
	}
	return t
}()

// span is the length of the longest prefix of b whose bytes all have one of the classes in bits.
func span(b []byte, bits uint8) int {
	for i, c := range b {
		if class[c]&bits == 0 {
			return i
		}
	}
	return len(b)
}

// notHex marks what is no hexadecimal digit in unhex.
const notHex = 0xff

// unhex holds the value of each hexadecimal digit, and notHex for other bytes; it is never written to.
var unhex = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = uint8(c - '0')
		case c >= 'a' && c <= 'f':
			t[c] = uint8(c - 'a' + 10)
		case c >= 'A' && c <= 'F':
			t[c] = uint8(c - 'A' + 10)
		default:
			t[c] = notHex
		}
	}
	return t
}()
