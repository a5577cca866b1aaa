package wire

import "unicode/utf8"

// ValueScanner finds the value of a member of that name in JSON (RFC 8259) that comes in pieces, at whatever depth: a string, decoded, or a number or
// literal as it is. Of several the last counts; a value that is an object or an array is none. It is no validator: of what is no JSON it makes
// something or nothing. The zero ValueScanner begins a text; it holds no pointer.
type ValueScanner struct {
	state   valueState
	matched int16  // name: bytes of the name so far; -1: it is another
	hex     uint8  // \u: digits that are still to come
	unit    uint16 // \u: those that came
	high    uint16 // the first half of a surrogate pair
	long    bool   // the value did not fit
}

type valueState uint8

const (
	valueOutside valueState = iota
	valueName               // in a string that may be the name
	valueNameEscape
	valueColon // behind the name: a colon makes it one
	valueBegin // behind the colon
	valueString
	valueEscape
	valueUnicode
	valuePlain // a number or a literal
)

// Scan reads on in b and appends what it finds of the value of name to value, which it empties when a value begins. value never grows beyond its
// capacity; whoever gave too little of it is told by Long.
func (s *ValueScanner) Scan(b []byte, name string, value []byte) []byte {
	for _, c := range b {
		value = s.step(c, name, value)
	}
	return value
}

// Long tells that the last value was longer than the capacity.
func (s *ValueScanner) Long() bool { return s.long }

func (s *ValueScanner) step(c byte, name string, value []byte) []byte {
	switch s.state {
	case valueOutside:
		s.outside(c)
	case valueName:
		switch {
		case c == '"' && int(s.matched) == len(name):
			s.state = valueColon
		case c == '"':
			s.state = valueOutside
		case c == '\\':
			s.state, s.matched = valueNameEscape, -1 // a name that is written in another way is another
		case s.matched >= 0 && int(s.matched) < len(name) && name[s.matched] == c:
			s.matched++
		default:
			s.matched = -1
		}
	case valueNameEscape:
		s.state = valueName
	case valueColon:
		if c == ':' {
			s.state = valueBegin
		} else if !isSpace(c) {
			s.outside(c)
		}
	case valueBegin:
		switch {
		case isSpace(c):
		case c == '"':
			s.state, s.long, s.high = valueString, false, 0
			return value[:0]
		case c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z':
			s.state, s.long = valuePlain, false
			return s.put(value[:0], c)
		default:
			s.outside(c)
		}
	case valuePlain:
		if isSpace(c) || c == ',' || c == '}' || c == ']' || c == '"' {
			s.outside(c)
			return value
		}
		return s.put(value, c)
	default:
		return s.text(c, value)
	}
	return value
}

func (s *ValueScanner) outside(c byte) {
	s.state = valueOutside
	if c == '"' {
		s.state, s.matched = valueName, 0
	}
}

// text is step within a string that is the value.
func (s *ValueScanner) text(c byte, value []byte) []byte {
	switch s.state {
	case valueString:
		switch c {
		case '"':
			s.state = valueOutside
		case '\\':
			s.state = valueEscape
		default:
			return s.put(value, c)
		}
	case valueEscape:
		s.state = valueString
		switch c {
		case 'u':
			s.state, s.hex, s.unit = valueUnicode, 4, 0
			return value
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		}
		return s.put(value, c)
	case valueUnicode:
		if s.unit = s.unit<<4 | uint16(unhex[c]&15); unhex[c] == notHex {
			s.state = valueOutside // it is no JSON
		}
		if s.hex--; s.hex == 0 {
			s.state = valueString
			return s.rune(value)
		}
	}
	return value
}

// rune appends the character of a \u escape, once both halves of a pair are there.
func (s *ValueScanner) rune(value []byte) []byte {
	r := rune(s.unit)
	switch {
	case r >= 0xd800 && r < 0xdc00:
		s.high = s.unit
		return value
	case r >= 0xdc00 && r < 0xe000 && s.high != 0:
		r = 0x10000 + rune(s.high-0xd800)<<10 + r - 0xdc00
	}
	s.high = 0
	for _, c := range utf8.AppendRune(nil, r) {
		value = s.put(value, c)
	}
	return value
}

func (s *ValueScanner) put(value []byte, c byte) []byte {
	if len(value) == cap(value) {
		s.long = true
		return value
	}
	return append(value, c)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
