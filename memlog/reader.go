package memlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	maxLine     = 64 << 10 // longest line that can be a row; a row of ours has some 120 bytes
	maxWarnings = 100      // warnings that a Reader keeps; more are only counted
)

// The two marks that Reader and Writer share beside the column table.
const (
	columnsMark = "# columns: " // starts the line that names the columns of the rows after it
	tornMark    = "\t# torn"    // ends a line that a later writer found without its newline
)

// A Warning names one line of a log that is not as it should be.
type Warning struct {
	Line    int    // counted from 1
	Reason  string // what is wrong with it, with the value
	Skipped bool   // no sample was made of it
}

// String returns the warning as people want to read it: "line 17: epoch "x" is not a number; skipped".
func (w Warning) String() string {
	if w.Skipped {
		return fmt.Sprintf("line %d: %s; skipped", w.Line, w.Reason)
	}
	return fmt.Sprintf("line %d: %s", w.Line, w.Reason)
}

// A Reader reads the samples of a memory log, ours or the article's, of any length in
// constant memory. It returns a row as soon as its line has arrived, so that a live log
// can be read through a pipe.
//
// Lines that are not rows are skipped, counted and named; nothing in the file makes Read
// fail. A row whose time lies before that of the row above is kept, because what it says
// about memory is still true, and warned of. The last line is skipped if it has no
// newline: what is there of it may be the beginning of a longer number.
type Reader struct {
	r        *bufio.Reader
	line     int       // number of the line read last
	layout   []*column // of the rows to come; nil is a column that we do not know
	last     int64     // epoch seconds of the last row
	rows     int       // samples returned
	skipped  int       // lines that should have been rows
	warned   int       // warnings in all
	warnings []Warning // the first of them
}

// NewReader returns a Reader of r. It reads ahead by up to 64 KB.
func NewReader(r io.Reader) *Reader {
	rd := &Reader{r: bufio.NewReaderSize(r, maxLine)}
	rd.setLayout(nil)
	return rd
}

// Read reads the next sample into s, all of it; what the row does not have is NA. Its
// error is io.EOF at the end of the log, or the error of the underlying reader.
func (r *Reader) Read(s *Sample) error {
	for {
		line, err := r.r.ReadSlice('\n')
		if len(line) == 0 && err != nil {
			return err
		}
		r.line++
		switch {
		case err == bufio.ErrBufferFull:
			r.skip(fmt.Sprintf("longer than %d bytes, no row", maxLine))
			if err := r.discardLine(); err != nil {
				return err
			}
			continue
		case err == io.EOF:
			if line[0] != '#' {
				r.skip("torn: the log ends without a newline")
			}
			return err
		case err != nil:
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			continue
		}
		if line[0] == '#' {
			if names, ok := bytes.CutPrefix(line, []byte(columnsMark)); ok {
				names, _, _ = bytes.Cut(names, []byte{'\t'})
				r.setLayout(names)
			}
			continue
		}
		if err := r.parse(line, s); err != nil {
			r.skip(err.Error())
			continue
		}
		now := s.Time.Unix()
		if r.rows > 0 && now < r.last {
			r.warn(fmt.Sprintf("time goes back by %d s", r.last-now), false)
		}
		r.last = now
		r.rows++
		return nil
	}
}

// Skipped returns how many lines should have been rows and could not be read.
func (r *Reader) Skipped() int { return r.skipped }

// Warnings returns what was noticed so far, in the order of the lines: skipped lines and
// rows whose time goes back. It keeps the first hundred; the slice is the Reader's own.
func (r *Reader) Warnings() []Warning { return r.warnings }

// Warned returns how many warnings there were, those that Warnings did not keep included.
func (r *Reader) Warned() int { return r.warned }

func (r *Reader) skip(reason string) {
	r.skipped++
	r.warn(reason, true)
}

func (r *Reader) warn(reason string, skipped bool) {
	r.warned++
	if len(r.warnings) < maxWarnings {
		r.warnings = append(r.warnings, Warning{r.line, reason, skipped})
	}
}

// discardLine reads on to the end of a line that did not fit the buffer.
func (r *Reader) discardLine() error {
	for {
		_, err := r.r.ReadSlice('\n')
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

// setLayout takes the names of a columns line. The first four columns are the seed's
// whatever the line says, so that no header can turn the article's rows into others.
func (r *Reader) setLayout(names []byte) {
	r.layout = r.layout[:0]
	for i := range seedColumns {
		r.layout = append(r.layout, &columns[i])
	}
	for i, name := range bytes.Fields(names) {
		if i < seedColumns {
			continue
		}
		var c *column
		if k := columnIndex(name); k >= seedColumns {
			c = &columns[k]
		}
		r.layout = append(r.layout, c)
	}
}

var errTorn = errors.New("torn: a later writer found it without its newline")

// parse reads one row. Cells behind the last named column are ignored.
func (r *Reader) parse(line []byte, s *Sample) error {
	if bytes.HasSuffix(line, []byte(tornMark)) {
		return errTorn
	}
	s.clear()
	rest, more := line, true
	for i, c := range r.layout {
		if !more {
			if i < seedColumns {
				return fmt.Errorf("has %d of the %d columns date, epoch, rss, connections", i, seedColumns)
			}
			break
		}
		cell := rest
		if t := bytes.IndexByte(rest, '\t'); t >= 0 {
			cell, rest = rest[:t], rest[t+1:]
		} else {
			more = false
		}
		cell = trimSpaces(cell) // ps and wc pad their numbers
		if c == nil || len(cell) == 0 && i != 1 {
			continue
		}
		if err := c.parse(cell, s); err != nil {
			return cellError(c.name, cell, err)
		}
	}
	return nil
}

func trimSpaces(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}
