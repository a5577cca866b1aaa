package nursery

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"sync"
)

// Listener hears what a child does. Its functions are called on goroutines that end with the child: Line and Torn on two of them, one for
// stdout and one for stderr; Ended once, after all others.
type Listener struct {
	Out, Err io.WriteCloser                          // get a copy of what the child prints, and are closed after its last byte
	Line     func(line []byte, stderr bool)          // a line without its newline, which may be kept
	Torn     func(err error)                         // a copy could not be written; the child is read on all the same
	Ended    func(s *os.ProcessState, last []string) // last is as of a Tail of stderr
}

// Listen starts c as Start does, listens to it, and waits for it. Where it fails, the Listener's copies are closed and nothing is heard.
func (n *Nursery) Listen(c *exec.Cmd, l Listener) error {
	out, err := c.StdoutPipe()
	if err != nil {
		return l.refuse(err)
	}
	errs, err := c.StderrPipe()
	if err != nil {
		return l.refuse(err)
	}
	if err := n.Start(c); err != nil {
		return l.refuse(err)
	}
	last := &Tail{}
	var pumps sync.WaitGroup
	pumps.Go(func() {
		l.pump(out, l.Out, func(line []byte) { l.Line(line, false) })
	})
	pumps.Go(func() {
		l.pump(errs, l.Err, func(line []byte) {
			last.Add(line)
			l.Line(line, true)
		})
	})
	go func() {
		pumps.Wait() // before Wait, which closes the pipes
		n.Wait(c)
		l.Ended(c.ProcessState, last.Lines())
	}()
	return nil
}

func (l Listener) refuse(err error) error {
	l.Out.Close()
	l.Err.Close()
	return err
}

// pump copies r to w and hands each line to say. A full disk must not stop the child: its pipe is read to the end whatever becomes of the copy.
func (l Listener) pump(r io.Reader, w io.WriteCloser, say func(line []byte)) {
	defer w.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if _, err := w.Write(line); err != nil {
				l.Torn(err)
			}
			say(bytes.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}
