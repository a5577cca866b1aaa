package flood

import (
	"math"
	"math/bits"

	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// window follows the numbers of one sequence: the messages of one run for one id, as one connection receives them. It
// knows which of the last 64 numbers have come, and how many are missing in all, which is enough to tell a late message
// from a repeated one exactly, unless it comes more than 64 numbers late while older ones are missing as well. Such a
// message is taken for one of those.
//
// A window holds no pointer. The zero window is free.
type window struct {
	run   wire.RunTag
	seen  uint64    // bit i: number top-i has come
	id    uint32    // hash of the id
	low   uint32    // the numbers from low on are expected
	top   uint32    // the highest number that has come
	holes uint32    // numbers from low to top that have not come
	next  slab.Slot // the connection's next window
}

const reach = 64 // numbers that seen covers

// order says how a number came.
type order uint8

const (
	inOrder  order = iota // higher than all before it
	late                  // after a higher one: reordered, not missing
	repeated              // a second time
)

// begin makes w follow a sequence whose first received number is n. Where the connection was open before the run began,
// everything from 1 on is expected; otherwise what was sent before n was never meant for this connection.
func (w *window) begin(n uint32, fromOne bool) {
	w.low, w.top = n, n-1
	if fromOne {
		w.low, w.top = 1, 0
	}
}

// note takes number n, which is not 0, and returns how it came and by how much the count of missing numbers changes.
func (w *window) note(n uint32) (order, int64) {
	if n > w.top {
		ahead := n - w.top
		if w.seen = w.seen<<ahead | 1; ahead >= reach {
			w.seen = 1
		}
		w.top = n
		w.holes += ahead - 1
		return inOrder, int64(ahead - 1)
	}
	if back := w.top - n; back < reach {
		if w.seen>>back&1 == 1 {
			return repeated, 0
		}
		w.seen |= 1 << back
	} else if n >= w.low && w.holes == w.holesInReach() {
		return repeated, 0
	}
	if n < w.low { // sent before the number that we began with, and overtaken by it
		more := w.low - 1 - n
		w.low = n
		w.holes += more
		return late, int64(more)
	}
	w.holes--
	return late, -1
}

// holesInReach counts the missing numbers among those that seen covers.
func (w *window) holesInReach() uint32 {
	span := min(uint64(w.top)-uint64(w.low)+1, reach)
	return uint32(span) - uint32(bits.OnesCount64(w.seen&(math.MaxUint64>>(reach-span))))
}

// tracker counts what the windows of one loop's connections find. A connection keeps its first window in its own record;
// the windows of further runs, ids and workers hang behind it in the tracker's slab.
type tracker struct {
	more       slab.Slab[window]
	messages   uint64 // distinct stamps
	duplicated uint64
	reordered  uint64
	missing    int64
}

// note takes the stamp s, received on the connection whose first window is w and whose target has been open since the given
// time (ns since the epoch). It reports whether the message is a new one.
func (t *tracker) note(w *window, since int64, s wire.Stamp) bool {
	if s.Seq == 0 || s.Seq > math.MaxUint32 {
		t.messages++ // no sequence that msggen would write; it is a message all the same
		return true
	}
	n := uint32(s.Seq)
	how, gaps := t.find(w, since, n, s).note(n)
	t.missing += gaps
	switch how {
	case repeated:
		t.duplicated++
		return false
	case late:
		t.reordered++
	}
	t.messages++
	return true
}

// find returns the window of the sequence of s, a new one where n is its first number.
func (t *tracker) find(first *window, since int64, n uint32, s wire.Stamp) *window {
	id := hash(s.ID)
	if first.run == s.Run && first.id == id && first.top != 0 {
		return first
	}
	w := first
	if first.top != 0 {
		for slot := first.next; slot != 0; slot = w.next {
			if w = t.more.At(slot); w.run == s.Run && w.id == id {
				return w
			}
		}
		slot := t.more.Alloc()
		w = t.more.At(slot)
		w.next, first.next = first.next, slot
	}
	w.run, w.id = s.Run, id
	// A run tag holds whole milliseconds: the run began in the one that follows.
	w.begin(n, since <= s.Run.Start().UnixNano())
	return w
}

// forget gives back the windows of a connection that has ended. What they counted stays counted.
func (t *tracker) forget(first *window) {
	for slot := first.next; slot != 0; {
		next := t.more.At(slot).next
		t.more.Free(slot)
		slot = next
	}
	*first = window{}
}

// hash is FNV-1a, 32 bits. Two ids on one connection that share their hash, one in four thousand million pairs, would be
// followed as one.
func hash(id []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range id {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}
