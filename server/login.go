package server

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
	"cometctl/server/router"
)

// message is what a session is told. A message that nobody has numbered (no session shows numbers of its id, nor is it kept) has neither number
// nor id.
type message struct {
	n    uint64
	id   []byte
	text []byte
}

// position is how far a session has read one of its ids.
type position struct {
	id    []byte
	n     uint64 // of the last message that it has, or says that it has
	known bool   // it says so
	hole  bool   // a message was dropped, and the client has not been told
}

// roll is the ids of a session that must know them, which few must: one of several ids whose client comes back with all its positions, one that
// waits to be logged in, and one whose connection was another session before. Messages for that one may still come: they were on their way.
type roll struct {
	positions []position
	joined    int    // of positions; the others wait for a history that was busy
	stays     bool   // it is needed after the login, too
	origin    []byte // of a page that may read the answer of a poll
}

// clone is a roll that owns its ids.
func (r *roll) clone() *roll {
	own := &roll{positions: slices.Clone(r.positions), joined: r.joined, origin: slices.Clone(r.origin)}
	for i := range own.positions {
		own.positions[i].id = slices.Clone(own.positions[i].id)
	}
	return own
}

// find is the position of id among those that the session is logged in under; nil if it is not.
func (r *roll) find(id []byte) *position {
	for i := range r.positions[:r.joined] {
		if bytes.Equal(r.positions[i].id, id) {
			return &r.positions[i]
		}
	}
	return nil
}

// takes tells whether a message is for this session and new to it, and takes note of it.
func (r *roll) takes(m *message) bool {
	if m.id == nil {
		return true
	}
	p := r.find(m.id)
	if p == nil || m.n <= p.n {
		return false
	}
	p.n = m.n
	return true
}

// appendCursor appends the position that the session has reached: a number, or one for each id.
func (fl *frontLoop) appendCursor(dst []byte, r *roll) []byte {
	fl.cursor = fl.cursor[:0]
	for i := range r.positions {
		if p := &r.positions[i]; i < r.joined || p.known {
			fl.cursor = append(fl.cursor, wire.Mark{ID: p.id, N: p.n})
		}
	}
	if len(r.positions) == 1 && len(fl.cursor) == 1 {
		fl.cursor[0].ID = nil
	}
	return wire.AppendCursor(dst, fl.cursor)
}

// foreign is a number that no message has, so that who has it misses everything that is kept.
const foreign = 1

// readPositions makes fl.login the ids of the request, with what the client says it has of them: Last-Event-ID, or that in the query, or
// since, which are the same thing. An error is about the cursor.
func (fl *frontLoop) readPositions() (err error) {
	r := &fl.login
	r.positions, r.joined, r.origin = fl.positions[:0], 0, nil
	for i := range fl.ids.Len() {
		r.positions = append(r.positions, position{id: fl.ids.At(i)})
	}
	fl.positions = r.positions
	cursor, _ := fl.req.Field("Last-Event-ID")
	for _, name := range []string{"last_event_id", "since"} {
		if len(cursor) == 0 {
			if cursor, _, err = wire.QueryValue(fl.req.Query, name); err != nil {
				return err
			}
		}
	}
	if fl.cursor, err = wire.ParseCursor(fl.cursor[:0], cursor); err != nil {
		return err
	}
	for _, m := range fl.cursor {
		for i := range r.positions {
			if p := &r.positions[i]; m.ID == nil || bytes.Equal(p.id, m.ID) {
				p.n, p.known = m.N, true
			}
		}
		if m.ID == nil && m.N != 0 && len(r.positions) > 1 {
			return &wire.Error{Status: 400, Reason: "A number alone is no position in several ids: give id:number for each, with commas between them."}
		}
	}
	return nil
}

// lose makes all positions foreign.
func (r *roll) lose() {
	for i := range r.positions {
		r.positions[i].n, r.positions[i].known = foreign, true
	}
}

// loggedIn and logout begin and end a session, whose logins in the router are its connection's.
func (f *front) loggedIn(cl *client) {
	cl.flags |= flagLogged
	cl.flags &^= flagHole
	cl.since = uint32(time.Since(f.s.born) / time.Second)
	if cl.dialect.numbered() {
		f.s.show(1)
	}
}

func (f *front) logout(c netloop.Conn, cl *client) {
	if !cl.has(flagLogged) {
		return
	}
	cl.flags &^= flagLogged
	f.s.router.Logout(router.Session(c))
	if cl.dialect.numbered() {
		f.s.show(-1)
	}
}

// errBusy is what resume stops with where a publisher has an id's history in hand, and may be waiting for this very loop.
var errBusy = errors.New("server: the history is busy")

// resume logs a session in under those ids of r that it does not hold yet, and appends to b, in its dialect, what its client has missed of
// them. What is published meanwhile is seen in a later turn. With errBusy it is to be called again, in a later turn.
func (f *front) resume(c netloop.Conn, cl *client, r *roll, b []byte) ([]byte, error) {
	fl := f.s.loops[c.Loop()]
	for r.joined < len(r.positions) {
		p := &r.positions[r.joined]
		join := func() error {
			return timed(&f.s.counts.times.login, f.s.counts.logins.Load(), loginSample, func() error {
				return f.s.router.Login(p.id, router.Session(c))
			})
		}
		if !cl.dialect.numbered() {
			if err := join(); err != nil {
				return b, err
			}
			p.n = 0
			r.joined++
			continue
		}
		r.joined++ // for the cursors of what it has missed
		at, _, busy, err := f.s.history.TryResume(p.id, p.n, p.known, join, func(n uint64, text []byte) {
			if p.n = n; text == nil {
				b = fl.appendGap(b, cl, r, p.id, n)
				return
			}
			b = fl.appendMessage(b, cl, r, &message{n, p.id, text})
			f.s.counts.replayed.Add(1)
		})
		switch {
		case busy:
			r.joined--
			return b, errBusy
		case err != nil:
			r.joined--
			return b, err
		}
		p.n, p.known = at, true
	}
	f.s.counts.logins.Add(1)
	return b, nil
}

// later calls again in a later turn, when the history of the id that is next may be free, if c is still what it was.
func (f *front) later(l netloop.Loop, c netloop.Conn, r *roll, again func(netloop.Loop)) {
	index := l.Index()
	f.s.history.OnFree(r.positions[r.joined].id, func() {
		f.s.engine.Do(index, func(l netloop.Loop) {
			if f.loop(l).rolls[c.Slot()] == r { // otherwise it has ended, or has its answer
				again(l)
			}
		})
	})
}

// keep makes r, which is not kept, that of the connection.
func (f *front) keep(c netloop.Conn, cl *client, r *roll) *roll {
	own := r.clone()
	f.s.loops[c.Loop()].rolls[c.Slot()] = own
	cl.flags |= flagRolled
	return own
}

// refuseLogin answers a request whose login the router refused.
func (f *front) refuseLogin(l netloop.Loop, c netloop.Conn, cl *client, err error) {
	f.logout(c, cl)
	if !f.loginFailed(l, c, err) {
		f.refuse(l, c, &wire.Error{Status: 500, Reason: plain(err)})
	}
}

// breakLogin ends a session one of whose later logins the router refused.
func (f *front) breakLogin(l netloop.Loop, c netloop.Conn, err error) {
	why := causeError
	if errors.Is(err, router.ErrFull) {
		why = causeFullID
	} else {
		f.s.cfg.Log.Warn("a login has failed", "error", err)
	}
	f.goodbye(l, c, why)
}
