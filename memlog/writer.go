package memlog

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A Writer appends rows and notes to a memory log. Each is one call of the underlying
// Write and ends in a newline, so that a log that is read, or cut off, at any moment
// holds whole rows.
//
// Notes are lines that start with '#'. They are shaped like a row all the same: the text
// stands where the date does, and the time and the RSS of the row before follow in their
// columns. The article's awk looks at every tenth line whatever it is, and this keeps it
// from drawing a note as a point at zero.
type Writer struct {
	w    io.Writer
	buf  []byte
	last Sample // what the next note's time and RSS columns show
	torn bool   // the last write stopped in the middle of a line

	members []memberSample // who has columns of its own, behind the fixed ones
	named   []int          // whose columns the last columns line names
}

// NewWriter returns a Writer that appends to w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, last: Sample{RSS: NA}}
}

// openLog opens the log at path for appending and makes it if it is not there. If the
// file's last line has no newline, because the power went or the disk was full, the first
// thing that is written marks that line as torn and ends it; nothing of it is removed.
func openLog(path string) (*Writer, *os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return nil, nil, fmt.Errorf("memlog: %w", err)
	}
	w := NewWriter(f)
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		var end [1]byte
		_, err = f.ReadAt(end[:], info.Size()-1)
		w.torn = end[0] != '\n'
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("memlog: %w", err)
	}
	return w, f, nil
}

// Observe makes s the sample whose time and RSS the following notes show. Write does it
// too; it is for the notes that come before the first row.
func (w *Writer) Observe(s *Sample) { w.last = *s }

// observeMembers gives the rows to come columns for each of these members, behind the fixed ones.
// The slice and what it points to are read by Header and Write, until the next call.
func (w *Writer) observeMembers(members []memberSample) { w.members = members }

// Header writes the two notes that a log, and each later part of an appended log, starts
// with: about, which says what is logged, and the names of the columns.
func (w *Writer) Header(about string) error {
	w.begin()
	w.appendNote(about)
	w.appendColumns()
	return w.flush()
}

// appendColumns appends the line that names the columns of the rows after it.
func (w *Writer) appendColumns() {
	w.buf = append(w.buf, columnsMark...)
	for i := range columns {
		if i > 0 {
			w.buf = append(w.buf, ' ')
		}
		w.buf = append(w.buf, columns[i].name...)
	}
	w.named = w.named[:0]
	for _, m := range w.members {
		w.named = append(w.named, m.pid)
		for i := range columns {
			if columns[i].each {
				w.buf = append(w.buf, ' ')
				w.buf = append(w.buf, columns[i].name...)
				w.buf = append(w.buf, ':')
				w.buf = strconv.AppendInt(w.buf, int64(m.pid), 10)
			}
		}
	}
	w.endNote()
}

// Note writes one line that starts with '#'. Control characters in text become spaces.
func (w *Writer) Note(text string) error {
	w.begin()
	w.appendNote(text)
	return w.flush()
}

// Write writes one row, and before it the names of the columns where the members are others than
// those of the row before.
func (w *Writer) Write(s *Sample) error {
	w.last = *s
	w.begin()
	if !slices.EqualFunc(w.named, w.members, func(pid int, m memberSample) bool { return pid == m.pid }) {
		w.appendColumns()
	}
	for i := range columns {
		if i > 0 {
			w.buf = append(w.buf, '\t')
		}
		w.buf = columns[i].append(w.buf, s)
	}
	for _, m := range w.members {
		for i := range columns {
			if columns[i].each {
				w.buf = append(w.buf, '\t')
				w.buf = columns[i].append(w.buf, m.Sample)
			}
		}
	}
	w.buf = append(w.buf, '\n')
	return w.flush()
}

// begin starts a line, after ending one that was left torn.
func (w *Writer) begin() {
	w.buf = w.buf[:0]
	if w.torn {
		w.buf = append(w.buf, tornMark...)
		w.buf = append(w.buf, '\n')
	}
}

func (w *Writer) appendNote(text string) {
	w.buf = append(w.buf, "# "...)
	w.buf = append(w.buf, plain(text)...)
	w.endNote()
}

func (w *Writer) endNote() {
	w.buf = append(w.buf, '\t')
	if !w.last.Time.IsZero() {
		w.buf = strconv.AppendInt(w.buf, w.last.Time.Unix(), 10)
	}
	w.buf = append(w.buf, '\t')
	if w.last.RSS >= 0 {
		w.buf = strconv.AppendInt(w.buf, w.last.RSS, 10)
	}
	w.buf = append(w.buf, '\n')
}

// flush writes the buffer in one call. A disk that fills up may take a part of it; then
// the next line starts by ending that part.
func (w *Writer) flush() error {
	n, err := w.w.Write(w.buf)
	if n > 0 {
		w.torn = n < len(w.buf) && w.buf[n-1] != '\n'
	}
	if err != nil {
		return fmt.Errorf("memlog: %w", err)
	}
	return nil
}

// plain makes text fit for one cell of one line.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
