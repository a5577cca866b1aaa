package server

import (
	"errors"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// stashMax is how much may be sent behind a poll that waits.
const stashMax = 16 << 10

// pollWait is how long a poll waits that does not say so.
const pollWait = 30 * time.Second

// poll answers with what the client has missed, and otherwise waits: for the next message, at most for as long as is asked for.
func (f *front) poll(l netloop.Loop, c netloop.Conn, cl *client) {
	fl := f.loop(l)
	wait, err := f.waitOf(&fl.req)
	if err == nil {
		err = fl.readPositions()
	}
	if err != nil {
		f.refuse(l, c, err)
		return
	}
	r := &fl.login
	if origin := fl.origin(); f.s.cfg.allowsOrigin(origin) {
		r.origin = origin
	}
	hash := fl.hashIDs()
	another := cl.dialect != dialectNone && (cl.dialect != dialectPoll || cl.n != hash) // than the session before, whose messages may still come
	f.speak(cl, dialectPoll)
	f.become(cl, phasePoll)
	f.loggedIn(cl)
	cl.n = hash
	b, err := f.resume(c, cl, r, fl.scratch[:0])
	fl.scratch = b
	busy := errors.Is(err, errBusy)
	switch {
	case err != nil && !busy:
		f.refuseLogin(l, c, cl, err)
	case len(b) > 0 || wait == 0 && !busy:
		f.answerWith(l, c, cl, r, b, 0)
	default:
		l.SetDeadline(c, max(wait, time.Millisecond))
		if busy || another || len(r.positions) > 1 || r.origin != nil {
			r = f.keep(c, cl, r)
		} else {
			*fl.marks.Reach(c.Slot()) = r.positions[0].n
		}
		if busy {
			f.later(l, c, r, func(l netloop.Loop) { f.pollOn(l, c, r) })
		}
	}
}

// pollOn goes on with the logins of a poll.
func (f *front) pollOn(l netloop.Loop, c netloop.Conn, r *roll) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	b, err := f.resume(c, cl, r, fl.scratch[:0])
	fl.scratch = b
	switch {
	case len(b) > 0:
		f.answerPoll(l, c, cl, b, 0)
	case errors.Is(err, errBusy):
		f.later(l, c, r, func(l netloop.Loop) { f.pollOn(l, c, r) })
	case err != nil:
		f.breakLogin(l, c, err)
	}
}

// polled answers a poll that waits with a message; false where it has that already.
func (f *front) polled(l netloop.Loop, c netloop.Conn, cl *client, r *roll, m *message, account uint32) bool {
	fl := f.loop(l)
	if r == nil {
		mark := fl.marks.At(c.Slot())
		if m.n <= *mark {
			return false
		}
		*mark = m.n
	}
	b := fl.scratch[:0]
	if cl.has(flagHole) {
		b = fl.appendHole(b, cl, r, m)
	}
	fl.scratch = fl.appendMessage(b, cl, r, m)
	f.answerPoll(l, c, cl, fl.scratch, account)
	return true
}

// answerPoll answers a poll that has waited, and goes on with what was sent behind it. Without lines nothing came.
func (f *front) answerPoll(l netloop.Loop, c netloop.Conn, cl *client, lines []byte, account uint32) {
	fl := f.loop(l)
	r := fl.rolls[c.Slot()]
	if r == nil {
		r = &fl.login
		fl.positions = append(fl.positions[:0], position{n: *fl.marks.At(c.Slot())})
		r.positions, r.joined, r.origin = fl.positions, 1, nil
	}
	behind := fl.behind[c.Slot()]
	fl.forget(c.Slot())
	f.answerWith(l, c, cl, r, lines, account)
	if len(behind) > 0 {
		f.read(l, c, behind)
	}
}

// answerWith answers a poll: with lines, or with 204 if there are none.
func (f *front) answerWith(l netloop.Loop, c netloop.Conn, cl *client, r *roll, lines []byte, account uint32) {
	fl := f.loop(l)
	f.logout(c, cl)
	if f.s.draining.Load() {
		cl.flags |= flagLast
	}
	status, length := 200, len(lines)
	if length == 0 {
		status, length = 204, -1
	}
	b := fl.beginHead(l.Now(), fl.out[:0], status)
	if length > 0 {
		b = append(b, "Content-Type: "...)
		b = append(b, mediaTypes[dialectPoll]...)
		b = append(b, "\r\n"...)
	}
	b = append(b, "Cache-Control: no-store\r\nLast-Event-ID: "...)
	b = fl.appendCursor(b, r)
	b = append(b, "\r\n"...)
	b = f.s.cfg.appendCORS(b, r.origin)
	b = fl.endHead(b, cl, length)
	b = append(b, lines...)
	fl.out = b
	why := cl.cause
	if why == causePeer {
		why = causeAnswered
	}
	f.reply(l, c, why, b, account)
}

// stash keeps what is sent behind a poll that waits, until that has its answer.
func (f *front) stash(l netloop.Loop, c netloop.Conn, b []byte) {
	fl := f.loop(l)
	if len(fl.behind[c.Slot()])+len(b) > stashMax {
		delete(fl.behind, c.Slot())
		f.goodbye(l, c, causePipelined)
		return
	}
	fl.behind[c.Slot()] = append(fl.behind[c.Slot()], b...)
}

// waitOf is how long a poll is to wait.
func (f *front) waitOf(req *wire.Request) (time.Duration, error) {
	text, asked, err := wire.QueryValue(req.Query, "wait")
	if err != nil || !asked {
		return min(pollWait, f.s.cfg.PollWait), err
	}
	wait, err := wire.ParseDuration(text)
	return min(wait, f.s.cfg.PollWait), err
}

// hashIDs tells lists of ids apart (FNV-1a, 32 bits). Who makes two that it does not tell apart may see a message of the first list late.
func (fl *frontLoop) hashIDs() uint32 {
	h := uint32(2166136261)
	for i := range fl.ids.Len() {
		for _, ch := range fl.ids.At(i) {
			h = (h ^ uint32(ch)) * 16777619
		}
		h = (h ^ ',') * 16777619
	}
	return h
}
