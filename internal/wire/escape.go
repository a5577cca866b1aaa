package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// AppendUnescaped appends path with its percent-encoded bytes decoded, RFC 3986 section 2.1. An escape that is not two
// hexadecimal digits, and %00, are an *Error with status 400; dst comes back as it was then. A decoded '/' looks like any
// other: split a path before its parts are decoded.
func AppendUnescaped(dst, path []byte) ([]byte, error) {
	out := dst
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return append(out, path...), nil
		}
		out = append(out, path[:i]...)
		escape := path[i:min(i+3, len(path))]
		if len(escape) < 3 || unhex[escape[1]] == notHex || unhex[escape[2]] == notHex {
			return dst, reject(400, "bad escape %+q in a request target", escape)
		}
		c := unhex[escape[1]]<<4 | unhex[escape[2]]
		if c == 0 {
			return dst, reject(400, "%%00 in a request target")
		}
		out = append(out, c)
		path = path[i+3:]
	}
}

// AppendHTMLEscaped appends text so that it is safe between tags and in quoted attributes: & < > " and ' become character
// references, all other bytes stay.
func AppendHTMLEscaped(dst, text []byte) []byte {
	for {
		i := indexHTML(text)
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		switch text[i] {
		case '&':
			dst = append(dst, "&amp;"...)
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '"':
			dst = append(dst, "&#34;"...)
		case '\'':
			dst = append(dst, "&#39;"...)
		}
		text = text[i+1:]
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// zeros marks the zero bytes of v by their high bit. Bits above the lowest mark may lie; that one never does.
func zeros(v uint64) uint64 { return (v - ones) &^ v & highs }

// indexHTML is the index of the first byte of b that HTML gives a meaning, or -1. It looks at eight bytes at a time: the
// message of a soak is scanned in eight steps instead of sixty.
func indexHTML(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		v := binary.LittleEndian.Uint64(b[i:])
		marks := zeros(v^'"'*ones) |
			zeros(v&^(1*ones)^'&'*ones) | // & and ' differ in their lowest bit
			zeros(v&^(2*ones)^'<'*ones) // < and > in the next one
		if marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '&', '<', '>', '"', '\'':
			return i
		}
	}
	return -1
}
