//go:build unix

package nursery

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// guardScript waits for a word. Without one, as the pipe ends with the process that holds its other end, it kills the group.
// A shell is the smallest program that can, and stays alive whatever happens to us.
const guardScript = `read over || kill -s KILL -- "-$0"`

// guard is the pipe on which that word is said.
type guard struct {
	word io.WriteCloser
	cmd  *exec.Cmd
}

// guardGroup starts the guard of p's group. It is in a group of its own, and no parent's death is its own.
func guardGroup(p *os.Process) (io.Closer, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, strconv.Itoa(p.Pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	word, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &guard{word, cmd}, nil
}

// Close sends the guard home.
func (g *guard) Close() error {
	_, err := io.WriteString(g.word, "over\n")
	g.word.Close()
	g.cmd.Wait()
	return err
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

func killGroup(p *os.Process) { syscall.Kill(-p.Pid, syscall.SIGKILL) }
