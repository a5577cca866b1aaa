package netloop

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Direct takes conn over and returns it as a connection whose reads and writes wait in the kernel, on the thread of who
// called, until ready or past their deadline. conn must not be used any more, save that it is still open after an error.
//
// Go's poller is made for many goroutines that wait. For a single one that receives a message every millisecond it is
// dear: the thread that polls hands over to one that runs, which wakes one that looks for more work, which wakes the
// scheduler's watchdog. A server that receives 1000 messages a second and passes each on took a third less processor time
// with this (docs/design/netloop.md). It is for few connections with much traffic: each occupies a thread while it waits.
func Direct(conn *net.TCPConn) (net.Conn, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	dupErr := error(nil)
	// A duplicate, because the poller lets go of a descriptor only when that is closed.
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("dup", dupErr)
	}
	d := &direct{fd: int32(fd), local: conn.LocalAddr(), remote: conn.RemoteAddr()}
	for i := range d.wake {
		wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			d.closeAll(i)
			return nil, os.NewSyscallError("eventfd", err)
		}
		d.wake[i] = int32(wake)
	}
	conn.Close()
	return d, nil
}

// direct implements net.Conn.
type direct struct {
	fd            int32
	wake          [2]int32 // eventfds that end a wait of reads and of writes
	local, remote net.Addr
	until         [2]atomic.Int64 // deadlines of reads and writes in Unix ns; 0 is none
	closed        atomic.Bool
	yielded       [2]time.Time // by reads and writes
	use           sync.RWMutex // held for reading while the descriptors are in use
}

// yieldEvery is less than forcePreemptNS of the Go runtime (proc.go), 10 ms.
const yieldEvery = 7 * time.Millisecond

const (
	forRead = iota
	forWrite
)

// Read implements net.Conn.
func (d *direct) Read(b []byte) (int, error) {
	d.use.RLock()
	defer d.use.RUnlock()
	if len(b) == 0 {
		return 0, nil
	}
	for {
		if err := d.wait(unix.POLLIN, forRead); err != nil {
			return 0, err
		}
		n, e := sysRead(d.fd, b)
		switch {
		case e == unix.EAGAIN || e == unix.EINTR:
		case e != 0:
			return 0, os.NewSyscallError("read", e)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements net.Conn.
func (d *direct) Write(b []byte) (int, error) {
	d.use.RLock()
	defer d.use.RUnlock()
	for done := 0; !d.closed.Load(); {
		n, e := sysSend(d.fd, b[done:])
		switch {
		case e == unix.EINTR:
		case e == unix.EAGAIN:
			if err := d.wait(unix.POLLOUT, forWrite); err != nil {
				return done, err
			}
		case e != 0:
			return done, os.NewSyscallError("write", e)
		default:
			if done += n; done == len(b) {
				return done, nil
			}
		}
	}
	return 0, net.ErrClosed
}

// wait sleeps until the socket is ready (or broken, which the next call finds out), the deadline has passed or the
// connection is closed.
func (d *direct) wait(events int16, which int) error {
	for {
		var timeout *unix.Timespec
		if at := d.until[which].Load(); at != 0 {
			left := at - time.Now().UnixNano()
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			ts := unix.NsecToTimespec(left)
			timeout = &ts
		}
		if d.closed.Load() {
			return net.ErrClosed
		}
		fds := [2]unix.PollFd{{Fd: d.fd, Events: events}, {Fd: d.wake[which], Events: unix.POLLIN}}
		// A goroutine that only goes from one system call to the next looks to the scheduler's watchdog like one that hogs
		// its processor: after 10 ms it is interrupted, and the watchdog stays awake, 50 times in the following ms. Yielding
		// a little earlier costs less than being watched.
		if now := time.Now(); now.Sub(d.yielded[which]) > yieldEvery {
			d.yielded[which] = now
			runtime.Gosched()
		}
		_, err := unix.Ppoll(fds[:], timeout, nil)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("ppoll", err)
		}
		if fds[1].Revents != 0 {
			var b [8]byte
			sysRead(d.wake[which], b[:])
			continue // a deadline has changed
		}
		if fds[0].Revents != 0 {
			return nil
		}
	}
}

func (d *direct) interrupt(which ...int) {
	one := [8]byte{1}
	for _, w := range which {
		syscall.RawSyscall(unix.SYS_WRITE, uintptr(d.wake[w]), uintptr(unsafe.Pointer(&one)), 8)
	}
}

// closeAll closes the socket and the first n eventfds.
func (d *direct) closeAll(n int) {
	for _, w := range d.wake[:n] {
		sysClose(w)
	}
	sysClose(d.fd)
}

// Close implements net.Conn. Calls that wait return net.ErrClosed.
func (d *direct) Close() error {
	if d.closed.Swap(true) {
		return net.ErrClosed
	}
	for !d.use.TryLock() {
		d.interrupt(forRead, forWrite)
		time.Sleep(time.Millisecond)
	}
	defer d.use.Unlock()
	d.closeAll(len(d.wake))
	return nil
}

func (d *direct) setDeadline(t time.Time, which ...int) error {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed.Load() {
		return net.ErrClosed
	}
	at := int64(0)
	if !t.IsZero() {
		at = max(1, t.UnixNano())
	}
	for _, w := range which {
		d.until[w].Store(at)
	}
	d.interrupt(which...)
	return nil
}

// SetDeadline implements net.Conn.
func (d *direct) SetDeadline(t time.Time) error { return d.setDeadline(t, forRead, forWrite) }

// SetReadDeadline implements net.Conn.
func (d *direct) SetReadDeadline(t time.Time) error { return d.setDeadline(t, forRead) }

// SetWriteDeadline implements net.Conn.
func (d *direct) SetWriteDeadline(t time.Time) error { return d.setDeadline(t, forWrite) }

// LocalAddr implements net.Conn.
func (d *direct) LocalAddr() net.Addr { return d.local }

// RemoteAddr implements net.Conn.
func (d *direct) RemoteAddr() net.Addr { return d.remote }
