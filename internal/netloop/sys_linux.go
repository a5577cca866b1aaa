package netloop

import (
	"errors"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below never block (every socket is non-blocking), so they go to the kernel without telling the scheduler,
// and without the allocations that x/sys makes for addresses nobody asked for.

func sysAccept(fd int) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(n), e
}

func sysRead(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), e
}

// sysSend is send(2) with MSG_NOSIGNAL: a peer that is gone is an error here, not a signal.
func sysSend(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

func sysEpollCtl(ep, op int, fd int32, events uint32, slot, gen uint32) syscall.Errno {
	ev := unix.EpollEvent{Events: events, Fd: int32(slot), Pad: int32(gen)}
	_, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return e
}

// sysEpollWait takes the events that there are, and waits for none.
func sysEpollWait(ep int, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

func sysClose(fd int32) { syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func sysShutdown(fd int32) { syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0) }

// socketError is the reason why a connect failed, or 0.
func socketError(fd int32) syscall.Errno {
	n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return unix.EIO
	}
	return syscall.Errno(n)
}

func family(ip netip.Addr) int {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if ip := a.Addr(); ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// rawSockaddr writes a in the kernel's form into buf and returns its length.
func rawSockaddr(buf *unix.RawSockaddrInet6, a netip.AddrPort) uintptr {
	port := a.Port()>>8 | a.Port()<<8
	if ip := a.Addr(); ip.Is4() {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(buf))
		*sa = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: ip.As4()}
		return unix.SizeofSockaddrInet4
	}
	*buf = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: a.Addr().As16()}
	return unix.SizeofSockaddrInet6
}

func sysBindConnect(call uintptr, fd int32, a netip.AddrPort) syscall.Errno {
	var sa unix.RawSockaddrInet6
	n := rawSockaddr(&sa, a)
	_, _, e := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&sa)), n)
	return e
}

// sysDial starts a connection. done tells that it stands already: over loopback the handshake happens inside connect(2),
// which still answers EINPROGRESS; asking once more is cheaper than a round through epoll. receive is the size of the receive buffer, 0 the system's choice.
func sysDial(to, from netip.AddrPort, receive int) (fd int32, done bool, err error) {
	n, _, e := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(family(to.Addr())), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, false, os.NewSyscallError("socket", e)
	}
	fd = int32(n)
	fail := func(call string, e syscall.Errno) (int32, bool, error) {
		sysClose(fd)
		return -1, false, os.NewSyscallError(call, e)
	}
	set := func(level, opt uintptr, value int32) {
		syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), level, opt, uintptr(unsafe.Pointer(&value)), 4, 0)
	}
	if receive > 0 {
		set(unix.SOL_SOCKET, unix.SO_RCVBUF, int32(receive)) // before the handshake, which offers a window
	}
	if from.IsValid() {
		// Without this the port is chosen at bind, for any peer, and 28,232 are all there are per source address.
		set(unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if e := sysBindConnect(unix.SYS_BIND, fd, from); e != 0 {
			return fail("bind", e)
		}
	}
	e = sysBindConnect(unix.SYS_CONNECT, fd, to)
	if e == unix.EINPROGRESS && to.Addr().IsLoopback() {
		e = sysBindConnect(unix.SYS_CONNECT, fd, to)
	}
	switch e {
	case 0, unix.EISCONN:
		return fd, true, nil
	case unix.EINPROGRESS, unix.EALREADY:
		return fd, false, nil
	}
	return fail("connect", e)
}

// listenGroup opens n listening sockets on one address that share its connections (SO_REUSEPORT). The first one is bound
// before it joins the group: SO_REUSEPORT alone would let a second server of the same user take half of this one's
// connections silently, where an error is due.
func listenGroup(addr netip.AddrPort, n int) (fds []int32, bound netip.AddrPort, err error) {
	defer func() {
		if err != nil {
			for _, fd := range fds {
				sysClose(fd)
			}
		}
	}()
	for i := range n {
		fd, err := unix.Socket(family(addr.Addr()), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fds, bound, os.NewSyscallError("socket", err)
		}
		fds = append(fds, int32(fd))
		group := func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }
		if i > 0 {
			err = group()
		}
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		}
		if err == nil {
			err = passOn(fd)
		}
		if err != nil {
			return fds, bound, os.NewSyscallError("setsockopt", err)
		}
		if err = unix.Bind(fd, sockaddr(addr)); err != nil {
			return fds, bound, os.NewSyscallError("bind", err)
		}
		if i == 0 {
			if err = group(); err != nil {
				return fds, bound, os.NewSyscallError("setsockopt", err)
			}
		}
		if err = unix.Listen(fd, somaxconn()); err != nil {
			return fds, bound, os.NewSyscallError("listen", err)
		}
		if i == 0 {
			if addr, err = localAddr(fd); err != nil {
				return fds, bound, err
			}
		}
	}
	return fds, addr, nil
}

// inheritListener returns n copies of the listening socket that f is, and its address.
func inheritListener(f *os.File, n int) (fds []int32, bound netip.AddrPort, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, bound, err
	}
	gone := raw.Control(func(fd uintptr) {
		if listening, e := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN); e != nil || listening == 0 {
			err = errors.Join(errors.New("no listening socket"), e)
			return
		}
		if bound, err = localAddr(int(fd)); err != nil {
			return
		}
		if err = unix.SetNonblock(int(fd), true); err != nil {
			return
		}
		if err = passOn(int(fd)); err != nil { // whoever opened it may not have known
			err = os.NewSyscallError("setsockopt", err)
			return
		}
		for range n {
			c, e := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
			if e != nil {
				err = os.NewSyscallError("fcntl", e)
				return
			}
			fds = append(fds, int32(c))
		}
	})
	if err = errors.Join(gone, err); err != nil {
		for _, fd := range fds {
			sysClose(fd)
		}
		return nil, bound, err
	}
	return fds, bound, nil
}

// unsentMax is TCP_NOTSENT_LOWAT of accepted sockets: with so many bytes that were not sent yet, the kernel takes no more.
// Otherwise a peer that does not read fills a send buffer of megabytes, and Config.MaxPending bounds only what comes on
// top of it. What is on its way to the peer does not count, so a fast connection loses nothing.
const unsentMax = 16 << 10

// passOn sets what accepted sockets inherit from their listening one, without a system call or a byte for any of them.
func passOn(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_TCP, unix.TCP_NOTSENT_LOWAT, unsentMax},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.SOL_TCP, unix.TCP_KEEPIDLE, int(aliveIdle.Seconds())},
		{unix.SOL_TCP, unix.TCP_KEEPINTVL, int(aliveAgain.Seconds())},
		{unix.SOL_TCP, unix.TCP_KEEPCNT, aliveTries},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// listenControl is net.ListenConfig.Control of the goroutine engine.
func listenControl(_, _ string, raw syscall.RawConn) error {
	var err error
	if gone := raw.Control(func(fd uintptr) { err = passOn(int(fd)) }); gone != nil {
		return gone
	}
	return os.NewSyscallError("setsockopt", err)
}

func localAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, os.NewSyscallError("getsockname", unix.EAFNOSUPPORT)
}

// sysPeer is the address of a socket's peer; the zero AddrPort once the peer has reset it.
func sysPeer(fd int32) netip.AddrPort {
	var sa unix.RawSockaddrInet6 // the larger of the two
	n := uint32(unix.SizeofSockaddrInet6)
	_, _, e := syscall.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&n)))
	if e != 0 {
		return netip.AddrPort{}
	}
	port := sa.Port>>8 | sa.Port<<8
	if sa.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&sa)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), port)
}

// somaxconn is the system's limit for a listener's backlog; listen(2) cuts a larger number to it silently.
func somaxconn() int {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return unix.SOMAXCONN
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return max(n, unix.SOMAXCONN)
}
