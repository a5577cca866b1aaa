package wire

import (
	"bytes"
	"math"
)

// cutHead checks head as a HeadScanner would have, and cuts it into its start line and its fields (lines with CRLF). An
// empty line before the start line is dropped.
func cutHead(head []byte, lim Limits) (line, fields []byte, err error) {
	var s HeadScanner
	n, done, err := s.Scan(head, lim)
	switch {
	case err != nil:
		return nil, nil, err
	case !done:
		return nil, nil, reject(400, "head of %d bytes does not end with an empty line", len(head))
	case n < len(head):
		return nil, nil, reject(400, "%d bytes behind the head", len(head)-n)
	}
	if head[0] == '\r' {
		head = head[2:]
	}
	end := bytes.IndexByte(head, '\r')
	return head[:end], head[end+2 : len(head)-2], nil
}

// cutField takes the first field off fields, which a HeadScanner has checked and which is not empty.
func cutField(fields []byte) (name, value, rest []byte) {
	end := bytes.IndexByte(fields, '\r')
	colon := bytes.IndexByte(fields[:end], ':')
	return fields[:colon], trimSpace(fields[colon+1 : end]), fields[end+2:]
}

// field is the value of the first field called name.
func field(fields []byte, name string) (value []byte, ok bool) {
	for len(fields) > 0 {
		var n, v []byte
		if n, v, fields = cutField(fields); equalFold(n, name) {
			return v, true
		}
	}
	return nil, false
}

// trimSpace takes the optional white space (RFC 9110 section 5.6.3) off both ends of b.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold tells whether b is name, without regard to the case of ASCII letters.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		if c != name[i] && lower(c) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// cutElement takes the first element off a comma-separated list (RFC 9110 section 5.6.1).
func cutElement(list []byte) (element, rest []byte, more bool) {
	i := bytes.IndexByte(list, ',')
	if i < 0 {
		return trimSpace(list), nil, false
	}
	return trimSpace(list[:i]), list[i+1:], true
}

// meaning collects what the fields of a head say about its message and its connection.
type meaning struct {
	length     int64  // Content-Length, -1 without one
	lengthText []byte // its digits, to compare repeated ones
	coded      bool   // there is a Transfer-Encoding
	chunked    bool   // its last coding so far is chunked
	unknown    []byte // its first coding that is not chunked
	close      bool   // Connection lists close
	keepAlive  bool   // Connection lists keep-alive
	continues  bool   // Expect lists 100-continue
	hosts      int    // number of Host fields
}

// read looks at each field of a message of version HTTP/1.minor.
func (m *meaning) read(fields []byte, minor int) error {
	*m = meaning{length: -1}
	for len(fields) > 0 {
		var name, value []byte
		name, value, fields = cutField(fields)
		var err error
		switch { // equalFold compares lengths first, so that most fields cost six comparisons of a number
		case equalFold(name, "Host"):
			m.hosts++
			if !validHost(value) {
				err = reject(400, "bad Host %+.40q", value)
			}
		case equalFold(name, "Expect"):
			m.continues = m.continues || hasToken(value, "100-continue")
		case equalFold(name, "Connection"):
			m.close = m.close || hasToken(value, "close")
			m.keepAlive = m.keepAlive || hasToken(value, "keep-alive")
		case equalFold(name, "Content-Length"):
			err = m.readLength(value)
		case equalFold(name, "Transfer-Encoding"):
			err = m.readCoding(value)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case m.coded && m.length >= 0:
		return reject(400, "Content-Length and Transfer-Encoding in one message")
	case m.coded && minor == 0:
		return reject(400, "Transfer-Encoding in an HTTP/1.0 message")
	case m.coded && !m.chunked:
		return reject(400, "Transfer-Encoding %+.40q does not end with chunked: nobody can tell where the body ends", m.unknown)
	case m.unknown != nil:
		return reject(501, "Transfer-Encoding %+.40q is not implemented: only chunked is", m.unknown)
	}
	return nil
}

// persists tells whether the connection can carry another message, RFC 9112 section 9.3.
func (m *meaning) persists(minor int) bool { return !m.close && (minor > 0 || m.keepAlive) }

// readLength reads a Content-Length. Repeating the same one is harmless, RFC 9110 section 8.6.
func (m *meaning) readLength(value []byte) error {
	if m.lengthText != nil {
		if !bytes.Equal(value, m.lengthText) {
			return reject(400, "Content-Length %+.40q and %+.40q in one message", m.lengthText, value)
		}
		return nil
	}
	n, ok := parseDecimal(value)
	if !ok || n > math.MaxInt64 {
		return reject(400, "bad Content-Length %+.40q", value)
	}
	m.length, m.lengthText = int64(n), value
	return nil
}

// readCoding reads a Transfer-Encoding: the one coding that we know is chunked, and it must come last and once, RFC 9112
// section 6.1.
func (m *meaning) readCoding(value []byte) error {
	m.coded = true
	for more := true; more; {
		var coding []byte
		coding, value, more = cutElement(value)
		switch {
		case m.chunked:
			return reject(400, "Transfer-Encoding goes on with %+.40q after chunked", coding)
		case len(coding) == 0:
			return reject(400, "empty Transfer-Encoding")
		case equalFold(coding, "chunked"):
			m.chunked = true
		case m.unknown == nil:
			m.unknown = coding
		}
	}
	return nil
}

// hasToken tells whether a comma-separated list names token.
func hasToken(list []byte, token string) bool {
	for more := true; more; {
		var element []byte
		if element, list, more = cutElement(list); equalFold(element, token) {
			return true
		}
	}
	return false
}

// parseDecimal reads a number of digits only; ok is false for none, for other bytes, and for more than 64 bits hold.
func parseDecimal(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > math.MaxUint64/10 || n*10 > math.MaxUint64-d {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// validHost tells whether b can be the value of a Host field: nothing at all, or a name or an address in brackets, with
// or without a port (RFC 9110 section 7.2). Percent-encoded names, which DNS does not have, are refused.
func validHost(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	var end int
	if b[0] == '[' {
		close := bytes.IndexByte(b, ']')
		if close < len("[::") {
			return false
		}
		for _, c := range b[1:close] {
			if unhex[c] == notHex && c != ':' && c != '.' {
				return false
			}
		}
		end = close + 1
	} else if end = span(b, isHost); end == 0 {
		return false
	}
	port := b[end:]
	return len(port) == 0 || port[0] == ':' && span(port[1:], isDigit) == len(port)-1
}
