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
	kept   slab.Slot // where its stream or its polls go on, see stream; 0: from nowhere
	cut    uint32    // that lost its last open connection; 0: it has lost none
	waits  uint8     // how often it has waited since it was open, and polls: had an answer
}

// parking keeps the targets of a lane that are to be dialed again. It holds memory only for those that wait, or whose
// next handshake is under way.
type parking struct {
	redial Redial
	past   slab.Slab[parked]
	queue  byDue
	random *rand.Rand
}

func newParking(r Redial, seed, stream uint64) parking {
	return parking{redial: r, random: rand.New(rand.NewPCG(seed, stream))}
}

// turn is one that waits.
type turn struct {
	due  int64 // ns since the epoch
	slot slab.Slot
}

// wait makes slot due some time after now, as the Redial has it: behind what the server has asked for, and not together with all others
// that a server has lost with it. It reports whether slot is now the first in the queue.
func (p *parking) wait(slot slab.Slot, now int64, lost bool, asked time.Duration) bool {
	t := p.past.At(slot)
	d := p.redial.wait(t.waits, lost, func(n int64) int64 { return p.random.Int64N(n + 1) })
	if p.redial.Respect {
		d += asked
	}
	if t.waits < 255 {
		t.waits++
	}
	heap.Push(&p.queue, turn{now + int64(d), slot})
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

// park lets the target of r, whose connection has failed or ended, wait for its next one. What is kept of its stream goes over from r.
func (a *lane) park(r *record) {
	now, past, lost := a.plan.clock(), r.past, r.stage == stageOpen
	if lost || past == 0 {
		waits := a.left(r)
		past = a.parking.past.Alloc()
		*a.parking.past.At(past) = parked{first: r.first, since: r.since, target: r.target, waits: waits}
	}
	a.shape.wait(past)
	p := a.parking.past.At(past)
	if lost {
		p.cut = a.tally.cuts.lose(now)
	}
	asked := max(a.heads.places.said(&r.stream), a.leave(p, r))
	if a.parking.wait(past, now, lost && p.waits == 0, asked) {
		signal(a.plan.again) // the run does not know of one so early
	}
}

// left gives back what is known of a connection that was open again, and returns how often its target has waited since something came of it.
func (a *lane) left(r *record) (waits uint8) {
	if r.stage != stageOpen || r.past == 0 {
		return 0
	}
	if r.stream.dialect == dialectPoll && !a.heads.marks.answered(r.stream.kept) {
		waits = a.backs.slab.At(r.past).waits
	}
	a.backs.forget(r.past)
	r.past = 0
	return waits
}

// leave takes over what is kept of the stream of r for the next connection, where there will be a use for it, and returns how long its server
// wants that to wait.
func (a *lane) leave(p *parked, r *record) (retry time.Duration) {
	switch r.stream.dialect {
	case dialectPoll:
		if !a.plan.redial.Resume {
			return 0
		}
	case dialectSSE:
		retry = a.heads.places.retry(r.stream.kept)
	default:
		return 0
	}
	p.kept, r.stream.kept = r.stream.kept, 0
	return retry
}

// streamOf is the stream of a connection that is dialed, with what was kept of the one before it: that belongs to the new one from now on.
func (a *lane) streamOf(target int, past slab.Slot) stream {
	s := stream{dialect: a.plan.targets.dialect(target)}
	if past == 0 {
		return s
	}
	p := a.parking.past.At(past)
	switch s.kept, p.kept = p.kept, 0; {
	case s.kept == 0:
	case s.dialect == dialectStream:
		s.dialect = dialectSSE // by its Content-Type, the last time
	case s.dialect == dialectPoll:
		*a.heads.marks.answer(s.kept) = false
	}
	return s
}

// unpark gives a connection that has opened at the time now what its target has received before.
func (a *lane) unpark(r *record, now int64) {
	p := a.parking.past.At(r.past)
	r.first = p.first
	if p.since != 0 {
		r.since = p.since
	}
	if cut := a.tally.cuts.find(p.cut); cut != nil {
		cut.opened(now)
	}
	back := slab.Slot(0)
	if p.cut != 0 || r.stream.dialect == dialectPoll {
		back = a.backs.begin(p, now)
	}
	a.parking.past.Free(r.past)
	r.past = back
}

// fullPause is how long the run leaves a lane alone that has all the handshakes it may have: it is filled anyway when one of
// them is over, but nobody else would set the timer for those that are due later.
const fullPause = 50 * time.Millisecond

// wake is when the lane wants to be filled though nothing happens on its connections; 0 is never.
func (a *lane) wake() int64 {
	switch {
	case a.stopping || len(a.parking.queue) == 0:
		return 0
	case a.underWay() >= a.plan.inFlight:
		return max(a.parking.queue[0].due, a.plan.clock()+int64(fullPause))
	}
	return a.parking.queue[0].due
}
