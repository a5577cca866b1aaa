package netloop

import (
	"os"
	"syscall"
)

// narrow is a net.Dialer.Control that sets the receive buffer before the handshake, which offers a window.
func narrow(receive int) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if gone := c.Control(func(fd uintptr) {
			err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive))
		}); gone != nil {
			return gone
		}
		return err
	}
}
