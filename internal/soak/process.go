package soak

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"cometctl/internal/nursery"
)

// crew is the pieces as processes, and what they print.
type crew struct {
	*nursery.Nursery
	program string
	dir     string // where the pieces' output goes

	mu   sync.Mutex
	torn error // why what a piece printed could not be written; the first time
}

func newCrew(program, dir string) *crew {
	c := &crew{Nursery: nursery.New(), program: program, dir: dir}
	c.Precede() // or else serve, flood, msggen and memlog would each get what one of a hundred workers gets
	return c
}

func (n *crew) tear(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.torn == nil {
		n.torn = fmt.Errorf("soak: %w", err)
	}
}

// unwritten returns why a piece's output is not whole in the folder, or nil.
func (n *crew) unwritten() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.torn
}

// child is a started process.
type child struct {
	cmd *exec.Cmd
}

func (c *child) pid() int         { return c.cmd.Process.Pid }
func (c *child) interrupt() error { return nursery.Interrupt(c.cmd.Process) }
func (c *child) kill()            { c.cmd.Process.Kill() }

// start starts a piece. What it prints goes to NAME.json (stdout) and NAME.log
// (stderr) in the folder, and as events to the conductor.
func (n *crew) start(name string, args []string, events chan<- event) (process, error) {
	c := &child{cmd: exec.Command(n.program, args...)}
	out, errs, err := n.files(name)
	if err != nil {
		return nil, err
	}
	err = n.Listen(c.cmd, nursery.Listener{Out: out, Err: errs, Torn: n.tear,
		Line: func(line []byte, stderr bool) { events <- event{name: name, line: line, stderr: stderr} },
		Ended: func(s *os.ProcessState, last []string) {
			events <- event{name: name, ended: true, exit: s.String(), code: s.ExitCode(), words: last}
		}})
	if errors.Is(err, nursery.ErrClosed) {
		err = ErrInterrupted
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// files opens the files for what a piece prints. memlog's rows are in its log already.
func (n *crew) files(name string) (out, errs io.WriteCloser, err error) {
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
