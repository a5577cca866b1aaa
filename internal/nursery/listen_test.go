package nursery

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// copyOf keeps what is written to it, and whether it was closed.
type copyOf struct {
	bytes.Buffer
	closed bool
}

func (c *copyOf) Close() error { c.closed = true; return nil }

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
func (full) Close() error              { return nil }

func TestListen(t *testing.T) {
	n := New()
	defer n.Close()
	out, errs := &copyOf{}, &copyOf{}
	heard := make(chan string, 10)
	ended := make(chan int, 1)
	c := exec.Command(os.Args[0], "babble")
	err := n.Listen(c, Listener{Out: out, Err: errs,
		Line: func(line []byte, stderr bool) {
			if stderr {
				line = append([]byte("! "), line...)
			}
			heard <- string(line)
		},
		Torn:  func(err error) { t.Error(err) },
		Ended: func(s *os.ProcessState, last []string) { heard <- strings.Join(last, "|"); ended <- s.ExitCode() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != 3 {
		t.Errorf("exit code %d", code)
	}
	close(heard)
	var lines []string
	for line := range heard {
		lines = append(lines, line)
	}
	if last := lines[len(lines)-1]; last != "oh dear|the end" {
		t.Errorf("last words %q", last)
	}
	slices.Sort(lines)
	if want := []string{`! oh dear`, "! the end", `! {"n":1}`, "half", "oh dear|the end", "one"}; !slices.Equal(lines, want) {
		t.Errorf("heard %q, want %q", lines, want)
	}
	if out.String() != "one\nhalf" || errs.String() != "oh dear\n{\"n\":1}\nthe end\n" || !out.closed || !errs.closed {
		t.Errorf("copies %q (closed: %v), %q (%v)", out, out.closed, errs, errs.closed)
	}
}

// A full disk stops no child: it is read on, and the error is told.
func TestFullDiskStopsNobody(t *testing.T) {
	var torn error
	lines := 0
	l := Listener{Torn: func(err error) { torn = err }}
	l.pump(strings.NewReader("a\nb\nc"), full{}, func([]byte) { lines++ })
	if lines != 3 || !errors.Is(torn, syscall.ENOSPC) {
		t.Errorf("%d lines, %v", lines, torn)
	}
}

func TestListenFails(t *testing.T) {
	n := New()
	defer n.Close()
	out, errs := &copyOf{}, &copyOf{}
	l := Listener{Out: out, Err: errs, Ended: func(*os.ProcessState, []string) { t.Error("it ended") }}
	if err := n.Listen(exec.Command(os.Args[0]+"-nobody"), l); !errors.Is(err, os.ErrNotExist) || !out.closed || !errs.closed {
		t.Errorf("%v; closed: %v, %v", err, out.closed, errs.closed)
	}
}
