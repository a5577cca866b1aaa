package netloop

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bell is a waiter with one descriptor in its epoll set.
type bell struct {
	*waiter
	fd int
}

func newBell(t *testing.T) bell {
	t.Helper()
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWaiter(ep, 4)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.close()
		unix.Close(fd)
	})
	if en := sysEpollCtl(ep, unix.EPOLL_CTL_ADD, int32(fd), unix.EPOLLIN, 7, 0); en != 0 {
		t.Fatal(en)
	}
	return bell{w, fd}
}

func (b bell) ring() { unix.Write(b.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }
func (b bell) hush() { unix.Read(b.fd, make([]byte, 8)) }

// heard demands that wait returns the bell's event.
func (b bell) heard(t *testing.T, most time.Duration) {
	t.Helper()
	if got := b.wait(most); len(got) != 1 || got[0].Fd != 7 || got[0].Events != unix.EPOLLIN {
		t.Fatalf("wait(%v): %v, want the event", most, got)
	}
}

func TestWaiter(t *testing.T) {
	b := newBell(t)
	if got := b.wait(0); len(got) != 0 {
		t.Errorf("nothing has happened, and wait says %v", got)
	}
	b.ring()
	for _, most := range []time.Duration{0, time.Hour, -1, -1} { // level-triggered: it stays
		b.heard(t, most)
	}
	b.hush()
	// A wait that ends by its time. None of the later ones is cut short by that time.
	began := time.Now()
	if got := b.wait(2 * time.Millisecond); len(got) != 0 || time.Since(began) < 2*time.Millisecond {
		t.Errorf("a wait of 2 ms took %v: %v", time.Since(began), got)
	}
	for _, most := range []time.Duration{-1, time.Hour, -1} {
		time.AfterFunc(3*time.Millisecond, b.ring)
		b.heard(t, most)
		b.hush()
	}
}

// Go's poller tells of changes only. One that comes just before the wait, or while it begins, must not be missed.
func TestWaiterMissesNothing(t *testing.T) {
	b := newBell(t)
	for range 2000 {
		go b.ring()
		b.heard(t, time.Minute)
		b.hush()
	}
}
