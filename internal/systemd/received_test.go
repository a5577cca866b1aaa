//go:build unix

package systemd

import (
	"syscall"
	"testing"
)

// received is a datagram that has come, without waiting for one: time does not pass for who waits for a socket.
func received(t *testing.T, c syscall.RawConn) (text string) {
	t.Helper()
	err := c.Control(func(fd uintptr) {
		b := make([]byte, 4096)
		if n, _, err := syscall.Recvfrom(int(fd), b, syscall.MSG_DONTWAIT); err == nil {
			text = string(b[:n])
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
