package netloop

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// mailbox is where other goroutines leave bytes and functions for a loop. It is two batches: one is filled while the loop
// works on the other, so that a publisher copies into warm memory and the loop takes everything with one lock.
type mailbox struct {
	mu     sync.Mutex
	room   sync.Cond // signalled when the loop has taken a batch
	limit  int       // size of box above which put waits
	clock  func() time.Duration
	puts   uint32       // calls of put; one of sampled is timed
	n      atomic.Int32 // posts in box, readable without the lock
	closed bool         // nobody will take what is put now
	box    batch        // being filled; under mu
	spare  batch        // emptied; belongs to the turn
	quiet  int          // batches in a row that needed little of their buffer
}

// batch is the content of a mailbox: posts in order, their bytes in one piece.
type batch struct {
	bytes []byte
	posts []post
	fns   []func(Loop)
	since time.Duration // when the first post came
}

// post is one entry of a batch: bytes[off:off+n] for conn, or the function fns[off].
type post struct {
	conn   Conn
	tag    uint64
	off, n uint32
	at     uint32 // when it was posted, as stamp makes it; 0: it is not timed
	fn     bool
}

// sampled is one of how many posts is timed until the kernel has taken what was written for it.
const sampled = 64

// stamp is a time in microseconds, never 0. It comes around after 71 minutes, which is what a difference of two is good for.
func stamp(t time.Duration) uint32 { return max(1, uint32(t/time.Microsecond)) }

// postSize is what a post costs besides its bytes: empty messages must fill a mailbox, too.
const postSize = int(unsafe.Sizeof(post{}))

// size is what is in the batch, room what it has memory for; in bytes.
func (b *batch) size() int { return len(b.bytes) + len(b.posts)*postSize }
func (b *batch) room() int { return cap(b.bytes) + cap(b.posts)*postSize }

// keep is the buffer that a quiet mailbox or stage holds on to, and quietTurns how long it must have been quiet before a
// larger one, left from a burst, goes back to the system.
const (
	keep       = 64 << 10
	quietTurns = 1000
)

func (m *mailbox) init(limit int, clock func() time.Duration) {
	m.limit, m.room.L, m.clock = limit, &m.mu, clock
}

func (m *mailbox) empty() bool { return m.n.Load() == 0 }
func (m *mailbox) len() int    { return int(m.n.Load()) }

// put adds a post. While the box is full it wakes the loop and waits. It returns false when the mailbox is closed.
func (m *mailbox) put(c Conn, b []byte, tag uint64, wake func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := uint32(0)
	if m.puts%sampled == 0 {
		at = stamp(m.clock())
	}
	m.puts++
	full := func() bool {
		return m.box.size()+len(b)+postSize > m.limit && len(m.box.posts) > 0 && !m.closed
	}
	for full() {
		m.mu.Unlock()
		wake()
		m.mu.Lock()
		if full() {
			m.room.Wait()
		}
	}
	if m.closed {
		return false
	}
	m.begin()
	off := len(m.box.bytes)
	m.box.bytes = append(m.box.bytes, b...)
	m.box.posts = append(m.box.posts, post{conn: c, tag: tag, off: uint32(off), n: uint32(len(b)), at: at})
	m.n.Store(int32(len(m.box.posts)))
	return true
}

// begin notes when a batch begins.
func (m *mailbox) begin() {
	if len(m.box.posts) == 0 {
		m.box.since = m.clock()
	}
}

// putFunc adds a function; it never waits.
func (m *mailbox) putFunc(f func(Loop)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.begin()
	m.box.fns = append(m.box.fns, f)
	m.box.posts = append(m.box.posts, post{fn: true, off: uint32(len(m.box.fns) - 1)})
	m.n.Store(int32(len(m.box.posts)))
}

// take empties the mailbox. The batch goes back with giveBack.
func (m *mailbox) take() batch {
	m.mu.Lock()
	b := m.box
	m.box, m.spare = m.spare, batch{}
	m.n.Store(0)
	m.room.Broadcast()
	m.mu.Unlock()
	return b
}

func (m *mailbox) giveBack(b batch) {
	switch room := b.room(); {
	case room <= keep: // says nothing about the other batch
	case b.size() > room/16:
		m.quiet = 0
	default:
		if m.quiet++; m.quiet > quietTurns {
			m.quiet = 0
			m.spare = batch{}
			return
		}
	}
	clear(b.fns)
	m.spare = batch{bytes: b.bytes[:0], posts: b.posts[:0], fns: b.fns[:0]}
}

// close lets nobody wait any more, and nobody put. What is in the box can still be taken.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.room.Broadcast()
	m.mu.Unlock()
}
