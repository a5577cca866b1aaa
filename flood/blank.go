package flood

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// blank is what stands in braces in a URL, a field of -H or a first message, and is another thing for each connection or request.
type blank string

const (
	blankID     blank = "{id}"     // what the range of a template gives; without one, the last segment of the path
	blankN      blank = "{n}"      // the number of the connection's target in the run, from 1
	blankRun    blank = "{run}"    // the run's tag
	blankCursor blank = "{cursor}" // where the last answer ended, see Cursor
)

var blanks = []blank{blankID, blankN, blankRun, blankCursor}

const knownBlanks = "{id}, {n}, {run} and, for --as poll, {cursor}"

// filling is what stands for the blanks of one request.
type filling struct {
	id, run, cursor []byte
	n               uint64
}

// hasBlanks tells whether a blank stands in text.
func hasBlanks(text string) bool {
	for _, p := range blanks {
		if strings.Contains(text, string(p)) {
			return true
		}
	}
	return false
}

// appendFilled appends text with its blanks filled. Other braces stay, as JSON needs them.
func appendFilled[text string | []byte](dst []byte, t text, f *filling) []byte {
	from := 0
	for i := 0; i < len(t); i++ {
		if t[i] != '{' {
			continue
		}
		p := blankAt(t[i:])
		if p == "" {
			continue
		}
		dst = append(dst, t[from:i]...)
		switch p {
		case blankID:
			dst = append(dst, f.id...)
		case blankN:
			dst = strconv.AppendUint(dst, f.n, 10)
		case blankRun:
			dst = append(dst, f.run...)
		case blankCursor:
			dst = append(dst, f.cursor...)
		}
		i += len(p) - 1
		from = i + 1
	}
	return append(dst, t[from:]...)
}

// blankAt is the blank that t begins with; "" where there is none.
func blankAt[text string | []byte](t text) blank {
	for _, p := range blanks {
		if len(t) >= len(p) && string(t[:len(p)]) == string(p) {
			return p
		}
	}
	return ""
}

// Errors of braces in a URL. Each reads on from the URL itself, and from where in it.
var (
	errBraces  = errors.New("is no range such as {1..10000} and no placeholder; those are " + knownBlanks)
	errRange   = errors.New("is no range; write one like {1..10000}")
	errRanges  = errors.New("is a second range; a URL has one")
	errNoRange = errors.New("repeats what a range gives, and there is none in this URL; a single connection has {n}")
	errClosing = errors.New("closes what nothing opens")
)

// parseBraces takes the range out of u.prefix and notes the blanks in what is left. at is where the prefix begins in the URL.
func (u *parsedURL) parseBraces(at int) error {
	wrong := func(i, n int, err error) error {
		return fmt.Errorf("has %q at %d, which %w", u.prefix[i:min(i+n, len(u.prefix))], at+i+1, err)
	}
	id, cut := -1, -1 // where {id} stands, and the range
	var rangeText []byte
	for i := 0; i < len(u.prefix); i++ {
		switch u.prefix[i] {
		case '}':
			return wrong(i, 1, errClosing)
		case '{':
			n := bytes.IndexByte(u.prefix[i:], '}') + 1
			if n == 0 {
				return wrong(i, 12, errBraces)
			}
			group := u.prefix[i : i+n]
			switch p := blankAt(group); {
			case p == blankID && id < 0:
				id, u.blanks = i, true
			case p != "":
				u.blanks, u.cursor = true, u.cursor || p == blankCursor
			case !bytes.Contains(group, []byte("..")):
				return wrong(i, n, errBraces)
			case cut >= 0:
				return wrong(i, n, errRanges)
			default:
				if err := u.parseRange(group[1 : n-1]); err != nil {
					return wrong(i, n, err)
				}
				cut, rangeText = i, group
			}
			i += n - 1
		}
	}
	switch {
	case cut >= 0:
		u.template, u.prefix, u.suffix = true, u.prefix[:cut], u.prefix[cut+len(rangeText):]
	case id >= 0:
		return wrong(id, len(blankID), errNoRange)
	}
	return nil
}

// parseRange takes what stands between the braces of a range.
func (u *parsedURL) parseRange(inside []byte) error {
	from, to, _ := bytes.Cut(inside, []byte(".."))
	first, err1 := parseNumber(from)
	last, err2 := parseNumber(to)
	if err1 != nil || err2 != nil {
		return errRange
	}
	if first > last {
		return errors.New("ends before it begins")
	}
	if padded(from) || padded(to) {
		u.width = uint8(max(len(from), len(to)))
	}
	u.from, u.count = first, last-first+1
	return nil
}

// lastSegment is what stands behind the last slash of a path, in front of its query.
func lastSegment(path []byte) []byte {
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	return path[bytes.LastIndexByte(path, '/')+1:]
}
