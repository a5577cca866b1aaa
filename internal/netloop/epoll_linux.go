package netloop

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const defaultEngine = "epoll"

// Data of epoll events that are no connection. Slots of connections start at 1 and stay below 1<<28.
const (
	slotWake     = 1 << 30 // the eventfd
	slotListener = 1 << 31 // plus the index into eloop.listeners
)

const never = time.Duration(1<<63 - 1)

const (
	acceptBatch = 256 // connections taken from one listener in a turn: readers wait no longer than that
)

// epollEngine implements Engine with one epoll set a loop.
type epollEngine struct {
	cfg   Config
	loops []*eloop
	done  sync.WaitGroup
	once  sync.Once
	short shortage
	total *total        // pending output of all
	taken atomic.Uint32 // connections of other processes
}

// eloop is a loop of the epoll engine: level-triggered, EPOLLOUT only while a backlog exists.
type eloop struct {
	core
	cfg        *Config
	short      *shortage
	ep         int
	waiter     *waiter // for ep
	evfd       int
	evmu       sync.RWMutex  // keeps evfd open while somebody writes to it
	listeners  []int32       // under the turn; -1 where closed
	resume     time.Duration // when accepting goes on after a pause; 0: it is not paused
	sleepUntil time.Duration // when the wait ends by itself
	buf        []byte        // every connection of the loop reads into it
	scratch    []byte
	stage      stage
	backlogs   backlogs
	blocks     blocks   // of backlogs
	unsent     []uint32 // tags, while a connection is closed
	fresh      []Conn   // dials that stood when Dial returned
	closed     bool
}

func newEpoll(cfg Config, h Handler) (Engine, error) {
	e := &epollEngine{cfg: cfg, short: shortage{to: cfg.Log}}
	e.total = newTotal(&e.cfg, func() {
		for _, l := range e.loops {
			l.wakeUp()
		}
	})
	clock := sinceNow()
	for i := range cfg.Loops {
		l, err := newELoop(e, i, h, clock)
		if err != nil {
			for _, l := range e.loops {
				l.free()
			}
			return nil, err
		}
		e.loops = append(e.loops, l)
	}
	for _, l := range e.loops {
		e.done.Go(l.serve)
	}
	return e, nil
}

func newELoop(e *epollEngine, index int, h Handler, clock func() time.Duration) (*eloop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	evfd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(ep)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &eloop{sleepUntil: never, cfg: &e.cfg, short: &e.short, ep: ep, evfd: evfd,
		buf: make([]byte, e.cfg.ReadBuffer)}
	if l.waiter, err = newWaiter(ep, 512); err != nil {
		unix.Close(evfd)
		return nil, err
	}
	l.core = core{h: h, self: l, engine: l, linger: e.cfg.Linger, index: index, clock: clock, meter: e.cfg.Meter(index), run: l.borrowed, wake: l.wakeUp}
	l.held.init(e.total)
	l.mail.init(e.cfg.MailboxSize, clock)
	if en := sysEpollCtl(ep, unix.EPOLL_CTL_ADD, int32(evfd), unix.EPOLLIN, slotWake, 0); en != 0 {
		l.free()
		return nil, os.NewSyscallError("epoll_ctl", en)
	}
	return l, nil
}

// free closes the loop's own descriptors. A publisher may be about to wake the loop even now; the number that it has would
// be somebody else's descriptor soon.
func (l *eloop) free() {
	l.evmu.Lock()
	defer l.evmu.Unlock()
	l.waiter.close()
	unix.Close(l.evfd)
	l.evfd = -1
}

func (l *eloop) wakeUp() {
	one := [8]byte{1}
	l.evmu.RLock()
	defer l.evmu.RUnlock()
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(l.evfd), uintptr(unsafe.Pointer(&one)), 8)
}

// serve is the loop's own goroutine.
func (l *eloop) serve() {
	wait := time.Duration(-1)
	for {
		events := l.waiter.wait(wait)
		l.turn.enter()
		l.takeTurn(events)
		closed := l.closed
		wait = l.timeout()
		l.leave(true)
		if closed {
			return
		}
	}
}

// timeout says how long the loop may sleep; less than zero is for ever.
func (l *eloop) timeout() time.Duration {
	at, ok := l.nextDue()
	if !ok {
		l.sleepUntil = never
		return -1
	}
	l.sleepUntil = at
	return max(0, at-l.clock())
}

// nextDue is the earliest time at which the loop has something to do by itself.
func (l *eloop) nextDue() (time.Duration, bool) {
	at, ok := l.wheel.next()
	if l.resume != 0 && (!ok || l.resume < at) {
		return l.resume, true
	}
	return at, ok
}

// borrowed is a turn taken on a publisher's goroutine, or again before the turn is left. The loop's own goroutine may have
// settled its sleep by then, so a deadline that falls into it must end it.
func (l *eloop) borrowed() {
	l.takeTurn(nil)
	if at, ok := l.nextDue(); ok && at < l.sleepUntil {
		l.sleepUntil = at
		l.wakeUp()
	}
}

// takeTurn does everything that is due, in the order of the package comment. The caller has the turn.
func (l *eloop) takeTurn(events []unix.EpollEvent) {
	if l.closed {
		l.mail.take()
		return
	}
	l.begin(len(events))
	l.deliver(l.stage.full, l.flush)
	for i := range events {
		l.event(&events[i])
	}
	l.openFresh()
	l.expire()
	l.restartListeners()
	l.openFresh() // of those who dial another connection when one's time is over
	l.flush()
	if l.shed() {
		l.flush() // of what handlers have said to that
	}
	if len(l.fresh) > 0 { // nothing else would wake the loop for what stands already
		l.wakeUp()
	}
	l.blocks.rest()
	l.account()
}
