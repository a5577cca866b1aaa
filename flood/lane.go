package flood

import (
	"sync/atomic"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/slab"
	"cometctl/internal/timing"
	"cometctl/internal/wire"
)

// record is what a lane knows about one connection. It holds no pointer; the collector never looks at a million of them.
type record struct {
	stream stream
	first  window    // the sequences of its messages; more behind it in the tracker
	since  int64     // ns since the epoch: of the dial, then of the connect, then of the head
	tail   slab.Slot // the beginning of a stamp, see stamps
	target uint32    // index of its URL
	past   slab.Slot // what its target has received before, see parking; open: of comebacks; 0: this is its first connection
	stage  stage
	manner Manner // whose lane it is
}

type stage uint8

const (
	stageFree stage = iota
	stageDialing
	stageWaiting // connected and asked, nothing has come
	stageHead    // the first byte has come
	stageOpen    // a 200
)

// lane is the share of a run that one loop carries: every loops-th target, the connections to them, and what is counted
// there. It is touched in its loop's turn only; the run reaches it through Engine.Do.
type lane struct {
	plan     *plan
	next     int // index of the next target to dial; steps by plan.lanes
	dialing  int // connections without a head yet
	trying   int // those of them that are the first of their target
	stopping bool
	settled  bool // every target was open or has failed
	reading  int  // connections that are left while what comes is late

	recs    *slab.Slab[record] // mirrors the loop's slots
	heads   heads
	stamps  stamps
	tracker tracker
	parking parking
	shape   *shape // nil: targets are opened once and held
	backs   comebacks
	tally   *Tally
	keys    keys
	request []byte // scratch

	bad    []*lane    // by Manner, of those who misbehave; nil: nobody does
	manner Manner     // of all that this lane carries; what follows is for who misbehaves
	does   Misconduct // how
	asks   int        // targets
	front  *lane      // that it stands behind
}

// plan is what the lanes of a run share. It does not change while they run, but for allowed.
type plan struct {
	targets  *Targets
	origins  origins
	lanes    int
	inFlight int           // bound of each lane's dialing
	timeout  time.Duration // from dial to head
	redial   Redial        // when a connection that failed or ended is dialed again
	manners  Manners       // who misbehaves
	cast     cast          // the same, target by target
	seed     uint64        // of what is drawn: how long who waits
	byDue    time.Duration // step of tally.due; 0: it is not counted
	form     *form         // nil: targets are opened once and held
	clock    func() int64  // ns since the epoch; never goes back
	allowed  atomic.Int64  // targets below this index may be dialed
	again    chan struct{} // a lane asks for a fill in another turn; holds one
	changed  chan struct{} // a lane is settled, or its last connection has gone; holds one
}

// stream is which stream of what a seed draws belongs to a lane: no two of all lanes that share a run have the same, whatever their process.
func (p *plan) stream(lane int) uint64 { return p.origins.start<<8 | uint64(lane) }

func newLane(p *plan, index int) *lane {
	a := &lane{plan: p, next: index, recs: new(slab.Slab[record]), tally: NewTally(p.byDue), keys: newKeys(), parking: newParking(p.redial, p.seed, p.stream(index))}
	a.heads.frames.protocols = p.targets.protocols
	a.heads.places.wanted, a.heads.places.resume = p.redial.Respect || p.redial.Resume, p.redial.Resume
	a.shape = newShape(p.form, p, index)
	if a.shape.scheduled() {
		a.tally.shape.rows = make([]stageRow, len(p.form.schedule.Stages()))
	}
	a.recruit()
	a.heads.marks.cursors.how = p.targets.cursor
	return a
}

// maxRefusals bounds the dials of a turn that fail at once, so that a million of them do not make one endless turn.
const maxRefusals = 256

// fill dials what is due, as far as the bound of handshakes allows.
func (a *lane) fill(l netloop.Loop) {
	if a.stopping {
		return
	}
	if a.front != nil {
		defer a.front.fill(l)
	}
	allowed := int(a.plan.allowed.Load())
	for refused := 0; a.underWay() < a.plan.inFlight; {
		target, past, ok := a.choose(allowed)
		if !ok {
			break
		}
		if a.of(target).dial(l, target, past) {
			continue
		}
		if refused++; refused == maxRefusals {
			signal(a.plan.again)
			break
		}
	}
	if !a.settled && a.trying == 0 && a.allDialed() {
		a.settled = true
		signal(a.plan.changed)
	}
}

// choose returns the target to dial next: one that has waited for its next connection, one whose connection has lived, or the next new one.
func (a *lane) choose(allowed int) (target int, past slab.Slot, ok bool) {
	for len(a.parking.queue) > 0 {
		if past = a.parking.take(a.plan.clock()); past == 0 {
			break
		}
		if a.shape.recall(past) {
			return int(a.parking.past.At(past).target), past, true
		}
		a.drop(past)
	}
	if target, ok = a.planned(); ok || a.shape.scheduled() {
		return target, 0, ok
	}
	if a.next >= allowed {
		return 0, 0, false
	}
	target = a.next
	a.next += a.plan.lanes
	return target, 0, true
}

// signal wakes the run; one wake-up that it has not seen yet is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// dial starts the connection to target i, its first where past is 0. It returns false where that failed at once.
func (a *lane) dial(l netloop.Loop, i int, past slab.Slot) bool {
	now := a.plan.clock()
	c, err := a.connect(l, i, past != 0)
	if err != nil {
		a.tally.failed[causeOf(err)]++
		if past == 0 && a.shape.isFirst() {
			a.tally.tried++
		}
		if a.plan.redial.On() {
			a.park(&record{target: uint32(i), past: past})
		}
		return false
	}
	a.dialing++
	a.shape.seated(c)
	if past == 0 && a.shape.isFirst() {
		a.trying++
	}
	*a.recs.Reach(c.Slot()) = record{stage: stageDialing, manner: a.manner, target: uint32(i), past: past, since: now,
		stream: a.streamOf(i, past)}
	l.SetDeadline(c, a.plan.timeout)
	return true
}

// opened is Handler.Opened: ask. With TLS the request leaves behind the handshake.
func (a *lane) opened(l netloop.Loop, c netloop.Conn) {
	r := a.recs.At(c.Slot())
	now := a.plan.clock()
	a.tally.connect.Record(time.Duration(now - r.since))
	r.since, r.stage = now, stageWaiting
	if a.manner != Behaves && a.misopened(l, c, r, now) {
		return
	}
	l.Write(c, a.compose(r), 0)
	if a.plan.targets.hostOf(int(r.target)).tls == nil {
		a.asked(l, c, r, now)
	}
}

// compose is the first request of a connection, lent until the next one.
func (a *lane) compose(r *record) []byte {
	if r.stream.dialect == dialectPoll && a.composePoll(r) {
		return a.request
	}
	var key nonce
	if r.stream.dialect == dialectWebSocket {
		key = a.keys.nonce()
		r.stream.kept = a.heads.frames.nonces.Alloc()
		*a.heads.frames.nonces.At(r.stream.kept) = key
	}
	a.request = a.plan.targets.appendRequest(a.request[:0], int(r.target), mark{}, key)
	if r.stream.dialect == dialectSSE {
		a.request = a.heads.places.appendTo(a.request, r.stream.kept)
	}
	return a.request
}

// asked notes that the first request leaves. Who polls is open with that: an answer may be long in coming.
func (a *lane) asked(l netloop.Loop, c netloop.Conn, r *record, now int64) {
	if r.stream.dialect == dialectPoll {
		a.accept(l, c, r, now)
		signal(a.plan.again) // in another turn: on loopback, where a dial is over at once, a whole ramp would be one turn otherwise
	}
}

// readable is Handler.Readable. The clock is read once: all of b came now.
func (a *lane) readable(l netloop.Loop, c netloop.Conn, b []byte) {
	r := a.recs.At(c.Slot())
	now := a.plan.clock()
	a.tally.bytes += uint64(len(b))
	if r.stage == stageWaiting {
		a.tally.ttfb.Record(time.Duration(now - r.since))
		r.stage = stageHead
	}
	before := r.stream.chunk.Chunks()
	for {
		data, n, ev, err := r.stream.next(b, &a.heads)
		b = b[n:]
		switch {
		case err != nil:
			a.count(r, before)
			l.Close(c, err)
			return
		case ev == eventMore:
			a.count(r, before)
			return
		case ev == eventData:
			a.heads.read(&r.stream, data)
			a.body(r, data, now)
		case ev == eventMessage:
			a.tally.chunks++
			a.body(r, data, now)
		case ev == eventPing:
			l.Write(c, wire.AppendMaskedFrame(a.request[:0], wire.OpPong, data, a.keys.mask()), 0)
		case ev == eventClose: // the server ends the connection when it has seen the same (RFC 6455 section 7.1.1)
			l.End(c, wire.AppendMaskedFrame(a.request[:0], wire.OpClose, data, a.keys.mask()))
			return
		case ev == eventHead && r.stage != stageOpen:
			a.accept(l, c, r, now)
			a.hello(l, c, r)
			a.fill(l) // another handshake may begin
		case ev == eventEnd:
			a.count(r, before)
			if r.stream.dialect != dialectPoll || r.stream.last {
				l.Close(c, causeEnded)
				return
			}
			if !a.poll(l, c, r) {
				return
			}
			before = 0
		}
	}
}

// count adds the chunks of a read.
func (a *lane) count(r *record, before uint32) {
	a.tally.chunks += uint64(r.stream.chunk.Chunks() - before)
}

// accept makes c an open connection.
func (a *lane) accept(l netloop.Loop, c netloop.Conn, r *record, now int64) {
	l.SetDeadline(c, 0)
	if a.manner != Behaves {
		a.misaccepted(l, c)
	}
	r.stage, r.since = stageOpen, now
	a.dialing--
	a.tally.open++
	a.born(l, c, now, r.past != 0)
	if r.past != 0 {
		a.tally.reconnects++
		a.unpark(r, now)
	} else if a.shape.replaces(c) {
		a.tally.shape.replaced++
	} else {
		a.tried()
		a.tally.opened++
		a.tally.lastOpened = now
	}
}

// tried notes that a target's first handshake is over.
func (a *lane) tried() {
	a.trying--
	a.tally.tried++
}

// body takes a piece of a body that came at the time now.
func (a *lane) body(r *record, data []byte, now int64) {
	if r.stream.phase == phasePlain {
		a.tally.chunks++
	}
	if r.stream.dialect == dialectSSE && r.stream.kept != 0 {
		a.heads.places.take(&r.stream, data)
	}
	for {
		s, n, ok := a.stamps.next(&r.tail, data)
		if !ok {
			return
		}
		data = data[n:]
		a.message(r, s, now)
	}
}

// closed is Handler.Closed.
func (a *lane) closed(l netloop.Loop, c netloop.Conn, err error) {
	r := a.recs.At(c.Slot())
	why, first := a.heads.why(&r.stream, err), r.past == 0 && !a.shape.replaces(c)
	byPlan := a.shape.ended(c)
	switch {
	case byPlan: // it was counted then
	case r.stage == stageOpen:
		if why == causeEOF || r.stream.phase == phaseEnd { // there, how the connection ends behind it is of no interest
			why = r.stream.closed()
		}
		if !a.stopping {
			a.tally.open--
			a.tally.closed[why]++
		}
	default:
		a.dialing--
		if !a.stopping {
			a.tally.failed[why]++
			if first {
				a.tried()
			}
		}
		r.since = 0 // it was not open
	}
	a.heads.forget(&r.stream.part)
	a.stamps.forget(&r.tail)
	if a.plan.redial.On() && !a.stopping && !byPlan {
		a.park(r)
	} else {
		a.tracker.forget(&r.first)
		a.left(r)
	}
	a.heads.forgetKept(&r.stream)
	*r = record{}
	a.drained()
	if a.fill(l); a.settled && a.tally.open == 0 {
		signal(a.plan.changed)
	}
}

// stop ends all connections, those that speak WebSocket with a frame that says so. What was counted until now is the result.
func (a *lane) stop(l netloop.Loop) {
	a.all(func(b *lane) { b.stopping = true })
	l.Conns(func(c netloop.Conn) bool {
		a.end(l, c)
		return true
	})
}

// end ends a connection of our own accord.
func (a *lane) end(l netloop.Loop, c netloop.Conn) {
	if a.recs.At(c.Slot()).stream.phase == phaseFrames {
		payload := wire.AppendClosePayload(a.heads.control[:0], wire.CloseGoingAway, "")
		l.End(c, wire.AppendMaskedFrame(a.request[:0], wire.OpClose, payload, a.keys.mask()))
		return
	}
	l.Close(c, errStopped)
}

// snapshot adds what the lane has counted so far to t. What it counted by due time since t's owner last asked goes over to t.
func (a *lane) snapshot(t *Tally) {
	a.tally.runSums, a.tally.runs, a.tally.refusals = a.tracker.runSums, a.tracker.runs, a.heads.refusals
	if a.shape.scheduled() {
		a.tally.shape.wanted = a.tally.shape.due - a.shape.first
	}
	t.Add(a.tally)
	a.misbehaved(t)
	if t.due != nil {
		a.tally.due = timing.NewBuckets(a.plan.byDue)
	}
}
