package nursery

import (
	"os"
	"syscall"
)

// attributes of every child: a process group of its own, so that a Ctrl-C in the
// terminal reaches only the parent, which ends them in order; and a SIGKILL
// from the kernel when the thread that started it is gone, which is the nursery's and
// ends with this process, kill -9 included.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }
