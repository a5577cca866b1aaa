package flood

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// fakeLoop is a loop without sockets: it remembers what was asked of it.
type fakeLoop struct {
	h         netloop.Handler
	conns     []netloop.Conn // dialed, in their order; 0 where one has ended
	from      []netip.AddrPort
	written   []string
	deadlines []time.Duration
	refuse    error // what Dial returns
	narrow    []netloop.Conn
	aborted   []netloop.Conn
	held      map[netloop.Conn]bool
}

func (f *fakeLoop) Index() int                       { return 0 }
func (f *fakeLoop) Pending(netloop.Conn) int         { return 0 }
func (f *fakeLoop) Now() time.Duration               { return 0 }
func (f *fakeLoop) Peer(netloop.Conn) netip.AddrPort { panic("flood knows whom it dials") }

func (f *fakeLoop) Dial(_, from netip.AddrPort) (netloop.Conn, error) {
	if f.refuse != nil {
		return 0, f.refuse
	}
	f.conns = append(f.conns, netloop.Conn(len(f.conns)+1))
	f.from = append(f.from, from)
	f.written = append(f.written, "")
	f.deadlines = append(f.deadlines, 0)
	return f.conns[len(f.conns)-1], nil
}

func (f *fakeLoop) DialTLS(_, from netip.AddrPort, _ *tls.Config) (netloop.Conn, error) {
	return f.Dial(netip.AddrPort{}, from)
}

func (f *fakeLoop) Write(c netloop.Conn, b []byte, _ uint32) bool {
	f.written[c.Slot()-1] += string(b)
	return true
}

// End sends last; the peer closes at once.
func (f *fakeLoop) End(c netloop.Conn, last []byte) {
	f.Write(c, last, 0)
	f.Close(c, io.EOF)
}

// DialNarrow is Dial; narrow tells which connections it has made.
func (f *fakeLoop) DialNarrow(to, from netip.AddrPort, _ *tls.Config, receive int) (netloop.Conn, error) {
	c, err := f.Dial(to, from)
	if err == nil {
		f.narrow = append(f.narrow, c)
	}
	return c, err
}

func (f *fakeLoop) Hold(c netloop.Conn, hold bool) {
	if f.held == nil {
		f.held = map[netloop.Conn]bool{}
	}
	f.held[c] = hold
}

// Abort is Close that aborted tells of.
func (f *fakeLoop) Abort(c netloop.Conn, err error) {
	f.aborted = append(f.aborted, c)
	f.Close(c, err)
}

func (f *fakeLoop) SetDeadline(c netloop.Conn, d time.Duration) { f.deadlines[c.Slot()-1] = d }

func (f *fakeLoop) Close(c netloop.Conn, err error) {
	if f.conns[c.Slot()-1] != 0 {
		f.conns[c.Slot()-1] = 0
		f.h.Closed(f, c, err)
	}
}

func (f *fakeLoop) Conns(each func(netloop.Conn) bool) {
	for _, c := range f.conns {
		if c != 0 && !each(c) {
			return
		}
	}
}

// rig is a lane on a fake loop, with a clock that stands still.
type rig struct {
	*fakeLoop
	*lane
	now int64
}

const testStart = int64(1_700_000_000_000_000_000) // ns since the epoch, a whole ms

func newRig(t testing.TB, inFlight int, urls ...string) *rig {
	t.Helper()
	targets, err := LoadTargets(urls, nil, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{now: testStart, fakeLoop: &fakeLoop{}}
	p := &plan{targets: targets, lanes: 1, inFlight: inFlight, timeout: time.Second,
		clock: func() int64 { return r.now }, again: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	p.allowed.Store(int64(targets.Len()))
	r.lane = newLane(p, 0)
	r.fakeLoop.h = handler{r.lane}
	return r
}

func (r *rig) dialAll()                       { r.lane.fill(r.fakeLoop) }
func (r *rig) open(c netloop.Conn)            { r.fakeLoop.h.Opened(r.fakeLoop, c) }
func (r *rig) read(c netloop.Conn, s string)  { r.fakeLoop.h.Readable(r.fakeLoop, c, []byte(s)) }
func (r *rig) hangUp(c netloop.Conn, e error) { r.fakeLoop.Close(c, e) }
func (r *rig) live(c netloop.Conn) bool       { return r.conns[c.Slot()-1] != 0 }

func (r *rig) result() Result {
	t := NewTally(r.plan.byDue)
	r.lane.snapshot(t)
	t.began = testStart
	return t.Result(r.plan.targets.Len())
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"

var testRun = wire.NewRunTag(time.Unix(0, testStart).Add(time.Second), 7)

// message is one chunk as the server sends it, due at the given time.
func message(run wire.RunTag, id string, seq uint64, due int64) string {
	text := "Recvd msg #1: 'Fake message Num = 42 " + string(wire.AppendStamp(nil, run, []byte(id), seq, due, 0)) + "'<br/>"
	return string(wire.AppendChunk(nil, []byte(text)))
}

func TestLaneOpensAndCounts(t *testing.T) {
	r := newRig(t, 2, "http://127.0.0.1:8000/test/{1..3}")
	r.dialAll()
	if len(r.conns) != 2 {
		t.Fatalf("%d handshakes in flight, want 2", len(r.conns))
	}
	if r.deadlines[0] != time.Second {
		t.Errorf("deadline of a handshake is %v, want 1s", r.deadlines[0])
	}
	r.now += 2e6
	r.open(1)
	want := "GET /test/1 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: cometctl\r\nAccept: */*\r\n\r\n"
	if r.written[0] != want {
		t.Errorf("request %q, want %q", r.written[0], want)
	}
	r.now += 3e6
	r.read(1, okHead[:10])
	if len(r.conns) != 2 || r.lane.tally.open != 0 {
		t.Error("half a head made an open connection")
	}
	r.now += 5e6
	r.read(1, okHead[10:]+message(testRun, "1", 1, r.now-4e6)[:30])
	if len(r.conns) != 3 || r.lane.tally.open != 1 || r.deadlines[0] != 0 {
		t.Errorf("after a head: %d dialed, %d open, deadline %v; want 3, 1, none", len(r.conns), r.lane.tally.open, r.deadlines[0])
	}
	r.read(1, message(testRun, "1", 1, r.now-4e6)[30:]+message(testRun, "1", 2, r.now+1e9))
	for _, c := range []netloop.Conn{2, 3} {
		r.open(c)
		r.read(c, okHead)
	}
	if !r.settled {
		t.Error("not settled, though every target is open")
	}
	got := r.result()
	if got.Open != 3 || got.Chunks != 2 || got.Messages != 2 || got.Failed+got.ClosedEarly != 0 || !got.Held() {
		t.Errorf("result %+v, want 3 open, 2 chunks, 2 messages", got)
	}
	if l := got.Latency; l.P50 != 0 || l.Max < 4 || l.Max > 4.01 { // the second message is early, and counts as 0
		t.Errorf("latency %+v, want 0 and 4 ms", *l)
	}
	if got.Connect.P50 < 2 || got.Connect.P50 > 2.01 || got.TTFB.Max < 3 || got.TTFB.Max > 5.01 {
		t.Errorf("connect %+v, ttfb %+v", *got.Connect, *got.TTFB)
	}
	if got.OpenPerS != 300 { // 3 in 10 ms
		t.Errorf("%v opened a second, want 300", got.OpenPerS)
	}
}

func TestLaneCauses(t *testing.T) {
	partial := okHead + "5\r\nab"
	for _, tc := range []struct {
		name           string
		do             func(r *rig)
		failed, closed cause
	}{
		{"refused", func(r *rig) { r.hangUp(1, errRefused()) }, causeRefused, ""},
		{"silent", func(r *rig) { r.open(1); r.h.Expired(r.fakeLoop, 1) }, causeTimeout, ""},
		{"half a head", func(r *rig) { r.open(1); r.read(1, okHead[:20]); r.h.Expired(r.fakeLoop, 1) }, causeTimeout, ""},
		{"eof at once", func(r *rig) { r.open(1); r.hangUp(1, io.EOF) }, causeEOF, ""},
		{"status", func(r *rig) { r.open(1); r.read(1, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") }, "status 503", ""},
		{"no http", func(r *rig) { r.open(1); r.read(1, "SSH-2.0-OpenSSH\r\n\r\n") }, causeBad, ""},
		{"bad head in two", func(r *rig) { r.open(1); r.read(1, "HTTP/1.1 20"); r.read(1, "0 OK\r\nA\r\n\r\n") }, causeBad, ""},
		{"bad chunk", func(r *rig) { r.open(1); r.read(1, okHead+"xyz\r\n") }, "", causeBad},
		{"cut", func(r *rig) { r.open(1); r.read(1, partial); r.hangUp(1, io.EOF) }, "", causeEOF},
		{"reset", func(r *rig) { r.open(1); r.read(1, partial); r.hangUp(1, errReset()) }, "", causeReset},
		{"last chunk", func(r *rig) { r.open(1); r.read(1, partial+"cde\r\n"+wire.LastChunk) }, "", causeEnded},
		{"until close", func(r *rig) { r.open(1); r.read(1, "HTTP/1.0 200 OK\r\n\r\nabc"); r.hangUp(1, io.EOF) }, "", causeEnded},
		{"length", func(r *rig) { r.open(1); r.read(1, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc") }, "", causeEnded},
		{"short", func(r *rig) {
			r.open(1)
			r.read(1, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
			r.hangUp(1, io.EOF)
		}, "", causeEOF},
		{"mystery", func(r *rig) { r.hangUp(1, errors.New("?")) }, causeOther, ""},
	} {
		r := newRig(t, 1, "http://127.0.0.1:8000/")
		r.dialAll()
		tc.do(r)
		if r.live(1) {
			t.Errorf("%s: the connection was not closed", tc.name)
		}
		got := r.result()
		if tc.failed != "" && (got.Failed != 1 || got.FailedBy[string(tc.failed)] != 1) || tc.failed == "" && got.Failed != 0 {
			t.Errorf("%s: failed %v, want %q", tc.name, got.FailedBy, tc.failed)
		}
		if tc.closed != "" && (got.ClosedEarly != 1 || got.ClosedBy[string(tc.closed)] != 1) || tc.closed == "" && got.ClosedEarly != 0 {
			t.Errorf("%s: closed %v, want %q", tc.name, got.ClosedBy, tc.closed)
		}
		if got.Open != 0 || !r.settled || len(r.plan.changed) != 1 {
			t.Errorf("%s: %d open, settled %v, %d signals", tc.name, got.Open, r.settled, len(r.plan.changed))
		}
		if n := len(r.heads.buffers) - len(r.heads.free); n != 0 || r.stamps.tails.Len() != 0 || r.tracker.more.Len() != 0 {
			t.Errorf("%s: %d head buffers, %d tails, %d windows were not given back", tc.name, n, r.stamps.tails.Len(), r.tracker.more.Len())
		}
	}
}

// A source without ports fails every dial at once. That must neither take one endless turn nor stop the run.
func TestLaneDialFails(t *testing.T) {
	r := newRig(t, 10, "http://127.0.0.1:8000/{1..1000}")
	r.refuse = errNoPorts()
	turns := 0
	for r.dialAll(); len(r.plan.again) > 0; r.dialAll() {
		<-r.plan.again
		turns++
	}
	got := r.result()
	if got.Failed != 1000 || got.FailedBy["no ports"] != 1000 || !r.settled || turns != 3 {
		t.Errorf("%d turns, settled %v, result %+v", turns, r.settled, got)
	}
}

// What ends because the run is over has not ended early.
func TestLaneStop(t *testing.T) {
	r := newRig(t, 10, "http://127.0.0.1:8000/{1..4}")
	r.plan.allowed.Store(3)
	r.dialAll()
	r.open(1)
	r.open(2)
	r.read(1, okHead)
	before := r.result()
	r.lane.stop(r.fakeLoop)
	if len(r.conns) != 3 || r.live(1) || r.live(2) || r.live(3) {
		t.Errorf("connections %v, want 3 that have ended", r.conns)
	}
	if got := r.result(); got.Open != 1 || before.Open != 1 || got.Failed+got.ClosedEarly != 0 {
		t.Errorf("result %+v, want 1 open, none failed", got)
	}
}

// A run that began after the connection was open owes it every message from 1 on; one that was under way does not.
func TestLaneBaseline(t *testing.T) {
	r := newRig(t, 1, "http://127.0.0.1:8000/")
	r.dialAll()
	r.open(1)
	r.read(1, okHead)
	earlier := wire.NewRunTag(time.Unix(0, testStart).Add(-time.Second), 7)
	r.read(1, message(earlier, "1", 10, r.now)+message(earlier, "1", 12, r.now)+message(testRun, "1", 3, r.now))
	if got := r.result(); got.Missing != 1+2 || got.Messages != 3 {
		t.Errorf("missing %d of %d messages, want 3 of 3: 11 of the earlier run, 1 and 2 of the later", got.Missing, got.Messages)
	}
}
