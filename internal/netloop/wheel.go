package netloop

import (
	"math/bits"
	"time"

	"cometctl/internal/slab"
)

// A hashed timing wheel (Varghese and Lauck, SOSP 1987, scheme 6): a deadline is 12 bytes inside the connection's record
// (its tick and two neighbours) and costs a few instructions to set and to clear, however many there are.
const (
	tick      = time.Second / 16 // resolution: a deadline is met at most this late and never early
	wheelBits = 10               // 1024 buckets: one round is 64 s
	wheelLen  = 1 << wheelBits
	wheelMask = wheelLen - 1
)

type wheel struct {
	bucket [wheelLen]slab.Slot   // head of each bucket's list
	some   [wheelLen / 64]uint64 // a bit for each bucket that is not empty
	at     uint32                // every deadline with a tick <= at has been popped
	popped uint32                // tick of the deadline that was popped last
	n      int
}

// ticks rounds up: a deadline must not be met early. Tick 0 means "no deadline", and is never a due tick.
func ticks(t time.Duration) uint32 { return max(1, uint32((t+tick-1)/tick)) }

func (w *wheel) insert(recs *slab.Slab[record], slot slab.Slot, at time.Duration) {
	r := recs.At(slot)
	r.due = max(ticks(at), w.at+1)
	b := r.due & wheelMask
	r.prev, r.next = 0, w.bucket[b]
	if r.next != 0 {
		recs.At(r.next).prev = slot
	}
	w.bucket[b] = slot
	w.some[b>>6] |= 1 << (b & 63)
	w.n++
}

func (w *wheel) remove(recs *slab.Slab[record], slot slab.Slot) {
	r := recs.At(slot)
	if r.due == 0 {
		return
	}
	b := r.due & wheelMask
	if r.prev != 0 {
		recs.At(r.prev).next = r.next
	} else if w.bucket[b] = r.next; r.next == 0 {
		w.some[b>>6] &^= 1 << (b & 63)
	}
	if r.next != 0 {
		recs.At(r.next).prev = r.prev
	}
	r.due, r.next, r.prev = 0, 0, 0
	w.n--
}

// pop removes one connection whose deadline is not after now and returns its slot, or 0.
func (w *wheel) pop(recs *slab.Slab[record], now time.Duration) slab.Slot {
	end := uint32(now / tick)
	if w.n == 0 {
		w.at = max(w.at, end)
		return 0
	}
	for w.at < end {
		b := (w.at + 1) & wheelMask
		for slot := w.bucket[b]; slot != 0; slot = recs.At(slot).next {
			if recs.At(slot).due <= end { // others are a round or more away
				w.popped = recs.At(slot).due
				w.remove(recs, slot)
				return slot
			}
		}
		w.at++
	}
	return 0
}

// next is the earliest time at which pop could have something to do, and false when there is no deadline at all. A bucket
// that only holds later rounds makes it too early, never too late.
func (w *wheel) next() (time.Duration, bool) {
	if w.n == 0 {
		return 0, false
	}
	start := (w.at + 1) & wheelMask
	for i := uint32(0); i <= wheelLen/64; i++ {
		word := (start>>6 + i) & (wheelLen/64 - 1)
		set := w.some[word]
		if i == 0 {
			set &= ^uint64(0) << (start & 63)
		}
		if set != 0 {
			b := word<<6 + uint32(bits.TrailingZeros64(set))
			return time.Duration(w.at+1+(b-start)&wheelMask) * tick, true
		}
	}
	return 0, false
}
