package server

import (
	"errors"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/slab"
	"cometctl/internal/wire"
	"cometctl/server/history"
	"cometctl/server/router"
)

// front is the comet listener's handler.
type front struct{ s *Server }

// frontLoop is what the front keeps for one loop, touched in that loop's turn only.
type frontLoop struct {
	clients  slab.Slab[client]   // mirrors the loop's connections by slot
	partials map[uint32]*partial // heads that have not come whole, by slot
	scan     wire.HeadScanner    // scans a head that comes whole; here, because a local one would be garbage
	req      wire.Request        // the head just parsed
	scratch  []byte              // a message while it is rendered
	date     string              // Date field of this second
	dateAt   time.Duration       // when it was rendered
	_        [64]byte            // the next loop's data is another processor's
}

// client is what the front remembers of an idle connection.
type client struct {
	n     uint32 // messages written to it; the next one is number n+1
	phase phase
	plain bool // HTTP/1.0: the stream is not chunked and ends with the connection
	full  bool // it came when MaxConns were held, and takes nobody's place
}

type phase uint8

const (
	phaseHead   phase = iota // its request has not come whole
	phaseStream              // logged in, receives messages
	phaseEnd                 // answered, about to end
)

// partial is the beginning of a request head.
type partial struct {
	scan wire.HeadScanner
	buf  []byte
}

// counts are the front's counters; all but open, held and lent only grow.
type counts struct {
	open     atomic.Int64 // connections now
	held     atomic.Int64 // of open, those within MaxConns
	lent     atomic.Int64 // descriptors that the admin listener's connections hold beyond adminPlaces
	accepted atomic.Int64 // connections ever
	refused  atomic.Int64 // answered with 503 because MaxConns were open
	logins   atomic.Int64 // streams ever
	bad      atomic.Int64 // requests answered with 400, 414, 431, 501, 505
	missed   atomic.Int64 // requests answered with 404
	late     atomic.Int64 // cut off by HeadTimeout
	slow     atomic.Int64 // ended by SlowClose
	tls      atomic.Int64 // ended because there was no TLS handshake where there must be
	cut      atomic.Int64 // did not end in time while draining
	replayed atomic.Int64 // messages written from the history
}

// stats are the counters but for the most that may be open.
func (c *counts) stats() ConnStats {
	return ConnStats{Open: c.open.Load(), Accepted: c.accepted.Load(), Streams: c.logins.Load(), Refused: c.refused.Load(),
		Bad: c.bad.Load(), NotFound: c.missed.Load(), Timeout: c.late.Load(), Slow: c.slow.Load(), TLS: c.tls.Load()}
}

// Reasons why the front closes a connection itself.
var (
	errHeadTimeout = errors.New("server: no request head in time")
	errSlow        = errors.New("server: subscriber too slow")
)

func (f *front) ready(loops int) {
	for range loops {
		f.s.loops = append(f.s.loops, &frontLoop{partials: map[uint32]*partial{}})
	}
}

func (f *front) loop(l netloop.Loop) *frontLoop { return f.s.loops[l.Index()] }

// Opened implements netloop.Handler.
func (f *front) Opened(l netloop.Loop, c netloop.Conn) {
	fl := f.loop(l)
	cl := fl.clients.Reach(c.Slot())
	*cl = client{}
	f.s.counts.accepted.Add(1)
	f.s.counts.open.Add(1)
	if held := f.s.counts.held.Add(1); held > int64(f.s.cfg.MaxConns) || held+f.s.counts.lent.Load() > f.s.most {
		f.s.counts.held.Add(-1)
		f.s.counts.refused.Add(1)
		cl.full = true
		f.finish(l, c, answerFull)
		return
	}
	if f.s.draining.Load() { // it waited in the accept queue
		f.finish(l, c, answerDraining)
		return
	}
	l.SetDeadline(c, f.s.cfg.HeadTimeout)
}

// Readable implements netloop.Handler. A client that has its stream may send what it likes, nobody reads it.
func (f *front) Readable(l netloop.Loop, c netloop.Conn, b []byte) {
	fl := f.loop(l)
	if fl.clients.At(c.Slot()).phase != phaseHead {
		return
	}
	p := fl.partials[c.Slot()]
	scan := &fl.scan
	if p != nil {
		scan = &p.scan
	} else {
		*scan = wire.HeadScanner{}
	}
	n, done, err := scan.Scan(b, wire.Limits{})
	switch {
	case err != nil && p == nil:
		f.refuse(l, c, f.unwantedTLS(b, err))
	case err != nil:
		f.refuse(l, c, err)
	case !done:
		if p == nil {
			p = &partial{scan: *scan}
			fl.partials[c.Slot()] = p
		}
		p.buf = append(p.buf, b...)
	case p != nil:
		f.request(l, c, append(p.buf, b[:n]...))
	default:
		f.request(l, c, b[:n])
	}
}

// request answers a whole head.
func (f *front) request(l netloop.Loop, c netloop.Conn, head []byte) {
	fl := f.loop(l)
	delete(fl.partials, c.Slot())
	if err := wire.ParseRequest(head, wire.Limits{}, &fl.req); err != nil {
		f.refuse(l, c, err)
		return
	}
	var answer []byte
	do, err := route(&fl.req, &fl.scratch)
	switch {
	case err != nil:
		answer = f.refusal(err)
	case do == doStream:
		f.login(l, c, fl.scratch)
		return
	case do == doHead:
		answer = fl.streamHead(l.Now(), fl.req.Minor == 0)
	case do == doNotImplemented:
		f.s.counts.bad.Add(1)
		answer = answerNotImplemented
	default:
		f.s.counts.missed.Add(1)
		answer = answerNotFound
	}
	if string(fl.req.Method) == "HEAD" {
		answer = headOf(answer)
	}
	f.finish(l, c, answer)
}

// login makes the connection a session of id and sends the head at once, so that the client knows. Messages may be posted
// from Login on, but they are seen in a later turn, behind the head.
func (f *front) login(l netloop.Loop, c netloop.Conn, id []byte) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	cl.phase, cl.plain = phaseStream, fl.req.Minor == 0
	l.SetDeadline(c, 0)
	if err := f.s.router.Login(id, router.Session(c)); err != nil {
		f.refuse(l, c, &wire.Error{Status: 500, Reason: plain(err)})
		return
	}
	l.Write(c, fl.streamHead(l.Now(), cl.plain), 0)
	f.s.counts.logins.Add(1)
}

// refuse answers a request that cannot be understood, and ends the connection: where its next request would begin is
// anybody's guess.
func (f *front) refuse(l netloop.Loop, c netloop.Conn, err error) { f.finish(l, c, f.refusal(err)) }

func (f *front) refusal(err error) []byte {
	f.s.counts.bad.Add(1)
	bad := &wire.Error{Status: 400, Reason: plain(err)}
	errors.As(err, &bad)
	return appendAnswer(nil, bad.Status, bad.Reason+"\n")
}

// finish sends a last answer.
func (f *front) finish(l netloop.Loop, c netloop.Conn, answer []byte) {
	fl := f.loop(l)
	delete(fl.partials, c.Slot())
	fl.clients.At(c.Slot()).phase = phaseEnd
	l.End(c, answer)
}

// Posted implements netloop.Handler: a message for a session, on the way to its socket.
func (f *front) Posted(l netloop.Loop, c netloop.Conn, msg []byte, tag uint64, alive bool) {
	fl := f.loop(l)
	account := uint32(tag)
	if tag&history.TagNumbered != 0 {
		_, _, msg = history.Cut(msg)
	}
	if !alive || fl.clients.At(c.Slot()).phase != phaseStream {
		f.s.ledger.settle(account, gone)
		return
	}
	cl := fl.clients.At(c.Slot())
	if l.Write(c, fl.render(cl, msg), account) {
		cl.n++
		return
	}
	f.s.ledger.settle(account, dropped)
	if f.s.cfg.SlowPolicy == SlowClose {
		f.s.counts.slow.Add(1)
		l.Close(c, errSlow)
	}
}

// render makes a message what the seed's feed/3 writes: one chunk with its number on this connection.
func (fl *frontLoop) render(cl *client, msg []byte) []byte {
	// The chunk's size stands in front of it, so the text comes first: behind the room that the size line may take.
	const room = 10
	b := append(fl.scratch[:0], "          Recvd msg #"...)
	b = strconv.AppendUint(b, uint64(cl.n)+1, 10)
	b = append(b, ": '"...)
	b = wire.AppendHTMLEscaped(b, msg)
	b = append(b, "'<br/>"...)
	text := len(b) - room
	if cl.plain {
		fl.scratch = b
		return b[room:]
	}
	b = append(b, "\r\n"...)
	fl.scratch = b
	i := room
	for _, ch := range []byte("\n\r") {
		i--
		b[i] = ch
	}
	for {
		i--
		b[i] = "0123456789abcdef"[text&15]
		if text >>= 4; text == 0 {
			return b[i:]
		}
	}
}

// Wrote implements netloop.Handler.
func (f *front) Wrote(_ netloop.Loop, _ netloop.Conn, tag uint32) {
	f.s.ledger.settle(tag, delivered)
}

// Unsent implements netloop.Handler.
func (f *front) Unsent(_ netloop.Loop, _ netloop.Conn, tag uint32) { f.s.ledger.settle(tag, gone) }

// Expired implements netloop.Handler: the head has not come in time.
func (f *front) Expired(l netloop.Loop, c netloop.Conn) {
	f.s.counts.late.Add(1)
	if f.loop(l).partials[c.Slot()] == nil {
		l.Close(c, errHeadTimeout) // it never said a word; nobody waits for an answer
		return
	}
	f.finish(l, c, answerTimeout)
}

// Closed implements netloop.Handler.
func (f *front) Closed(l netloop.Loop, c netloop.Conn, err error) {
	fl := f.loop(l)
	cl := fl.clients.At(c.Slot())
	if cl.phase == phaseStream || cl.phase == phaseEnd {
		f.s.router.Logout(router.Session(c))
	}
	if !cl.full {
		f.s.counts.held.Add(-1)
	}
	*cl = client{}
	delete(fl.partials, c.Slot())
	f.s.counts.open.Add(-1)
	if errors.Is(err, netloop.ErrHandshake) {
		f.s.counts.tls.Add(1)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		f.s.cfg.Log.Debug("connection ended", "loop", c.Loop(), "slot", c.Slot(), "reason", err)
	}
	if f.s.draining.Load() {
		if errors.Is(err, netloop.ErrLinger) || errors.Is(err, netloop.ErrClosed) {
			f.s.counts.cut.Add(1)
		}
		f.s.left()
	}
}

// sayGoodbye ends a connection for Drain: a stream with its last chunk, behind everything that is queued for it.
func (f *front) sayGoodbye(l netloop.Loop, c netloop.Conn) {
	cl := f.loop(l).clients.At(c.Slot())
	switch {
	case cl.phase == phaseStream && !cl.plain:
		f.finish(l, c, []byte(wire.LastChunk))
	case cl.phase == phaseStream:
		f.finish(l, c, nil)
	case cl.phase == phaseHead:
		f.finish(l, c, answerDraining)
	}
}
