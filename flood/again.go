package flood

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"cometctl/internal/slab"
)

// parked is a target between two connections: what the next one must know of those before it.
type parked struct {
	first  window // the sequences of its messages go on where they stood
	since  int64  // ns since the epoch: its first head; 0: it was never open
	target uint32
}

// parking keeps the targets of a lane that are to be dialed again. It holds memory only for those that wait, or whose
// next handshake is under way.
type parking struct {
	past  slab.Slab[parked]
	queue byDue
}

// turn is one that waits.
type turn struct {
	due  int64 // ns since the epoch
	slot slab.Slot
}

// wait makes slot due some time after now: half of d to one and a half, so that those that a server has lost together do
// not come back together. It reports whether slot is now the first in the queue.
func (p *parking) wait(slot slab.Slot, now int64, d time.Duration) bool {
	heap.Push(&p.queue, turn{now + int64(d/2) + rand.Int64N(int64(d)+1), slot})
	return p.queue[0].slot == slot
}

// take returns the slot of one that is due, or 0.
func (p *parking) take(now int64) slab.Slot {
	if len(p.queue) == 0 || p.queue[0].due > now {
		return 0
	}
	return heap.Pop(&p.queue).(turn).slot
}

// byDue is a heap.Interface with the earliest turn on top.
type byDue []turn

func (q byDue) Len() int           { return len(q) }
func (q byDue) Less(i, k int) bool { return q[i].due < q[k].due }
func (q byDue) Swap(i, k int)      { q[i], q[k] = q[k], q[i] }
func (q *byDue) Push(x any)        { *q = append(*q, x.(turn)) }
func (q *byDue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	*q = (*q)[:last]
	return t
}

// park lets the target of r wait for its next connection. past is where it has waited before, or 0.
func (a *lane) park(past slab.Slot, target uint32, first window, since int64) {
	if past == 0 {
		past = a.parking.past.Alloc()
		*a.parking.past.At(past) = parked{first: first, since: since, target: target}
	}
	if a.parking.wait(past, a.plan.clock(), a.plan.reconnect) {
		signal(a.plan.again) // the run does not know of one so early
	}
}

// unpark gives a connection that has opened what its target has received before.
func (a *lane) unpark(r *record) {
	p := a.parking.past.At(r.past)
	r.first = p.first
	if p.since != 0 {
		r.since = p.since
	}
	a.parking.past.Free(r.past)
	r.past = 0
}

// fullPause is how long the run leaves a lane alone that has all the handshakes it may have: it is filled anyway when one of
// them is over, but nobody else would set the timer for those that are due later.
const fullPause = 50 * time.Millisecond

// wake is when the lane wants to be filled though nothing happens on its connections; 0 is never.
func (a *lane) wake() int64 {
	switch {
	case a.stopping || len(a.parking.queue) == 0:
		return 0
	case a.dialing >= a.plan.inFlight:
		return max(a.parking.queue[0].due, a.plan.clock()+int64(fullPause))
	}
	return a.parking.queue[0].due
}
