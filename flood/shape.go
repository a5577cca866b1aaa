package flood

import (
	"math/rand/v2"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/ramp"
	"cometctl/internal/slab"
)

// form is what the lanes of a run share of its shape: when connections come and go. It does not change. A run whose targets are opened
// once and held has none.
type form struct {
	schedule *ramp.Plan    // nil: each target falls due once, by Config.Pace
	lifetime ramp.Lifetime // none: connections live as long as they can
	arrivals bool          // who has lived is not replaced
	seed     uint64
	origins  int // connections that are open at a time, about: they take their source addresses in turn
	herd     int // most handshakes of a lane's step at a time
}

// shape is a lane's part in it. It belongs to the lane. With a schedule, every connection that is wanted has a seat, numbered in the order in
// which they fall due; what is lost, dialed again or replaced keeps its seat. Seats are given up in the same order, so those that are left are always
// those from one number to another. A nil shape has nothing to say.
type shape struct {
	*form
	index, lanes, targets int
	random                *rand.Rand      // lifetimes
	spots                 slab.Slab[spot] // mirrors the loop's slots
	seats                 []seat          // that were not given up; for arrivals: that were not dialed
	first                 int             // the number of seats[0]
	dialed                int             // the number of the first seat that was not dialed
	fresh                 []target        // to be dialed at once: their connections have lived
	parked                map[slab.Slot]spot
	chosen                spot // of the connection that is about to be dialed
}

// spot is what a shape knows of a connection.
type spot struct {
	born    int64 // ns since the epoch: since when it is open
	seat    int32 // its number; -1 is none
	stage   int16 // of the schedule, in which it fell due
	fresh   bool  // it replaces one that has lived
	leaving bool  // flood itself has ended it, and counted that
}

// seat is a connection that is wanted.
type seat struct {
	conn  netloop.Conn // 0: none now
	due   int64        // ns since the epoch
	stage int16
	step  bool // many are due at the same time, and nobody expects that they are
}

// target is one that is to be dialed again, and for whose place.
type target struct {
	index int
	spot  spot
}

// lateAfter is how long after its due time a dial has to begin to be late: timers and turns take a few ms where much happens.
const lateAfter = 10 * time.Millisecond

func newShape(f *form, p *plan, index int) *shape {
	if f == nil {
		return nil
	}
	return &shape{form: f, index: index, lanes: p.lanes, targets: p.targets.Len(), parked: map[slab.Slot]spot{},
		random: rand.New(rand.NewPCG(^f.seed, p.stream(index)))}
}

// scheduled reports whether connections come and go by a schedule.
func (s *shape) scheduled() bool { return s != nil && s.schedule != nil }

// waiting is how many seats were not dialed yet.
func (s *shape) waiting() int { return s.first + len(s.seats) - s.dialed }

// coming is how many connections are on their way that have lived: they are neither open nor lost.
func (s *shape) coming() int {
	if s == nil {
		return 0
	}
	return len(s.fresh)
}

// allDialed reports whether no target is left to be dialed for the first time.
func (a *lane) allDialed() bool {
	if a.shape.scheduled() {
		return a.shape.waiting() == 0
	}
	return a.next >= a.plan.targets.Len()
}

// planned returns the target of the next connection that the shape wants: one that is to be replaced, or a seat's.
func (a *lane) planned() (index int, ok bool) {
	s := a.shape
	if s == nil {
		return 0, false
	}
	if index, ok = s.replacement(); ok {
		return index, true
	}
	if s.scheduled() {
		return a.nextSeat()
	}
	s.chosen = spot{seat: -1}
	return 0, false
}

// replacement returns the target of a connection that has lived and is to be replaced now.
func (s *shape) replacement() (index int, ok bool) {
	for len(s.fresh) > 0 {
		t := s.fresh[0]
		if s.fresh = s.fresh[1:]; len(s.fresh) == 0 {
			s.fresh = nil
		}
		if s.holds(t.spot) {
			s.chosen = t.spot
			return t.index, true
		}
	}
	return 0, false
}

// holds reports whether a spot's seat was not given up.
func (s *shape) holds(p spot) bool { return p.seat < 0 || int(p.seat) >= s.first }

// recall makes the place of a target that waits in parking the chosen one. It returns false where its seat was given up meanwhile.
func (s *shape) recall(past slab.Slot) bool {
	if s == nil {
		return true
	}
	p, ok := s.parked[past]
	if delete(s.parked, past); !ok {
		p = spot{seat: -1}
	}
	s.chosen = p
	return s.holds(p)
}

// nextSeat returns the target of the next seat that is due and was not dialed.
func (a *lane) nextSeat() (index int, ok bool) {
	s := a.shape
	if s.waiting() == 0 {
		return 0, false
	}
	number := s.dialed
	t := &s.seats[number-s.first]
	if t.step && a.dialing >= s.herd {
		return 0, false
	}
	s.dialed++
	s.chosen = spot{seat: int32(number), stage: t.stage}
	if late := time.Duration(a.plan.clock() - t.due); late > lateAfter && !t.step {
		a.tally.shape.late(int(t.stage), late)
	}
	if s.arrivals {
		s.chosen.seat = -1
		s.giveUp()
	}
	return (number*s.lanes + s.index) % s.targets, true
}

// giveUp takes the first seat away.
func (s *shape) giveUp() {
	s.first++
	if s.seats = s.seats[1:]; len(s.seats) == 0 {
		s.seats = nil // or what append leaves behind would only grow
	}
}

// origin is the number by which the connection about to be dialed gets its source address, to target i.
func (s *shape) origin(i int) int {
	switch {
	case !s.scheduled():
		return i
	case s.arrivals:
		return (s.dialed*s.lanes + s.index) % s.origins
	}
	return (int(s.chosen.seat)*s.lanes + s.index) % s.origins
}

// isFirst reports whether the connection about to be dialed, of a target that was not parked, is the first of its place.
func (s *shape) isFirst() bool { return s == nil || !s.chosen.fresh }

// seated notes that the chosen connection is being dialed.
func (s *shape) seated(c netloop.Conn) {
	if s == nil {
		return
	}
	*s.spots.Reach(c.Slot()) = s.chosen
	if s.chosen.seat >= 0 {
		s.seats[int(s.chosen.seat)-s.first].conn = c
	}
}

// wait notes that the target which is parked in a slot comes back to the chosen place.
func (s *shape) wait(past slab.Slot) {
	if s != nil {
		s.parked[past] = s.chosen
	}
}

// replaces reports whether c takes the place of a connection that has lived.
func (s *shape) replaces(c netloop.Conn) bool { return s != nil && s.spots.At(c.Slot()).fresh }

// born is told that c is open: its lifetime begins. again: an earlier connection of its place was lost.
func (a *lane) born(l netloop.Loop, c netloop.Conn, now int64, again bool) {
	s := a.shape
	if s == nil {
		return
	}
	p := s.spots.At(c.Slot())
	p.born = now
	if s.scheduled() && !p.fresh && !again {
		a.tally.shape.opened(int(p.stage), now)
	}
	if !s.lifetime.None() {
		l.SetDeadline(c, s.lifetime.Draw(s.random))
	}
}

// lived is told that the deadline of an open connection has passed: it has lived, and another one takes its place.
func (a *lane) lived(l netloop.Loop, c netloop.Conn) {
	if a.stopping { // what comes late is still read
		return
	}
	r, p := a.recs.At(c.Slot()), *a.shape.spots.At(c.Slot())
	a.tally.shape.expired++
	a.tally.shape.lived += a.plan.clock() - p.born
	if !a.shape.arrivals {
		a.shape.fresh = append(a.shape.fresh, target{int(r.target), spot{seat: p.seat, stage: p.stage, fresh: true}})
	}
	a.retire(l, c)
	a.fill(l)
}

// retire ends a connection by plan. One that never was open has failed: it was taken back.
func (a *lane) retire(l netloop.Loop, c netloop.Conn) {
	r, p := a.recs.At(c.Slot()), a.shape.spots.At(c.Slot())
	p.leaving = true
	if r.stage != stageOpen {
		a.dialing--
		a.tally.failed[causeTakenBack]++
		switch {
		case r.past != 0:
			a.drop(r.past)
			r.past = 0
		case !p.fresh:
			a.tried()
		}
		l.Close(c, causeTakenBack)
		return
	}
	a.tally.open--
	a.tally.shape.retired++
	a.end(l, c)
}

// ended is told of each connection that has ended. It reports whether flood has ended it, and counted that; otherwise its place is the chosen one,
// for park.
func (s *shape) ended(c netloop.Conn) (byPlan bool) {
	if s == nil {
		return false
	}
	p := s.spots.At(c.Slot())
	s.chosen = *p
	s.chosen.fresh, s.chosen.leaving = false, false
	if byPlan = p.leaving; !byPlan && p.seat >= 0 && s.holds(*p) {
		s.seats[int(p.seat)-s.first].conn = 0
	}
	*p = spot{}
	return byPlan
}

// dues is what falls due for a lane in a stage of the schedule.
type dues struct {
	seats  []seat
	closes int
	stage  int
}

// take takes it. Seats come before closings.
func (a *lane) take(l netloop.Loop, d *dues) {
	s := a.shape
	s.seats = append(s.seats, d.seats...)
	a.tally.shape.due += len(d.seats)
	if s.waiting() > 0 {
		a.settled = false
	}
	for range d.closes {
		t, dialed := s.seats[0], s.dialed > s.first
		s.giveUp()
		if !dialed {
			s.dialed++
			a.tally.failed[causeTakenBack]++
			a.tally.tried++
		}
		if t.conn != 0 {
			a.retire(l, t.conn)
			a.tally.shape.closed(d.stage, a.plan.clock())
		}
	}
	a.fill(l)
}

// drop forgets a target that waits in parking: its seat was given up.
func (a *lane) drop(past slab.Slot) {
	p := a.parking.past.At(past)
	a.tracker.forget(&p.first)
	kept := a.streamOf(int(p.target), past)
	a.heads.forgetKept(&kept)
	a.parking.past.Free(past)
}
