package nursery

import (
	"os"
	"syscall"
)

// attributes of every child: a process group of its own, which is also what makes it
// possible to interrupt it alone.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// interrupt sends Ctrl-Break to the child's group, which Go delivers to it as
// os.Interrupt. There is no other gentle signal, and os.Process refuses this one.
func interrupt(p *os.Process) error {
	const ctrlBreak = 1
	proc := syscall.NewLazyDLL("kernel32.dll").NewProc("GenerateConsoleCtrlEvent")
	if ok, _, err := proc.Call(ctrlBreak, uintptr(p.Pid)); ok == 0 {
		return os.NewSyscallError("GenerateConsoleCtrlEvent", err)
	}
	return nil
}
