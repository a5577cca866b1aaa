package flood

import (
	"net"
	"os"
	"syscall"
	"testing"
)

func errRefused() error { return os.NewSyscallError("connect", syscall.ECONNREFUSED) }
func errReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}
func errNoPorts() error { return os.NewSyscallError("connect", syscall.EADDRNOTAVAIL) }

func TestCauseOf(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want cause
	}{
		{os.NewSyscallError("socket", syscall.EMFILE), "no descriptors"},
		{syscall.ENETUNREACH, "unreachable"},
		{syscall.ETIMEDOUT, "timeout"},
		{os.ErrDeadlineExceeded, "timeout"},
		{syscall.EPERM, cause(syscall.EPERM.Error())},
	} {
		if got := causeOf(tc.err); got != tc.want {
			t.Errorf("causeOf(%v) = %q, want %q", tc.err, got, tc.want)
		}
	}
}
