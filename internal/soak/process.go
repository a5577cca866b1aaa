package soak

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// nursery starts the pieces as processes and knows which of them live.
//
// All are started from one goroutine that is locked to its thread and lives as long
// as the nursery: Linux delivers the parent-death signal when the *thread* that
// forked ends, not the process, and Go ends threads as it likes.
type nursery struct {
	program string
	dir     string // where the pieces' output goes
	births  chan func()

	mu     sync.Mutex
	alive  map[*child]bool
	closed bool  // everybody was killed, nobody is started any more
	torn   error // why what a piece printed could not be written; the first time
}

func newNursery(program, dir string) *nursery {
	n := &nursery{program: program, dir: dir, births: make(chan func()), alive: map[*child]bool{}}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for birth := range n.births {
			birth()
		}
	}()
	return n
}

// close kills who is left and ends the nursery's goroutine.
func (n *nursery) close() {
	n.killAll()
	close(n.births)
}

// killAll kills every piece, and every one that would be started later. Any goroutine
// may call it.
func (n *nursery) killAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for c := range n.alive {
		c.kill()
	}
}

func (n *nursery) tear(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.torn == nil {
		n.torn = fmt.Errorf("soak: %w", err)
	}
}

// unwritten returns why a piece's output is not whole in the folder, or nil.
func (n *nursery) unwritten() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.torn
}

// child is a started process.
type child struct {
	cmd *exec.Cmd
}

func (c *child) pid() int         { return c.cmd.Process.Pid }
func (c *child) interrupt() error { return interrupt(c.cmd.Process) }
func (c *child) kill()            { c.cmd.Process.Kill() }

// start starts a piece. What it prints goes to NAME.json (stdout) and NAME.log
// (stderr) in the folder, and as events to the conductor.
func (n *nursery) start(name string, args []string, events chan<- event) (process, error) {
	c := &child{cmd: exec.Command(n.program, args...)}
	c.cmd.SysProcAttr = attributes()
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	outFile, errFile, err := n.files(name)
	if err != nil {
		return nil, err
	}
	if err := n.birth(c); err != nil {
		outFile.Close()
		errFile.Close()
		return nil, err
	}
	last := &tail{}
	var pumps sync.WaitGroup
	pumps.Go(func() {
		n.pump(out, outFile, func(line []byte) { events <- event{name: name, line: line} })
	})
	pumps.Go(func() {
		n.pump(errs, errFile, func(line []byte) {
			last.add(line)
			events <- event{name: name, line: line, stderr: true}
		})
	})
	go func() {
		pumps.Wait() // before Wait, which closes the pipes
		c.cmd.Wait()
		n.mu.Lock()
		delete(n.alive, c)
		n.mu.Unlock()
		state := c.cmd.ProcessState
		events <- event{name: name, ended: true, exit: state.String(), code: state.ExitCode(), words: last.lines}
	}()
	return c, nil
}

// birth starts c on the nursery's thread, unless everybody is being killed.
func (n *nursery) birth(c *child) error {
	result := make(chan error, 1)
	n.births <- func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.closed {
			result <- ErrInterrupted
			return
		}
		err := c.cmd.Start()
		if err == nil {
			n.alive[c] = true
		}
		result <- err
	}
	return <-result
}

// files opens the files for what a piece prints. memlog's rows are in its log already.
func (n *nursery) files(name string) (out, errs io.WriteCloser, err error) {
	errs, err = os.Create(filepath.Join(n.dir, name+".log"))
	if err != nil {
		return nil, nil, err
	}
	if name == mem {
		return discard{}, errs, nil
	}
	out, err = os.Create(filepath.Join(n.dir, name+".json"))
	if err != nil {
		errs.Close()
		return nil, nil, err
	}
	return out, errs, nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Close() error                { return nil }

// pump copies r to w and hands each line to say, which may keep it. A full disk must
// not stop the piece: its pipe is read to the end whatever becomes of the copy.
func (n *nursery) pump(r io.Reader, w io.WriteCloser, say func(line []byte)) {
	defer w.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if _, err := w.Write(line); err != nil {
				n.tear(err)
			}
			say(bytes.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}

// tailLines is how many of a piece's last words are kept.
const tailLines = 5

// tail keeps the last lines that a piece wrote for people: its progress is JSON, and
// nobody's last words.
type tail struct{ lines []string }

func (t *tail) add(line []byte) {
	if len(line) == 0 || line[0] == '{' {
		return
	}
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, string(line))
}
