package flood

import (
	"crypto/tls"
	"time"

	"cometctl/internal/netloop"
)

// Who misbehaves is carried by a lane of its own for each manner, behind the lane of its loop: the same code reads, counts and comes back,
// and what it counts is apart. The records of a loop's connections are in one slab for all of them, and say whose each is.

// narrow is the receive buffer of who reads slowly or not at all: a few thousand bytes, whatever the system adds.
const narrow = 4 << 10

// comeBack is the time after which who misbehaves comes again, about. A share is a share as long as the run lasts.
const comeBack = time.Second

// recruit makes the lanes behind a, one for each manner that the run has.
func (a *lane) recruit() {
	if !a.plan.manners.Any() {
		return
	}
	var asked [manners]int
	for i := a.next; i < a.plan.targets.Len(); i += a.plan.lanes {
		asked[a.plan.cast.of(i)]++
	}
	a.bad = make([]*lane, manners)
	for m := Slow; m < manners; m++ {
		if a.plan.manners.By[m-1] == (Misconduct{}) {
			continue
		}
		p := &plan{targets: a.plan.targets, origins: a.plan.origins, lanes: a.plan.lanes, inFlight: a.plan.inFlight, timeout: a.plan.timeout,
			redial: Redial{Policy: PolicyAbout, First: comeBack}, seed: a.plan.seed + uint64(m),
			clock: a.plan.clock, again: a.plan.again, changed: a.plan.changed}
		b := newLane(p, a.next)
		b.next, b.settled = p.targets.Len(), true // what is new comes from a
		b.recs, b.manner, b.does, b.front = a.recs, m, a.plan.manners.By[m-1], a
		b.asks = asked[m]
		a.bad[m] = b
	}
}

// of is the lane of target i.
func (a *lane) of(i int) *lane {
	if a.bad == nil {
		return a
	}
	if m := a.plan.cast.of(i); m != Behaves {
		return a.bad[m]
	}
	return a
}

// all calls do for the lane and those behind it.
func (a *lane) all(do func(*lane)) {
	for _, b := range a.bad {
		if b != nil {
			do(b)
		}
	}
	do(a)
}

// underWay is how many connections of the loop have no head yet, or those that misbehave no connection.
func (a *lane) underWay() int {
	n := a.dialing
	for _, b := range a.bad {
		if b != nil {
			n += b.dialing
		}
	}
	return n
}

// misconnect dials target i as its manner wants it. Who is half-open does not shake hands.
func (a *lane) misconnect(l netloop.Loop, i int) (netloop.Conn, error) {
	h := a.plan.targets.hostOf(i)
	from := a.plan.origins.from(i, h.addr.Addr())
	var cfg *tls.Config
	if h.tls != nil {
		cfg = h.tls.first
	}
	switch {
	case a.manner == Slow || a.manner == Stall:
		return l.DialNarrow(h.addr, from, cfg, narrow)
	case a.manner == HalfOpen || cfg == nil:
		return l.Dial(h.addr, from)
	}
	return l.DialTLS(h.addr, from, cfg)
}

// misopened is opened for who misbehaves from then on; false: it asks as others do.
func (a *lane) misopened(l netloop.Loop, c netloop.Conn, r *record, now int64) bool {
	switch a.manner {
	case Stall:
		l.Write(c, a.compose(r), 0)
		l.Hold(c, true)
	case HalfOpen, Slowloris:
	default:
		return false
	}
	a.accept(l, c, r, now)
	signal(a.plan.again) // another handshake may begin
	return true
}

// misaccepted is what follows an accept.
func (a *lane) misaccepted(l netloop.Loop, c netloop.Conn) {
	switch a.manner {
	case Abort:
		l.SetDeadline(c, time.Duration(1+a.parking.random.Int64N(2*int64(a.does.Every))))
	case Slowloris:
		l.SetDeadline(c, a.does.Every)
	}
}

// misread is Handler.Readable.
func (a *lane) misread(l netloop.Loop, c netloop.Conn, b []byte) {
	a.readable(l, c, b)
	if a.manner != Slow || a.recs.At(c.Slot()).stage != stageOpen {
		return
	}
	l.Hold(c, true)
	l.SetDeadline(c, time.Duration(float64(len(b))/float64(a.does.Rate)*float64(time.Second)))
}

// misexpired is Handler.Expired of an open connection.
func (a *lane) misexpired(l netloop.Loop, c netloop.Conn) {
	switch a.manner {
	case Slow:
		l.Hold(c, false)
	case Abort:
		l.Abort(c, causeAborted)
	case Slowloris:
		a.drip(l, c)
	}
}

// drip sends the next byte of a request. What has left is counted where a body's length will stand: nothing was answered yet.
func (a *lane) drip(l netloop.Loop, c netloop.Conn) {
	r := a.recs.At(c.Slot())
	a.request = a.plan.targets.AppendRequest(a.request[:0], int(r.target))
	at := int(r.stream.left)
	if r.stream.phase != phaseHead || at >= len(a.request) {
		return
	}
	l.Write(c, a.request[at:at+1], 0)
	if r.stream.left++; at+1 < len(a.request) { // an answer may be followed by a poll, which needs no help
		l.SetDeadline(c, a.does.Every)
	}
}

// misbehaved adds what the lanes behind a have counted to t.
func (a *lane) misbehaved(t *Tally) {
	for m, b := range a.bad {
		if b != nil {
			t.bad[m-1].add(&badTally{asked: b.asks, open: b.tally.open, made: b.tally.opened + b.tally.reconnects,
				failed: b.tally.failed, closed: b.tally.closed, bytes: b.tally.bytes, messages: b.tracker.messages})
		}
	}
}

// laneOf is the lane that carries c.
func (h handler) laneOf(l netloop.Loop, c netloop.Conn) *lane {
	a := h[l.Index()]
	if a.bad == nil {
		return a
	}
	if m := a.recs.At(c.Slot()).manner; m != Behaves {
		return a.bad[m]
	}
	return a
}
