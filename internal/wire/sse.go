package wire

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"time"
)

// This file writes an event stream: text/event-stream of WHATWG HTML, section 9.2 (server-sent events).

// AppendEvent appends one event: an id line, an event line, a data line for each line of data, and the empty line that
// dispatches it. CR, LF and CRLF all end a line of data, and a reader gets each as one LF; all other bytes come through, but
// that U+FFFD stands for what is no UTF-8: such a stream is UTF-8 always (section 9.2.5). Data that is empty is an event with empty data. An empty id or name leaves its line out; so
// does one with a control byte but HTAB, which would end the line early or make readers ignore it (cursors have none).
func AppendEvent(dst, id []byte, name string, data []byte) []byte {
	if len(id) > 0 && span(id, isText) == len(id) {
		dst = append(dst, "id: "...)
		dst = AppendUTF8Repaired(dst, id)
		dst = append(dst, '\n')
	}
	if name != "" && isLine(name) {
		dst = append(dst, "event: "...)
		dst = AppendUTF8Repaired(dst, []byte(name))
		dst = append(dst, '\n')
	}
	dst = appendLines(dst, "data: ", data)
	return append(dst, '\n')
}

// AppendGapEvent appends what tells a reader of an event stream that messages for id up to number n are lost, all or in
// part: a comment for people, and an event "gap" whose data is AppendGap's and whose id is cursor.
func AppendGapEvent(dst, cursor, id []byte, n uint64) []byte {
	dst = append(dst, ": gap: messages up to this position are not all there\n"...)
	if len(cursor) > 0 && span(cursor, isText) == len(cursor) {
		dst = append(dst, "id: "...)
		dst = AppendUTF8Repaired(dst, cursor)
		dst = append(dst, '\n')
	}
	dst = append(dst, "event: gap\ndata: "...)
	dst = AppendGap(dst, id, n) // ends with a LF, and holds no other
	return append(dst, '\n')
}

// AppendComment appends a comment line for each line of text: readers ignore it. An empty text is the shortest sign of
// life, of two bytes.
func AppendComment(dst, text []byte) []byte {
	if len(text) == 0 {
		return append(dst, ":\n"...)
	}
	return appendLines(dst, ": ", text)
}

// AppendRetry appends the line that tells a reader how long to wait before it connects again, in whole milliseconds.
// Less than none is none.
func AppendRetry(dst []byte, after time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, max(after.Milliseconds(), 0), 10)
	return append(dst, '\n')
}

// appendLines appends each line of text behind field, ended by LF. The space at the end of field is the one that a reader
// takes off, so that a line which begins with a space keeps it.
func appendLines(dst []byte, field string, text []byte) []byte {
	for {
		dst = append(dst, field...)
		i := indexLineEnd(text)
		if i < 0 {
			dst = AppendUTF8Repaired(dst, text)
			return append(dst, '\n')
		}
		dst = AppendUTF8Repaired(dst, text[:i])
		dst = append(dst, '\n')
		if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		text = text[i+1:]
	}
}

// isLine tells whether s can stand on a line.
func isLine(s string) bool {
	for i := range len(s) {
		if class[s[i]]&isText == 0 {
			return false
		}
	}
	return true
}

// indexLineEnd is the index of the first CR or LF of b, or -1, eight bytes at a time.
func indexLineEnd(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		v := binary.LittleEndian.Uint64(b[i:])
		if marks := zeros(v^'\r'*ones) | zeros(v^'\n'*ones); marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(b); i++ {
		if b[i] == '\r' || b[i] == '\n' {
			return i
		}
	}
	return -1
}
