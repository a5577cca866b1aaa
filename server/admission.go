package server

import (
	"errors"

	"cometctl/internal/netloop"
	"cometctl/server/router"
)

// This file decides which connections may stay. Each bound keeps somebody who wants everything from taking it from the others:
//
//   - accepts a second, connections in all and by address: decided when a connection comes;
//   - connections without a whole request: for one more, the one that has waited longest is cut (admission_queue.go), so that who is slow on purpose
//     never keeps anybody out;
//   - connections that have had their last answer and do not close: they hold no place, but a descriptor, and linger only while
//     there are plenty;
//   - sessions of an id: decided at the login.
//
// What is decided is counted under its cause, logged, and answered with a Retry-After.

// errHandshakes is why a connection without a request is closed for a newer one.
var errHandshakes = errors.New("server: too many connections without a request")

// refusal is how a connection is refused; causes.go has what the log says.
type refusal struct {
	status int
	text   string
}

var refusals = map[cause]refusal{
	causeRate:       {503, "Too many connections come at once. Try again later.\n"},
	causeFull:       {503, "No room for another connection. Try again later.\n"},
	causeHandshakes: {503, "Too many connections wait without a whole request. Try again later.\n"},
	causeFullIP:     {429, "Too many connections from this address. Close one first.\n"},
	causeFullID:     {429, "Too many connections for this id. Close one first.\n"},
}

// admit decides whether a connection that was just opened may ask for something. One that may not has its answer, and takes nobody's place
// while it lingers.
func (f *front) admit(l netloop.Loop, c netloop.Conn) bool {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	switch {
	case !f.s.rate.take(l.Now()):
		return f.turnAway(l, c, cl, causeRate)
	case !f.enterHost(l, c):
		return f.turnAway(l, c, cl, causeFullIP)
	case !f.enter() && !(f.makeRoom(l) && f.enter()):
		return f.turnAway(l, c, cl, causeFull)
	case f.s.draining.Load(): // it waited in the accept queue
		f.refuseWith(l, c, causeDrained, 503, drainingText, retryLater)
		return false
	}
	f.wait(l, c, cl)
	return true
}

// enter takes a place among MaxConns.
func (f *front) enter() bool {
	if held := f.s.counts.held.Add(1); held > int64(f.s.cfg.MaxConns) || held+f.s.counts.lent.Load() > f.s.most {
		f.s.counts.held.Add(-1)
		return false
	}
	return true
}

// turnAway refuses a connection that has no place.
func (f *front) turnAway(l netloop.Loop, c netloop.Conn, cl *client, why cause) bool {
	r := refusals[why]
	f.park(l, c, cl)
	f.refuseWith(l, c, why, r.status, r.text, retryLater)
	return false
}

// makeRoom cuts a connection that has waited for long without a whole request, where there is one: it shall not keep out who comes.
func (f *front) makeRoom(l netloop.Loop) bool {
	fl := f.loop(l)
	c, since, ok := fl.waiting.oldest(&fl.clients)
	if !ok || l.Now()-since < f.s.cfg.HeadTimeout/4 {
		return false
	}
	f.cut(l, c)
	return true
}

// wait notes that a connection has no whole request. Where too many have none already, the one that has waited longest is cut.
func (f *front) wait(l netloop.Loop, c netloop.Conn, cl *client) {
	fl := f.loop(l)
	for fl.waiting.n >= fl.waitMax {
		old, _, ok := fl.waiting.oldest(&fl.clients)
		if !ok {
			break
		}
		f.cut(l, old)
	}
	fl.waiting.push(&fl.clients, c, cl, l.Now())
	f.s.counts.waiting.Add(1)
}

// cut ends a connection without a whole request. One that has never said a word has asked nothing that could be answered.
func (f *front) cut(l netloop.Loop, c netloop.Conn) {
	fl := f.loop(l)
	r := refusals[causeHandshakes]
	if fl.partials[c.Slot()] != nil {
		f.refuseWith(l, c, causeHandshakes, r.status, r.text, retryLater)
		return
	}
	f.s.counts.refused[causeHandshakes].Add(1)
	f.close(l, c, causeHandshakes, errHandshakes)
}

// headWhole notes that a connection has a whole request, or needs none any more.
func (f *front) headWhole(fl *frontLoop, cl *client) {
	if fl.waiting.leave(cl) {
		f.s.counts.waiting.Add(-1)
	}
}

// part takes a connection's place, which is about to have its last answer. Sessions keep theirs: their output may take its time, and
// a server that drains gives places to nobody.
func (f *front) part(l netloop.Loop, c netloop.Conn, cl *client) {
	f.headWhole(f.loop(l), cl)
	if cl.dialect != dialectNone || cl.has(flagParts) || f.s.draining.Load() {
		return
	}
	f.s.counts.held.Add(-1)
	f.park(l, c, cl)
}

// Connections that linger without a place.
const (
	lingerMost  = 1024 // of a process, where descriptors are plenty
	lingerLeast = 8    // of a loop, where they are not
)

// park lets a connection without a place linger. Where too many do, the one that was answered first is closed; it has had its time.
func (f *front) park(l netloop.Loop, c netloop.Conn, cl *client) {
	fl := f.loop(l)
	free := f.s.most - f.s.counts.held.Load() - f.s.counts.lent.Load()
	most := max(lingerLeast, int(min(free, lingerMost))/len(f.s.loops))
	for fl.parting.n >= most {
		old, _, ok := fl.parting.oldest(&fl.clients)
		if !ok {
			break
		}
		l.Close(old, netloop.ErrLinger)
	}
	fl.parting.push(&fl.clients, c, cl, l.Now())
}

// left gives back what a connection held that has ended.
func (f *front) left(l netloop.Loop, c netloop.Conn, cl *client) {
	fl := f.loop(l)
	f.headWhole(fl, cl)
	if !fl.parting.leave(cl) {
		f.s.counts.held.Add(-1)
	}
	f.leaveHost(fl, c)
}

// loginFailed answers a login that the router refused.
func (f *front) loginFailed(l netloop.Loop, c netloop.Conn, err error) bool {
	if !errors.Is(err, router.ErrFull) {
		return false
	}
	r := refusals[causeFullID]
	f.complain(causeFullID, nil) // the connection goes on, so its end will not say it
	f.answer(l, c, causeFullID, r.status, r.text, retryLater)
	return true
}

// limitLoops gives each loop its share of the limits.
func (f *front) limitLoops() {
	f.s.rate.init(f.s.cfg.AcceptRate)
	if f.s.cfg.MaxConnsPerIP > 0 {
		f.s.hosts = newHosts(f.s.cfg.MaxConnsPerIP)
	}
	n := len(f.s.loops)
	for i, fl := range f.s.loops {
		fl.waiting.flag, fl.parting.flag = flagWaits, flagParts
		fl.waitMax = handshakesPerLoop
		if most := f.s.cfg.MaxHandshakes; most > 0 {
			fl.waitMax = max(1, (most+n-1-i)/n)
		}
	}
}

// handshakesPerLoop is how many connections of a loop may be without a whole request by default: twice what it accepts before it reads.
const handshakesPerLoop = 512

// DefaultMaxPendingTotal is what the pending output of all connections may take by default, in bytes.
const DefaultMaxPendingTotal = 256 << 20

func (c *Config) checkLimits() error {
	def(&c.MaxPendingTotal, DefaultMaxPendingTotal)
	switch {
	case c.MaxPendingTotal < int64(c.MaxPending) || c.MaxPendingTotal > 1<<50:
		return configErrorf("--max-pending-total %d: give at least --max-pending, %d bytes, and at most 1 PiB", c.MaxPendingTotal, c.MaxPending)
	case c.MaxHandshakes < 0 || c.MaxHandshakes > 1<<27:
		return configErrorf("--max-handshakes %d: give 1 to %d, or 0 for %d for each loop", c.MaxHandshakes, 1<<27, handshakesPerLoop)
	case c.MaxConnsPerIP < 0 || c.MaxConnsPerIP > 1<<27:
		return configErrorf("--max-conns-per-ip %d: give 1 to %d, or 0 for as many as come", c.MaxConnsPerIP, 1<<27)
	case c.MaxConnsPerID < 0 || c.MaxConnsPerID > 1<<27:
		return configErrorf("--max-conns-per-id %d: give 1 to %d, or 0 for as many as come", c.MaxConnsPerID, 1<<27)
	case !(c.AcceptRate >= 0 && c.AcceptRate <= maxAcceptRate) || c.AcceptRate > 0 && c.AcceptRate < MinAcceptRate:
		return configErrorf("--accept-rate %v: give %v to %.0f connections a second, or 0 for as many as come", c.AcceptRate, MinAcceptRate, float64(maxAcceptRate))
	}
	return nil
}
