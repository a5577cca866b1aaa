// Package nursery starts processes that must not outlive this one, and knows which of them live.
//
// All are started from one goroutine that is locked to its thread and lives as long as the Nursery: Linux delivers the
// parent-death signal when the *thread* that forked ends, not the process, and Go ends threads as it likes. On Linux a
// child is killed with this process, however it ends; elsewhere only KillAll and Close do that. Each child is in a process
// group of its own, so that a Ctrl-C in the terminal reaches only this process, which ends the others in order.
//
// The owner of a Nursery starts and waits; any goroutine may call KillAll.
package nursery

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// ErrClosed is returned by Start after KillAll or Close.
var ErrClosed = errors.New("nursery: everybody was killed, nobody is started any more")

// Nursery is the children of one owner. Make it with New.
type Nursery struct {
	births chan func()

	mu     sync.Mutex
	alive  map[*exec.Cmd]func() // how each is killed
	closed bool
}

// New makes a Nursery without children. It has a thread of its own until Close.
func New() *Nursery {
	n := &Nursery{births: make(chan func()), alive: map[*exec.Cmd]func(){}}
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine, its niceness is nobody else's
		for birth := range n.births {
			birth()
		}
	}()
	return n
}

// Start starts c, whose SysProcAttr is the Nursery's business. Who started it waits for it with Wait. After Close it must not be
// called; after KillAll it fails with ErrClosed.
func (n *Nursery) Start(c *exec.Cmd) error {
	c.SysProcAttr = attributes()
	result := make(chan error, 1)
	n.births <- func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.closed {
			result <- ErrClosed
			return
		}
		err := c.Start()
		if err == nil {
			n.alive[c] = func() { c.Process.Kill() }
		}
		result <- err
	}
	return <-result
}

// precedence is how much less nice those are who Precede.
const precedence = 10

// Precede lets children that are started from now on be served before other processes, where this process may ask for that (Linux, root):
// for those that measure, or serve many others, on a machine that is meant to be overloaded.
func (n *Nursery) Precede() { n.births <- func() { setNice(-precedence, false) } }

// Follow takes the precedence that this process may have from children that are started from now on.
func (n *Nursery) Follow() { n.births <- func() { setNice(0, true) } }

// Wait waits for the end of a child, as c.Wait does.
func (n *Nursery) Wait(c *exec.Cmd) error {
	err := c.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.alive, c)
	return err
}

// KillAll kills every child, and every one that would be started later.
func (n *Nursery) KillAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, kill := range n.alive {
		kill()
	}
}

// Close kills who is left and ends the Nursery's thread.
func (n *Nursery) Close() {
	n.KillAll()
	close(n.births)
}

// Interrupt asks a child to stop gently: what it hears is os.Interrupt, on every system.
func Interrupt(p *os.Process) error { return interrupt(p) }

// TailLines is how many lines a Tail keeps.
const TailLines = 5

// Tail keeps the last lines that a child wrote for people. What begins with a brace is JSON for programs, and nobody's last
// words. The zero Tail is empty; it belongs to one goroutine at a time.
type Tail struct{ lines []string }

// Add adds a line.
func (t *Tail) Add(line []byte) {
	if len(line) == 0 || line[0] == '{' {
		return
	}
	if len(t.lines) == TailLines {
		t.lines = append(t.lines[:0:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, string(line))
}

// Lines returns the lines, the oldest first.
func (t *Tail) Lines() []string { return t.lines }
