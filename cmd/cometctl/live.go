package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
)

// live is the one line that tells how a long command is getting on.
//
// Rules: it goes to stderr. On a terminal it is one line, rewritten in place and
// cut to the width, and nothing is left of it at the end. Anywhere else (a file,
// a pipe, TERM=dumb) it is a plain line whenever the label changes and otherwise at
// most one each interval, so that a log stays readable. The label is bold unless NO_COLOR
// is set. What it shows is never data: results are printed on stdout at the end.
//
// Any goroutine may call its methods.
type live struct {
	mu    sync.Mutex
	w     io.Writer
	every time.Duration    // between two plain lines
	now   func() time.Time // the clock
	width func() int       // columns of the terminal; nil: w is none
	color bool             // the label may be bold
	shown string           // what stands on the terminal's line now
	last  time.Time        // when the last plain line was written
	label string           // and its label
}

// newLive returns the live line on w. Where w is no terminal, every is the least
// time between two plain lines, by the clock now.
func newLive(w io.Writer, every time.Duration, now func() time.Time) *live {
	l := &live{w: w, every: every, now: now, color: os.Getenv("NO_COLOR") == ""}
	if f, ok := w.(*os.File); ok && isTerminal(w) && os.Getenv("TERM") != "dumb" {
		l.width = func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil || columns <= 0 {
				return 80
			}
			return columns
		}
	}
	return l
}

// isTerminal reports whether what is written to w is shown on a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminal reports whether the line is rewritten in place. Callers need not ask,
// unless they update so often that making the text costs.
func (l *live) terminal() bool { return l.width != nil }

// update shows `label: text` as the state of now.
func (l *live) update(label, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.width == nil {
		now := l.now()
		if label == l.label && now.Sub(l.last) < l.every {
			return
		}
		l.last, l.label = now, label
		fmt.Fprintf(l.w, "%s: %s\n", label, text)
		return
	}
	l.shown = l.render(label, text)
	fmt.Fprintf(l.w, "\r%s\x1b[K", l.shown)
}

// render cuts `label: text` to one column less than the terminal has: a line that
// fills the last column makes some terminals wrap, and a wrapped line cannot be
// rewritten in place.
func (l *live) render(label, text string) string {
	line := []rune(strings.Map(printable, label+": "+text))
	bold := len([]rune(label)) + 1
	if room := max(l.width()-1, 0); len(line) > room {
		line = line[:room]
	}
	if !l.color || bold > len(line) {
		return string(line)
	}
	return "\x1b[1m" + string(line[:bold]) + "\x1b[0m" + string(line[bold:])
}

// printable replaces what would move the cursor.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// println writes a line that stays, above the live line on a terminal.
func (l *live) println(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.width == nil {
		fmt.Fprintln(l.w, line)
		return
	}
	fmt.Fprintf(l.w, "\r\x1b[K%s\n%s", line, l.shown)
}

// done takes the line off the terminal. Updates after it begin a new one.
func (l *live) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.width != nil && l.shown != "" {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
	l.shown = ""
}
