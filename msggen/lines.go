package msggen

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"cometctl/internal/wire"
)

// Lines are the texts of messages: message n of a run says line n modulo their number, and its stamp behind it. Lines do not change;
// all workers share them.
type Lines struct{ all [][]byte }

// ParseLines takes a file of lines: any UTF-8, an empty line too, without the end of each (LF, or CR LF). It keeps text. A line that holds a
// stamp, or what would be taken for a spoilt one, is refused, as its message would count for another one; so is one that is longer than a message may be. Errors name the line.
func ParseLines(text []byte) (*Lines, error) {
	l := &Lines{}
	var said []byte // the line as a message has it in front of its stamp
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		number := len(l.all) + 1
		if i := broken(line); i >= 0 {
			return nil, fmt.Errorf("line %d is no UTF-8: its byte %d is %#x", number, i+1, line[i])
		}
		if most := MaxSize - 1 - wire.MaxStamp; len(line) > most {
			return nil, fmt.Errorf("line %d has %d bytes: there is room for %d in front of a stamp", number, len(line), most)
		}
		said = append(append(said[:0], line...), ' ')
		if s, _, ok := wire.NextStamp(said); ok && s.Corrupt {
			return nil, fmt.Errorf("line %d holds the beginning of a stamp, or a spoilt one: its message would count as corrupt", number)
		} else if ok {
			return nil, fmt.Errorf("line %d holds the stamp of another message (id %s, number %d); each message has its own and no other", number, s.ID, s.Seq)
		}
		l.all = append(l.all, line)
	}
	if len(l.all) == 0 {
		return nil, errors.New("there is no line in it")
	}
	return l, nil
}

// broken is where line is no UTF-8, or -1.
func broken(line []byte) int {
	for i := 0; i < len(line); {
		r, n := utf8.DecodeRune(line[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// Len is the number of lines.
func (l *Lines) Len() int { return len(l.all) }

// of is the text of message n.
func (l *Lines) of(n uint64) []byte { return l.all[n%uint64(len(l.all))] }

// controls is the first line with a control character other than a tab, counting from 1, or 0: such a line cannot stand in a field of HTTP.
func (l *Lines) controls() int {
	for i, line := range l.all {
		if bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return i + 1
		}
	}
	return 0
}

// ParseSize reads Config.Size and Config.SizeTo: "200", or "100..4000" for sizes in between, each as likely as the other. Errors point at
// the place.
func ParseSize(text string) (size, sizeTo int, err error) {
	first, second, span := strings.Cut(text, "..")
	if size, err = parseSize(text, first, 1); err != nil || !span {
		return size, 0, err
	}
	if sizeTo, err = parseSize(text, second, len(first)+len("..")+1); err != nil {
		return 0, 0, err
	}
	if size == 0 || sizeTo < size {
		return 0, 0, fmt.Errorf("%q: sizes go from a smaller number above 0 to a larger one, such as 100..4000", text)
	}
	return size, sizeTo, nil
}

func parseSize(text, number string, at int) (int, error) {
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q: %q at %d is no number of bytes; give one of up to %d, two with .. between (100..4000), or 0 for messages as they come",
			text, number, at, MaxSize)
	}
	return int(n), nil
}
