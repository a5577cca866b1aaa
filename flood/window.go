package flood

import (
	"math"
	"math/bits"

	"cometctl/internal/slab"
)

// window follows the numbers of one sequence: the messages of one run for one id, as one connection receives them. It
// knows which of the last 64 numbers have come, and how many are missing in all, which is enough to tell a late message
// from a repeated one exactly, unless it comes more than 64 numbers late while older ones are missing as well. Such a
// message is taken for one of those.
//
// A window holds no pointer and takes 24 bytes. The zero window is free. What few windows need is not in it: while numbers are missing
// that are older than those 64, how many stands in a slot of its own, see tracker.older.
type window struct {
	seen uint64    // bit i: number top-i has come
	top  uint32    // the highest number that has come
	id   uint32    // hash of the id
	next slab.Slot // the connection's next window
	run  uint16    // which of the tracker's sources; 0: the window is free
	span uint16    // the numbers from top-span+1 on are expected, see far
}

const (
	reach = 64 // numbers that seen covers

	// far is a span that is no longer counted: with a number below its beginning, a sequence that was under way when the connection opened
	// would have to be more than 65,000 numbers late for that to be mistaken for one that has come.
	far = math.MaxUint16
)

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
	w.top, w.span = n-1, 0
	if fromOne {
		w.top = 0
	}
}

// note takes number n, which is not 0, where so many older numbers are missing than seen covers. It returns how n came, and by how much
// the counts of missing numbers change: of all, and of the older ones among them.
func (w *window) note(n uint32, older int64) (how order, missing, past int64) {
	before := w.holes()
	if n > w.top {
		ahead := n - w.top
		w.seen = w.seen<<ahead | 1
		w.top = n
		w.span = uint16(min(uint64(w.span)+uint64(ahead), far))
		missing = int64(ahead - 1)
		return inOrder, missing, before + missing - w.holes()
	}
	back := w.top - n
	below := w.span < far && back >= uint32(w.span) // sent before the number that we began with, and overtaken by it
	switch {
	case back < reach:
		if w.seen>>back&1 == 1 {
			return repeated, 0, 0
		}
		w.seen |= 1 << back
	case !below && older == 0:
		return repeated, 0, 0
	}
	switch {
	case below:
		missing = int64(back - uint32(w.span))
		w.span = uint16(min(back+1, far))
		return late, missing, before + missing - w.holes()
	case back < reach:
		return late, -1, 0
	}
	return late, -1, -1
}

// old tells whether n is older than what seen covers.
func (w *window) old(n uint32) bool { return n < w.top && w.top-n >= reach }

// holes counts the missing numbers among those that seen covers.
func (w *window) holes() int64 {
	span := min(uint64(w.span), reach)
	return int64(span) - int64(bits.OnesCount64(w.seen&(math.MaxUint64>>(reach-span))))
}
