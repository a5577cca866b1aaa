package netloop

import (
	"sync"
	"sync/atomic"
	"time"

	"cometctl/internal/slab"
)

// record is what an idle connection costs in its loop. It holds no pointer, so the collector never scans the slab.
type record struct {
	fd    int32     // epoll: descriptor
	gen   uint32    // generation of the slot; survives the record, so that old Conns are recognised
	out   uint32    // epoll: staged or backlogged output, see output_linux.go; 0 is none
	due   uint32    // tick of the deadline, 0 is none
	next  slab.Slot // neighbours in the bucket of the wheel
	prev  slab.Slot
	state state
	flags flags
}

type state uint8

const (
	stateFree    state = iota
	stateDialing       // connect is on its way
	stateOpen          // reads and writes
	stateEnding        // End was called: output leaves, input is dropped
)

type flags uint8

const (
	flagWantOut  flags = 1 << iota // EPOLLOUT is asked for
	flagHalfShut                   // our direction is shut down
	flagPeerEOF                    // the peer's direction has ended
	flagHeld                       // nothing is read, see Loop.Hold
)

// core is what a loop is in both engines: the turn, the mailbox, the records and their deadlines. Everything but mail
// and turn belongs to whoever has the turn.
type core struct {
	h      Handler
	self   Loop                 // the engine's loop around this core
	index  int                  //
	clock  func() time.Duration // monotonic, since the engine was made
	now    time.Duration        // of this turn
	recs   slab.Slab[record]
	wheel  wheel
	engine ending        // its part in ending a connection
	linger time.Duration // Config.Linger
	mail   mailbox
	turn   turn
	run    func()    // one turn without readiness events; the caller has the turn
	told   []outcome // writes that have left whole; Wrote is due
	wake   func()    // makes the loop's own goroutine take a turn
	held   holdings  // pending output, as Config.MaxPendingTotal counts it
	meter  *Meter
	events int           // that this turn has met
	late   time.Duration // how long the oldest of them had been due; negative: none was due before
	in     int           // bytes read since the last turn was counted
	out    int           // and written
	stamp  uint32        // of the post that is being delivered, for the first tagged write; 0: it is not timed
}

// inlinePosts is how much posted work a publisher does itself when the loop sleeps. Doing it saves the wake-up of
// another thread, which costs more than the writes; with more than this, two cores are faster than one.
const inlinePosts = 32

func (l *core) Index() int         { return l.index }
func (l *core) Now() time.Duration { return l.now }

// live returns the record of c, or nil when c has ended.
func (l *core) live(c Conn) *record {
	slot := c.Slot()
	if slot == 0 || slot >= l.recs.End() {
		return nil
	}
	r := l.recs.At(slot)
	if r.gen != c.gen() || r.state == stateFree {
		return nil
	}
	return r
}

func (l *core) conn(slot slab.Slot) Conn { return makeConn(l.index, l.recs.At(slot).gen, slot) }

func (l *core) alloc(st state) slab.Slot {
	slot := l.recs.Alloc()
	l.recs.At(slot).state = st
	return slot
}

// release frees a record. Only its generation stays, one further, so that a Conn made before names nobody.
func (l *core) release(slot slab.Slot) {
	l.wheel.remove(&l.recs, slot)
	gen := (l.recs.At(slot).gen + 1) & (1<<genBits - 1)
	l.recs.Free(slot)
	l.recs.At(slot).gen = gen
}

// SetDeadline implements Loop.
func (l *core) SetDeadline(c Conn, d time.Duration) {
	if r := l.live(c); r != nil && r.state != stateEnding {
		l.setDeadline(c.Slot(), d)
	}
}

func (l *core) setDeadline(slot slab.Slot, d time.Duration) {
	l.wheel.remove(&l.recs, slot)
	if d > 0 {
		l.wheel.insert(&l.recs, slot, l.now+d)
	}
}

// expire tells about every connection whose deadline has passed, after clearing it.
func (l *core) expire() {
	for {
		slot := l.wheel.pop(&l.recs, l.now)
		if slot == 0 {
			return
		}
		l.met(1, time.Duration(l.wheel.popped)*tick)
		l.expired(slot)
	}
}

// Conns implements Loop.
func (l *core) Conns(f func(Conn) bool) {
	for slot := slab.Slot(1); slot < l.recs.End(); slot++ {
		if l.recs.At(slot).state != stateFree && !f(l.conn(slot)) {
			return
		}
	}
}

// outcome is a tagged write that has left whole.
type outcome struct {
	c   Conn
	tag uint32
}

// wrote notes that a write has left whole, whose message was posted at. The handler is told later, when it is not in the middle of writing.
func (l *core) wrote(c Conn, tag, at uint32) {
	if at != 0 {
		l.wroteTimed(at)
	}
	if tag != 0 {
		l.told = append(l.told, outcome{c, tag})
	}
}

// tell calls Wrote for what wrote has noted: for everything, or (with c) for what c must hear before it is closed.
func (l *core) tell(c Conn) {
	for i := 0; i < len(l.told); i++ {
		if o := l.told[i]; o.tag != 0 && (c == 0 || c == o.c) {
			l.told[i].tag = 0
			l.h.Wrote(l.self, o.c, o.tag)
		}
	}
	if c == 0 {
		l.told = l.told[:0]
	}
}

// end tells the handler that c has ended, after its tagged writes that will not leave.
func (l *core) end(c Conn, err error, unsent []uint32) {
	for _, tag := range unsent {
		if tag != 0 {
			l.h.Unsent(l.self, c, tag)
		}
	}
	l.h.Closed(l.self, c, err)
}

// deliver hands over the mail; full says when the turn has staged so much that it must be written before more is added.
func (l *core) deliver(full func() bool, flush func()) {
	if l.mail.empty() {
		return
	}
	b := l.mail.take()
	l.met(len(b.posts), b.since)
	for i := range b.posts {
		p := &b.posts[i]
		if p.fn {
			b.fns[p.off](l.self)
			continue
		}
		r := l.live(p.conn)
		l.stamp = p.at
		l.h.Posted(l.self, p.conn, b.bytes[p.off:p.off+p.n], p.tag, r != nil && r.state == stateOpen)
		l.stamp = 0
		if full() {
			flush()
		}
	}
	l.mail.giveBack(b)
}

// kick lets mail be seen. Whoever has the turn looks into the mailbox again before it lets go, so a busy loop needs no
// wake-up at all.
func (l *core) kick() {
	if l.mail.empty() || !l.turn.tryEnter() {
		return
	}
	if l.mail.len() > inlinePosts {
		l.turn.leave()
		l.wake()
		return
	}
	l.run()
	l.leave(false)
}

// leave ends a turn. Mail that came in the meantime is the leaver's to deliver (the loop's own goroutine) or to announce
// (a publisher that stood in for it).
func (l *core) leave(own bool) {
	for {
		l.turn.leave()
		if l.mail.empty() {
			return
		}
		if !own {
			l.wake()
			return
		}
		if !l.turn.tryEnter() {
			return
		}
		l.run()
	}
}

// post and do implement Engine.Post and Engine.Do for this loop.
func (l *core) post(c Conn, b []byte, tag uint64) bool { return l.mail.put(c, b, tag, l.wake) }

func (l *core) do(f func(Loop)) {
	l.mail.putFunc(f)
	l.kick()
}

// turn is the right to touch a loop. held lets a publisher see that somebody has it without the memory-order questions
// of a mutex's fast path: post, then look at held; the holder clears held, then looks at the mail. One of them sees.
type turn struct {
	mu   sync.Mutex
	held atomic.Bool
}

func (t *turn) enter() { t.mu.Lock(); t.held.Store(true) }
func (t *turn) leave() { t.held.Store(false); t.mu.Unlock() }

func (t *turn) tryEnter() bool {
	if t.held.Load() || !t.mu.TryLock() {
		return false
	}
	t.held.Store(true)
	return true
}
