package wire

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// This file writes JSON lines (application/x-ndjson): one RFC 8259 object a line, LF behind it.

// AppendLine appends a message as a line: {"id":"12","n":912345678901,"msg":"text"} and LF. n is its number; where it is 0
// nobody knows one, and the field is left out. What is no UTF-8 becomes U+FFFD, as AppendUTF8Repaired has it. Beside what JSON
// wants escaped, < > & and U+2028, U+2029 are, so that a line can stand in a script of a page.
func AppendLine(dst, id []byte, n uint64, msg []byte) []byte {
	dst = appendTo(dst, id)
	if n != 0 {
		dst = append(dst, `,"n":`...)
		dst = strconv.AppendUint(dst, n, 10)
	}
	dst = append(dst, `,"msg":"`...)
	dst = appendJSONText(dst, msg)
	return append(dst, "\"}\n"...)
}

// AppendGap appends the line {"id":"12","n":N,"gap":true}: messages for id up to number n are lost, all or in part.
func AppendGap(dst, id []byte, n uint64) []byte {
	dst = append(appendTo(dst, id), `,"n":`...)
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, ",\"gap\":true}\n"...)
}

func appendTo(dst, id []byte) []byte {
	dst = append(dst, `{"id":"`...)
	dst = appendJSONText(dst, id)
	return append(dst, '"')
}

// AppendJSON appends text as a JSON string with its quotes. What AppendLine escapes and repairs is escaped and repaired here too.
func AppendJSON(dst, text []byte) []byte {
	dst = append(dst, '"')
	dst = appendJSONText(dst, text)
	return append(dst, '"')
}

// appendJSONText appends text as the inside of a JSON string, RFC 8259 section 7.
func appendJSONText(dst, text []byte) []byte {
	for {
		i := indexJSON(text)
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		if text = text[i:]; text[0] < 0x80 {
			dst = appendJSONEscape(dst, text[0])
			text = text[1:]
			continue
		}
		if n := foreignLen(text); n > 0 {
			dst = append(dst, text[:n]...)
			text = text[n:]
		} else if n := characterLen(text); n > 0 { // U+2028, U+2029
			dst = append(dst, `\u202`...)
			dst = append(dst, '8'+text[2]&1)
			text = text[n:]
		} else {
			dst = append(dst, replacement...)
			text = text[brokenLen(text):]
		}
	}
}

// foreignLen is the length of the characters at the front of b that are not ASCII and can stand in a line as they are.
func foreignLen(b []byte) (n int) {
	for n < len(b) && b[n] >= 0x80 {
		k := characterLen(b[n:])
		if k == 0 || k == 3 && b[n] == 0xe2 && b[n+1] == 0x80 && b[n+2]&^1 == 0xa8 {
			break
		}
		n += k
	}
	return n
}

// appendJSONEscape appends the escape of an ASCII character.
func appendJSONEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	const digits = "0123456789abcdef"
	dst = append(dst, `\u00`...)
	return append(dst, digits[c>>4], digits[c&15])
}

// indexJSON is the index of the first byte of b that cannot stand in a line as it is, or -1: a control byte, " \ < > &, or one
// over 0x7f. It looks at eight bytes at a time.
func indexJSON(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		v := binary.LittleEndian.Uint64(b[i:])
		marks := v&highs | // over 0x7f
			zeros(v&(0xe0*ones)) | // under 0x20
			zeros(v^'"'*ones) | zeros(v^'&'*ones) | zeros(v^'\\'*ones) |
			zeros(v&^(2*ones)^'<'*ones) // < and > differ in this bit
		if marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c < 0x20, c >= 0x80, c == '"', c == '&', c == '\\', c == '<', c == '>':
			return i
		}
	}
	return -1
}
