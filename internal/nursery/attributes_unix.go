//go:build unix && !linux

package nursery

import (
	"os"
	"syscall"
)

// attributes of every child: a process group of its own, so that a Ctrl-C in the
// terminal reaches only the parent, which ends them in order. Nothing here
// ends them if this process is killed with SIGKILL.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

func interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }
