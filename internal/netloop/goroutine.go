package netloop

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"cometctl/internal/slab"
)

// goEngine implements Engine with net.Conn, a reading goroutine for each connection, a writing one while it has output, and one
// more for each loop that meets deadlines and delivers mail.
type goEngine struct {
	cfg   Config
	loops []*goLoop
	short shortage
	total *total         // pending output of all
	all   sync.WaitGroup // every goroutine of the engine
	once  sync.Once
	stop  chan struct{} // closed by StopListening

	mu        sync.Mutex
	listeners []*net.TCPListener
	accepting sync.WaitGroup
	turnOf    int  // loop of the next accepted connection
	stopped   bool // stop is closed
	closed    bool // nobody may listen any more
}

// goLoop is a loop of the goroutine engine: a lock around handler calls, and what belongs to the connections behind it.
type goLoop struct {
	core
	e          *goEngine
	conns      []*goConn // by slot
	signal     chan struct{}
	sleepUntil time.Duration
	closed     bool
}

// goConn is a connection. All of it belongs to the turn of its loop, but its reader and its writer use what they took there.
type goConn struct {
	nc      *net.TCPConn       // nil while it is dialled
	tls     *tls.Conn          // around nc; nil: it is plain
	cancel  context.CancelFunc // ends a dial
	writing backlog            // what the writer has in hand
	queued  backlog            // what it takes next
	busy    bool               // there is a writer
	shaking bool               // the TLS handshake is not over, and nothing can be written
	holding                    // what writing and queued count of the total
	bye     bool               // the writer is to end our direction of TLS
	held    chan struct{}      // closed when reading may go on; nil: it may
}

func newGoroutine(cfg Config, h Handler) Engine {
	e := &goEngine{cfg: cfg, short: shortage{to: cfg.Log}, stop: make(chan struct{})}
	e.total = newTotal(&e.cfg, func() {
		for _, l := range e.loops {
			l.wakeUp()
		}
	})
	clock := sinceNow()
	for i := range cfg.Loops {
		l := &goLoop{e: e, signal: make(chan struct{}, 1), sleepUntil: 1<<63 - 1}
		l.core = core{h: h, self: l, engine: l, linger: cfg.Linger, index: i, clock: clock, meter: cfg.Meter(i), run: l.takeTurn, wake: l.wakeUp}
		l.held.init(e.total)
		l.mail.init(cfg.MailboxSize, clock)
		e.loops = append(e.loops, l)
		e.all.Go(l.serve)
	}
	return e
}

func (l *goLoop) wakeUp() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// serve is the loop's own goroutine.
func (l *goLoop) serve() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.turn.enter()
		l.takeTurn()
		closed, wait := l.closed, time.Hour
		l.sleepUntil = 1<<63 - 1
		if at, ok := l.wheel.next(); ok {
			l.sleepUntil, wait = at, max(0, at-l.clock())
		}
		l.leave(true)
		if closed {
			return
		}
		timer.Reset(wait)
		select {
		case <-l.signal:
		case <-timer.C:
		}
	}
}

// takeTurn does what is due; sockets are their goroutines' business.
func (l *goLoop) takeTurn() {
	l.begin(0)
	if l.closed {
		l.mail.take()
		return
	}
	l.deliver(func() bool { return false }, nil)
	l.expire()
	l.shed()
	l.account()
}

// inTurn runs f in a turn on a connection's goroutine.
func (l *goLoop) inTurn(f func()) {
	l.turn.enter()
	l.begin(1)
	f()
	l.shed()
	l.account()
	if at, ok := l.wheel.next(); ok && at < l.sleepUntil {
		l.sleepUntil = at
		l.wakeUp()
	}
	l.leave(true)
}

func (l *goLoop) at(slot slab.Slot) *goConn { return l.conns[slot] }

// adopt gives a connection a record; nc is nil while it is dialled.
func (l *goLoop) adopt(st state, gc *goConn) Conn {
	slot := l.alloc(st)
	for int(slot) >= len(l.conns) {
		l.conns = append(l.conns, nil)
	}
	l.conns[slot] = gc
	gc.c = l.conn(slot)
	return gc.c
}

// start tells that c is open and sets it going. Its goroutine waits for the end of this turn.
func (l *goLoop) start(c Conn, gc *goConn) {
	l.h.Opened(l, c)
	switch {
	case l.live(c) == nil:
	case gc.tls != nil:
		l.e.all.Go(func() { l.shake(c, gc) })
	default:
		wait := gc.held
		l.e.all.Go(func() { l.reader(c, gc, gc.nc, wait) })
	}
}

// reader reads c, once wait is closed if there is one, until its end. What it read while the connection was held is handed over when it is not.
func (l *goLoop) reader(c Conn, gc *goConn, from io.Reader, wait <-chan struct{}) {
	buf := make([]byte, l.e.readBuffer(gc))
	for {
		pause(wait)
		n, err := from.Read(buf)
		live, taken := true, false
		for !taken {
			l.inTurn(func() {
				if wait, taken = gc.held, gc.held == nil; !taken {
					return
				}
				l.in += n
				if r := l.live(c); n > 0 && r != nil && r.state == stateOpen {
					l.h.Readable(l, c, buf[:n])
				}
				if err != nil {
					l.readEnd(c, gc, err)
				}
				live, wait = l.live(c) != nil, gc.held
			})
			if !taken {
				pause(wait)
			}
		}
		if err != nil || !live {
			return
		}
	}
}

// readEnd is the end of the peer's direction. What is pending may still leave, within Linger: who has said all and waits for its
// answer gets it, as it does where the kernel is asked at once.
func (l *goLoop) readEnd(c Conn, gc *goConn, err error) {
	switch r := l.live(c); {
	case r == nil:
	case err == io.EOF && gc.pending() > 0:
		r.flags |= flagPeerEOF
		l.End(c, nil)
	default:
		l.Close(c, err)
	}
}

// write sees to it that somebody writes what is queued: an idle connection has nobody who waits for output.
func (l *goLoop) write(c Conn, gc *goConn) {
	if !gc.busy && !gc.shaking {
		gc.busy = true
		l.e.all.Go(func() { l.writer(c, gc) })
	}
}

// writer writes until nothing is queued. It takes note of what it has written and takes what has been queued meanwhile in one turn.
func (l *goLoop) writer(c Conn, gc *goConn) {
	n, err := 0, error(nil)
	for {
		var buf []byte
		var bye bool
		var to io.Writer
		l.inTurn(func() {
			l.written(c, gc, n, err)
			if l.live(c) == nil {
				return
			}
			gc.writing, gc.queued = gc.queued, gc.writing
			buf, bye, to = gc.writing.buf, gc.bye, gc.wire()
			gc.bye, gc.busy = false, len(buf) > 0 || bye
		})
		switch {
		case len(buf) > 0:
			n, err = to.Write(buf)
		case bye:
			gc.sayBye()
			n, err = 0, nil
		default:
			return
		}
	}
}

// written takes note of what the writer has done.
func (l *goLoop) written(c Conn, gc *goConn, n int, err error) {
	if l.live(c) == nil {
		return
	}
	l.out += n
	gc.writing.advance(n, func(tag, at uint32) { l.wrote(c, tag, at) })
	if err == nil {
		gc.writing = backlog{buf: gc.writing.buf[:0], ends: gc.writing.ends[:0]}
		if cap(gc.writing.buf) > 4<<10 {
			gc.writing.buf = nil
		}
	}
	l.recount(gc, n > 0)
	l.tell(0)
	if r := l.live(c); r != nil && err != nil {
		if r.flags&flagPeerEOF != 0 {
			err = io.EOF // it has closed in order, whatever it makes of the rest
		}
		l.Close(c, err)
		return
	}
	l.settle(c)
}

// recount counts what the connection's buffers hold of the total. What an idle one keeps for its next message is a part of what it costs.
func (l *goLoop) recount(gc *goConn, moved bool) {
	room := int64(0)
	if gc.pending() > 0 {
		room = gc.writing.room() + gc.queued.room()
	}
	l.held.hold(&gc.holding, room, moved)
}

func (g *goConn) pending() int { return g.writing.pending() + g.queued.pending() }

// waiting is what stands behind the first pending write. That one does not count for the bound: the kernel would have been
// asked to take it at once, were it not for the writer, and who reads shall not lose its second message for that.
func (g *goConn) waiting() int {
	for _, b := range []*backlog{&g.writing, &g.queued} {
		if len(b.ends) > 0 {
			return g.pending() - int(b.ends[0].n)
		}
	}
	return 0
}

// Write implements Loop.
func (l *goLoop) Write(c Conn, b []byte, tag uint32) bool {
	r := l.live(c)
	if r == nil || r.state != stateOpen {
		return false
	}
	gc := l.at(c.Slot())
	if p := gc.waiting(); p > 0 && (p+len(b) > l.e.cfg.MaxPending || l.held.of.tight()) {
		return false
	}
	gc.queued.add(b, tag, l.takeStamp(tag))
	l.recount(gc, false)
	l.write(c, gc)
	return true
}

// Peer implements Loop.
func (l *goLoop) Peer(c Conn) netip.AddrPort {
	if l.live(c) == nil || l.at(c.Slot()).nc == nil {
		return netip.AddrPort{}
	}
	a, ok := l.at(c.Slot()).nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// Pending implements Loop.
func (l *goLoop) Pending(c Conn) int {
	if l.live(c) == nil {
		return 0
	}
	return l.at(c.Slot()).pending()
}

// sendLast, pendingAt and halfClose are how this engine does what ending.go decides.
func (l *goLoop) sendLast(slot slab.Slot, b []byte) {
	gc := l.at(slot)
	gc.queued.add(b, 0, 0)
	l.recount(gc, false)
	l.write(l.conn(slot), gc)
}

func (l *goLoop) pendingAt(slot slab.Slot) int { return l.at(slot).pending() }

func (l *goLoop) halfClose(slot slab.Slot) bool {
	gc := l.at(slot)
	if gc.tls == nil {
		return gc.nc.CloseWrite() == nil
	}
	gc.bye = true
	l.write(l.conn(slot), gc)
	return true // of a peer that is gone the reader tells
}

// Close implements Loop.
func (l *goLoop) Close(c Conn, err error) {
	if l.live(c) == nil {
		return
	}
	gc := l.at(c.Slot())
	l.tell(c)
	if l.live(c) == nil {
		return
	}
	l.held.hold(&gc.holding, 0, false)
	l.conns[c.Slot()] = nil
	l.release(c.Slot())
	if gc.cancel != nil {
		gc.cancel()
	}
	gc.release()
	if gc.nc != nil {
		gc.nc.Close()
	}
	var unsent []uint32
	for _, p := range append(gc.writing.ends, gc.queued.ends...) {
		unsent = append(unsent, p.tag)
	}
	l.end(c, err, unsent)
}
