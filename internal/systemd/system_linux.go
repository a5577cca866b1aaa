package systemd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// monotonic is CLOCK_MONOTONIC in microseconds. Go's own clock cannot be read as a number.
func monotonic() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return ts.Nano() / 1000, nil
}

// claim keeps a socket from our children. It fails where it is none on which connections are accepted.
func claim(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if listening == 0 {
		return errors.New("it does not listen; the socket unit wants ListenStream= and Accept=no")
	}
	return nil
}
