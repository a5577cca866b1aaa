package wire

import (
	"bytes"
	"strconv"
)

// MaxIDs is how many ids a request can name.
const MaxIDs = 64

// MaxNumber is the greatest number of a message: JavaScript counts no further without gaps.
const MaxNumber = 1<<53 - 1

// IDs is the list of ids that a request names. The zero value is empty; one IDs can be used for any number of requests, and
// then costs no allocation.
type IDs struct {
	text []byte   // the ids, one behind the other
	ends []uint16 // where each ends in text
}

var _ [1<<16 - 1 - MaxIDs*maxID]struct{} // ends hold every offset

// Parse makes l the ids of list, the still escaped piece of a path: 1 to MaxIDs of 1 to 128 bytes, with commas between them.
// The list is split before it is decoded, so that %2C is a byte of an id. An id that comes again is dropped. Which bytes an
// id can have is for the router to say. An error is an *Error with status 400; l is empty then.
func (l *IDs) Parse(list []byte) error {
	err := l.parse(list)
	if err != nil {
		l.text, l.ends = l.text[:0], l.ends[:0]
	}
	return err
}

func (l *IDs) parse(list []byte) (err error) {
	l.text, l.ends = l.text[:0], l.ends[:0]
	for more := true; more; {
		var escaped []byte
		escaped, list, more = bytes.Cut(list, []byte(","))
		if len(escaped) == 0 {
			return reject(400, "empty id: give 1 to %d ids with commas between them", MaxIDs)
		}
		from := len(l.text)
		if len(escaped) > 3*maxID { // before it is copied
			return reject(400, "id %+.40q is longer than %d bytes", escaped, maxID)
		}
		if l.text, err = AppendUnescaped(l.text, escaped); err != nil {
			return err
		}
		id := l.text[from:]
		switch {
		case len(id) > maxID:
			return reject(400, "id %+.40q is longer than %d bytes", escaped, maxID)
		case l.Has(id):
			l.text = l.text[:from]
		case len(l.ends) == MaxIDs:
			return reject(400, "more than %d ids", MaxIDs)
		default:
			l.ends = append(l.ends, uint16(len(l.text)))
		}
	}
	return nil
}

// Len is the number of ids.
func (l *IDs) Len() int { return len(l.ends) }

// At is id i, 0 <= i < Len. It lives until the next Parse.
func (l *IDs) At(i int) []byte {
	from := 0
	if i > 0 {
		from = int(l.ends[i-1])
	}
	return l.text[from:l.ends[i]]
}

// Has tells whether id is in the list.
func (l *IDs) Has(id []byte) bool {
	for i := range l.ends {
		if bytes.Equal(l.At(i), id) {
			return true
		}
	}
	return false
}

// Mark is how far a client has read: up to the message of ID with this number.
type Mark struct {
	ID []byte // A-Z a-z 0-9 . _ ~ -; nil in a cursor that is a number alone: of the one id that the client listens to
	N  uint64 // 0: nothing yet
}

// ParseCursor appends the marks of a cursor to dst: a decimal number, or pairs as 12:N,57:M, at most MaxIDs of them, no id twice,
// no number above MaxNumber. Nothing at all is a cursor without marks. The ids are parts of cursor. An error is an *Error
// with status 400; dst comes back as it was then.
func ParseCursor(dst []Mark, cursor []byte) ([]Mark, error) {
	if len(cursor) == 0 {
		return dst, nil
	}
	marks := dst
	whole := cursor
	for more := true; more; {
		var item []byte
		item, cursor, more = bytes.Cut(cursor, []byte(","))
		id, digits, paired := bytes.Cut(item, []byte(":"))
		if !paired && !more && len(item) == len(whole) {
			id, digits = nil, item
		}
		n, ok := parseDecimal(digits)
		if !ok || n > MaxNumber || id != nil && (len(id) == 0 || len(id) > maxID || span(id, isID) < len(id)) || id == nil && len(item) < len(whole) {
			return dst, reject(400, "bad cursor %+.40q: it is a number, or id:number pairs with commas between them", whole)
		}
		if len(marks)-len(dst) == MaxIDs {
			return dst, reject(400, "a cursor of more than %d ids", MaxIDs)
		}
		for _, m := range marks[len(dst):] {
			if bytes.Equal(m.ID, id) {
				return dst, reject(400, "a cursor with the id %+.40q twice", id)
			}
		}
		marks = append(marks, Mark{id, n})
	}
	return marks, nil
}

// AppendCursor appends the cursor of marks, as ParseCursor reads it. A mark with the number 0 is left out: there is nothing to go on
// from. A mark without an ID must be alone.
func AppendCursor(dst []byte, marks []Mark) []byte {
	first := true
	for _, m := range marks {
		if m.N == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if m.ID != nil {
			dst = append(append(dst, m.ID...), ':')
		}
		dst = strconv.AppendUint(dst, m.N, 10)
	}
	return dst
}
