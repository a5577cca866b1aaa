package soak

import (
	"bytes"
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

// foreigner is the first process of a server that is not ours. What it prints goes to files, without anybody who reads on.
type foreigner struct {
	child
	group *nursery.Group
}

func (f *foreigner) interrupt() error { return f.group.Terminate() }
func (f *foreigner) kill()            { f.group.Kill() }

// exec starts a program that is not ours. What it prints goes to NAME.out and NAME.log in the folder.
func (n *crew) exec(name string, words []string, events chan<- event) (process, error) {
	out, err := os.Create(filepath.Join(n.dir, name+".out"))
	if err != nil {
		return nil, err
	}
	defer out.Close() // the server has it too
	errs, err := os.Create(filepath.Join(n.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer errs.Close()
	f := &foreigner{child: child{cmd: exec.Command(words[0], words[1:]...)}}
	f.cmd.Stdout, f.cmd.Stderr = out, errs
	if f.group, err = n.StartGroup(f.cmd); errors.Is(err, nursery.ErrClosed) {
		err = ErrInterrupted
	}
	if err != nil {
		return nil, err
	}
	go func() {
		f.group.Wait()
		words := lastLines(errs.Name())
		if len(words) == 0 { // some complain on stdout
			words = lastLines(out.Name())
		}
		s := f.cmd.ProcessState
		events <- event{name: name, ended: true, exit: s.String(), code: s.ExitCode(), words: words}
	}()
	return f, nil
}

// tailBytes is how much of the end of a file lastLines looks at.
const tailBytes = 4 << 10

// lastLines returns the last lines of a file, as far as they can be read.
func lastLines(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		f.Seek(-tailBytes, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(f, tailBytes))
	var tail nursery.Tail
	for line := range bytes.Lines(text) {
		tail.Add(bytes.TrimRight(line, "\r\n"))
	}
	return tail.Lines()
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
