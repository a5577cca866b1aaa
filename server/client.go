package server

import (
	"sync/atomic"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/slab"
	"cometctl/internal/wire"
	"cometctl/server/history"
)

// client is what the front remembers of each connection. What only few connections need lies in the maps of frontLoop.
type client struct {
	n       uint32  // streams: messages written to it; in html the next one is number n+1. poll: hash of the ids. WebSocket: 1 while a ping has no answer
	since   uint32  // seconds from the server's start to its login; without one, its turn in a queue
	phase   phase   //
	dialect dialect // of its last login
	flags   flags   //
	cause   cause   // of its end, once that is decided
}

// phase is where a connection is. It is changed by front.become only, as its dialect is by front.speak.
type phase uint8

const (
	phaseNone   phase = iota // there is no connection
	phaseHead                // waits for a request, or has the beginning of one
	phaseBody                // the body of a request is read and dropped
	phaseStream              // logged in, for messages until it ends
	phasePoll                // logged in, for an answer that waits for the next message
	phaseEnd                 // has its last answer, and is about to end
	phases
)

// dialect is how messages are written to a session.
type dialect uint8

const (
	dialectNone   dialect = iota // it never logged in
	dialectHTML                  // the seed's stream
	dialectSSE                   // server-sent events
	dialectLines                 // a stream of JSON lines
	dialectPoll                  // long poll: JSON lines in answers that end
	dialectWS                    // WebSocket: a message is a text frame
	dialectWSJSON                // WebSocket: a text frame is a JSON line
	dialects
)

// dialectNames are the dialects as /who, /stats and /metrics have them. What has one name is counted together.
var dialectNames = [dialects]string{"none", "html", "sse", "lines", "poll", "websocket", "websocket"}

// String is the dialect's name.
func (d dialect) String() string { return dialectNames[d] }

// counted tells whether a session's client.n is the number of messages that were written to it.
func (d dialect) counted() bool { return d == dialectHTML || d == dialectSSE || d == dialectLines }

// numbered tells whether messages are shown with their numbers, so that the client can come back with one.
func (d dialect) numbered() bool {
	return d == dialectSSE || d == dialectLines || d == dialectPoll || d == dialectWSJSON
}

// flags of a client.
type flags uint8

const (
	flagPlain  flags = 1 << iota // HTTP/1.0: a stream is not chunked and ends with the connection
	flagLast                     // the connection ends behind the answer to this request
	flagKept                     // it has had an answer: what it waits for is a further request
	flagWaits                    // it has no whole request, and stands in frontLoop.waiting
	flagParts                    // it has no place among MaxConns, and stands in frontLoop.parting
	flagLogged                   // logged in
	flagRolled                   // it has a roll
	flagHole                     // a message was dropped, and the client has not been told
)

func (c *client) has(f flags) bool { return c.flags&f != 0 }

// frontLoop is what the front keeps for one loop, touched in that loop's turn only.
type frontLoop struct {
	clients  slab.Slab[client]   // mirrors the loop's connections by slot
	marks    slab.Slab[uint64]   // of polls that wait: the number of the last message before; by slot, as far as polls ever were
	partials map[uint32]*partial // requests that have not come whole, by slot
	waiting  queue               // connections without a whole request
	waitMax  int                 // how many there may be
	parting  queue               // connections that have their last answer, and no place any more
	from     slab.Slab[host]     // where they come from, by slot; empty unless MaxConnsPerIP is given
	behind   map[uint32][]byte   // what was sent behind a poll that waits, by slot
	rolls    map[uint32]*roll    // of sessions that must know their ids, by slot
	sockets  map[uint32]*socket  // what WebSocket clients have begun to say, by slot
	talkers  map[uint32]talker   // those that may publish, by slot
	gathered int                 // bytes in sockets

	scan      wire.HeadScanner // scans a head that comes whole; here, because a local one would be garbage
	req       wire.Request     // the head just parsed
	asked     bool             // it is being answered: what is said now is about it
	up        wire.Upgrade     // that it asks for
	socket    socket           // one that is not in sockets
	ids       wire.IDs         // that it names
	cursor    []wire.Mark      // and what its client has of them, as it says
	positions []position       // the same by id
	login     roll             // a roll that is not kept
	scratch   []byte           // a message while it is rendered
	number    []byte           // its cursor
	out       []byte           // a response while it is made

	date   string        // Date field of this second
	dateAt time.Duration // when it was rendered
	_      [64]byte      // the next loop's data is another processor's
}

// partial is the beginning of a request.
type partial struct {
	scan wire.HeadScanner
	buf  []byte           // of the head; all of it while the body comes
	body wire.BodySkipper // once the head is whole
}

// counts are the front's counters; all but open, held, lent, waiting and pending only grow.
type counts struct {
	open     atomic.Int64         // connections now
	held     atomic.Int64         // of open, those within MaxConns
	lent     atomic.Int64         // descriptors that the admin listener's connections hold beyond adminPlaces
	waiting  atomic.Int64         // connections without a whole request
	pending  atomic.Int64         // memory of pending output in bytes, see netloop.Config.Pending
	accepted atomic.Int64         // connections ever
	logins   atomic.Int64         // sessions ever
	cut      atomic.Int64         // did not end in time while draining
	replayed atomic.Int64         // messages written from the history
	history  history.Counts       //
	refused  [causes]atomic.Int64 // requests and connections that were answered with a status of 400 or more, or not at all
	closed   [causes]atomic.Int64 // connections that have ended
	by       census               // connections now
	times    times                // how long things took
}

// stats are the counters but for the most that may be open.
func (c *counts) stats() ConnStats {
	return ConnStats{Open: c.open.Load(), Waiting: c.waiting.Load(), Pending: c.pending.Load(), Accepted: c.accepted.Load(), Streams: c.logins.Load(), Refused: c.refused[causeFull].Load(),
		Bad: c.refused[causeBadRequest].Load(), NotFound: c.refused[causeNotFound].Load(), Timeout: c.refused[causeHeadTimeout].Load(),
		Slow: c.closed[causeSlow].Load(), TLS: c.closed[causeTLS].Load(),
		By: c.by.look(), RefusedBy: lookAll(&c.refused), ClosedBy: lookAll(&c.closed)}
}

func (f *front) ready(loops int) {
	for range loops {
		f.s.loops = append(f.s.loops, &frontLoop{partials: map[uint32]*partial{}, behind: map[uint32][]byte{}, rolls: map[uint32]*roll{},
			sockets: map[uint32]*socket{}, talkers: map[uint32]talker{}})
	}
	f.limitLoops()
}

func (f *front) loop(l netloop.Loop) *frontLoop { return f.s.loops[l.Index()] }

// forget drops what the connection at slot owned beside its records.
func (fl *frontLoop) forget(slot uint32) {
	delete(fl.partials, slot)
	delete(fl.behind, slot)
	delete(fl.rolls, slot)
	delete(fl.talkers, slot)
	fl.forgetSocket(slot)
	fl.clients.At(slot).flags &^= flagRolled
}
