package netloop

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waiter is where a loop waits for its epoll set: in Go's own poller, as any goroutine waits for a socket (an epoll set that
// has events is readable).
//
// To block in epoll_wait would be simpler, and is dear in a crowd of processes. The scheduler takes the processor away from a
// goroutine that blocks in a system call, and once its watchdog had to do that it looks again every 20 microseconds for a
// millisecond at least. In a hundred processes that was a fifth of the machine.
//
// Only the loop's own goroutine may use it.
type waiter struct {
	ep     int
	file   *os.File // the same
	raw    syscall.RawConn
	look   func(fd uintptr) bool // poll, bound once
	events []unix.EpollEvent
	n      int           // events that poll took
	errno  syscall.Errno // of poll
	timed  bool          // file has a deadline
}

// newWaiter takes at most that many events at a time. It owns ep from then on, and closes it if it fails.
func newWaiter(ep, events int) (*waiter, error) {
	if err := unix.SetNonblock(ep, true); err != nil { // or os.File would not use the poller
		unix.Close(ep)
		return nil, os.NewSyscallError("fcntl", err)
	}
	w := &waiter{ep: ep, file: os.NewFile(uintptr(ep), "epoll"), events: make([]unix.EpollEvent, events)}
	w.look = func(uintptr) bool { return w.poll() }
	var err error
	if w.raw, err = w.file.SyscallConn(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// wait returns the events that there are, lent until the next call. Without any it waits for the first, for so long at
// most; less than zero is for ever.
func (w *waiter) wait(most time.Duration) []unix.EpollEvent {
	if !w.poll() && most != 0 {
		w.sleep(most)
	}
	if w.errno != 0 && w.errno != unix.EINTR {
		panic(os.NewSyscallError("epoll_wait", w.errno)) // EBADF, EFAULT, EINVAL: a bug here, not weather
	}
	return w.events[:w.n]
}

// sleep is the part of wait for which nothing was there.
func (w *waiter) sleep(most time.Duration) {
	var err error
	switch {
	case most > 0:
		w.timed, err = true, w.file.SetReadDeadline(time.Now().Add(most))
	case w.timed:
		w.timed, err = false, w.file.SetReadDeadline(time.Time{})
	}
	if err == nil {
		err = w.raw.Read(w.look)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		panic(err) // the poller does not take an epoll set, or it is closed: a bug here too
	}
}

// poll takes the events that there are. It reports false if there are none.
func (w *waiter) poll() bool {
	w.n, w.errno = sysEpollWait(w.ep, w.events)
	return w.n > 0 || w.errno != 0
}

func (w *waiter) close() { w.file.Close() }
