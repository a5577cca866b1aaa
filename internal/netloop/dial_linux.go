package netloop

import (
	"crypto/tls"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// This file is how an epoll loop dials, holds and aborts; conn_linux.go has the rest of what it does with its connections.

// Dial implements Loop.
func (l *eloop) Dial(to, from netip.AddrPort) (Conn, error) { return l.dial(to, from, 0) }

// DialTLS implements Loop.
func (l *eloop) DialTLS(netip.AddrPort, netip.AddrPort, *tls.Config) (Conn, error) {
	return 0, ErrNoTLS
}

// DialNarrow implements Loop.
func (l *eloop) DialNarrow(to, from netip.AddrPort, cfg *tls.Config, receive int) (Conn, error) {
	if cfg != nil {
		return 0, ErrNoTLS
	}
	return l.dial(to, from, receive)
}

// dial starts a connection; receive is its receive buffer, 0 the system's choice.
func (l *eloop) dial(to, from netip.AddrPort, receive int) (Conn, error) {
	if l.closed {
		return 0, ErrClosed
	}
	fd, done, err := sysDial(to, from, receive)
	if err != nil {
		return 0, err
	}
	c, err := l.adopt(fd, stateOpen)
	if err != nil {
		return 0, err
	}
	if done {
		l.fresh = append(l.fresh, c)
		return c, nil
	}
	l.recs.At(c.Slot()).state = stateDialing
	l.watch(c.Slot(), unix.EPOLLOUT)
	return c, nil
}

// Hold implements Loop.
func (l *eloop) Hold(c Conn, hold bool) {
	r := l.live(c)
	if r == nil || hold == (r.flags&flagHeld != 0) || hold && r.state == stateEnding {
		return
	}
	r.flags ^= flagHeld
	events := uint32(unix.EPOLLIN)
	switch {
	case r.state == stateDialing:
		return // connected asks for what is due then
	case r.out&backlogBit != 0:
		events |= unix.EPOLLOUT
	}
	l.watch(c.Slot(), events)
}

// heldError is why a connection is broken of which nothing is read.
func heldError(fd int32) error {
	if e := socketError(fd); e != 0 {
		return os.NewSyscallError("read", e)
	}
	return io.EOF
}

// Abort implements Loop.
func (l *eloop) Abort(c Conn, err error) {
	if r := l.live(c); r != nil {
		_ = unix.SetsockoptLinger(int(r.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // or it ends as others do
	}
	l.Close(c, err)
}
