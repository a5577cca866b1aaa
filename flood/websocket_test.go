package flood

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"cometctl/internal/wire"
)

// upgraded is the head that answers the request of connection c, with the fields beside its own.
func (r *rig) upgraded(t *testing.T, c int, protocol, fields string) string {
	t.Helper()
	var q wire.Request
	if err := wire.ParseRequest([]byte(r.written[c-1]), wire.Limits{}, &q); err != nil {
		t.Fatalf("asked with %q: %v", r.written[c-1], err)
	}
	up, err := wire.ParseUpgrade(&q, protocol)
	if err != nil {
		t.Fatalf("asked with %q: %v", r.written[c-1], err)
	}
	return string(wire.AppendUpgraded(nil, up, fields))
}

// said are the frames that connection c has sent behind its request, as a server reads them.
func (r *rig) said(t *testing.T, c int) (frames []string) {
	t.Helper()
	_, rest, _ := strings.Cut(r.written[c-1], "\r\n\r\n")
	var d wire.FrameDecoder
	for b := []byte(rest); len(b) > 0; {
		p, n, err := d.Next(b, wire.FrameRules{})
		if b = b[n:]; err != nil || !p.End {
			t.Fatalf("%q: %+v, %v", rest, p, err)
		}
		frames = append(frames, fmt.Sprintf("%x %s", p.Op, p.Data))
	}
	return frames
}

func frame(op wire.Opcode, payload string) string {
	return string(wire.AppendFrame(nil, op, []byte(payload)))
}

// unfinished is a frame that more of its message follows.
func unfinished(op wire.Opcode, payload string) string {
	b := wire.AppendFrame(nil, op, []byte(payload))
	b[0] &^= 0x80
	return string(b)
}

func stampText(seq uint64) string {
	return string(wire.AppendStamp(nil, testRun, []byte("1"), seq, testStart, 0))
}

// wantNothingKept fails where something is left of connections that have ended, or are idle.
func (r *rig) wantNothingKept(t *testing.T, when string) {
	t.Helper()
	h := &r.heads
	if h.frames.nonces.Len()+h.frames.cut.Len()+h.marks.slab.Len()+r.stamps.tails.Len() != 0 || len(h.buffers) != len(h.free) {
		t.Errorf("%s: %d nonces, %d frames, %d marks, %d tails, %d of %d heads are kept", when, h.frames.nonces.Len(), h.frames.cut.Len(), h.marks.slab.Len(),
			r.stamps.tails.Len(), len(h.buffers)-len(h.free), len(h.buffers))
	}
}

// Messages are counted, pings answered and the close is given back, however what the server sends is cut.
func TestWebSocketAtEverySplit(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, c := range []struct {
		name, in, said   string
		messages, chunks uint64
		why              cause
	}{
		{"messages", frame(wire.OpText, stampText(1)) + frame(wire.OpBinary, stampText(2)) + frame(wire.OpText, ""), "", 2, 3, ""},
		{"fragments and what comes amid them", frame(wire.OpPing, "") + unfinished(wire.OpText, stampText(1)[:9]) + frame(wire.OpPing, "are you there?") +
			unfinished(wire.OpContinuation, "") + frame(wire.OpPong, "unasked") + frame(wire.OpContinuation, stampText(1)[9:]) + frame(wire.OpPing, "2"),
			"a |a are you there?|a 2", 1, 1, ""},
		{"close", frame(wire.OpText, stampText(1)) + frame(wire.OpClose, "\x03\xe9bye") + "what follows is nobody's", "8 \x03\xe9bye", 1, 1, "close 1001"},
		{"close without a code", frame(wire.OpClose, ""), "8 ", 0, 0, causeEnded},
		{"close amid a message", unfinished(wire.OpText, "a") + frame(wire.OpClose, "\x03\xe8"), "8 \x03\xe8", 0, 0, "close 1000"},
		{"bad code", frame(wire.OpClose, "\x03\xed"), "", 0, 0, causeBad},
		{"masked", string(wire.AppendMaskedFrame(nil, wire.OpText, []byte("a"), 7)), "", 0, 0, causeBad},
		{"not UTF-8", frame(wire.OpText, "\xff"), "", 0, 0, causeBad},
		{"no frame", "\x70", "", 0, 0, causeBad},
	} {
		for cut := range len(c.in) + 1 {
			r := newRig(t, 1, "ws://127.0.0.1:8000/ws/1")
			r.dialAll()
			r.open(1)
			head := r.upgraded(t, 1, "", "")
			if cut < len(head) {
				r.read(1, head[:cut])
				r.read(1, head[cut:])
			} else {
				r.read(1, head)
			}
			if r.result().Open != 1 || r.deadlines[0] != 0 {
				t.Fatalf("%s: not open: %+v", c.name, r.result())
			}
			r.wantNothingKept(t, "open")
			r.read(1, c.in[:cut])
			if r.live(1) {
				r.read(1, c.in[cut:])
			}
			got := r.result()
			if said := strings.Join(r.said(t, 1), "|"); said != c.said || got.Messages != c.messages || got.Chunks != c.chunks {
				t.Fatalf("%s, cut at %d: said %q, %+v; want %q, %d messages, %d chunks", c.name, cut, said, got, c.said, c.messages, c.chunks)
			}
			if open := got.Open == 1 && r.live(1); open != (c.why == "") || !open && got.ClosedBy[string(c.why)] != 1 {
				t.Fatalf("%s, cut at %d: %+v, want closed by %q", c.name, cut, got, c.why)
			}
			r.wantNothingKept(t, c.name)
		}
	}
	r := newRig(t, 1, "ws://127.0.0.1:8000/ws/1")
	r.dialAll()
	r.open(1)
	r.read(1, r.upgraded(t, 1, "", "")+frame(wire.OpText, long+" "+stampText(1))[:100])
	r.hangUp(1, io.EOF)
	if got := r.result(); got.ClosedBy["eof"] != 1 {
		t.Errorf("cut off within a message: %+v", got)
	}
	r.wantNothingKept(t, "cut off within a message")
}

// What is no WebSocket is not counted as one.
func TestWebSocketRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(r *rig) string
		why    cause
	}{
		{"not found", func(*rig) string { return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" }, "status 404"},
		{"a page", func(*rig) string { return okHead }, "status 200"},
		{"another key", func(*rig) string {
			return "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
		}, causeNoWebSocket},
		{"no Upgrade", func(r *rig) string { return strings.Replace(r.upgraded(t, 1, "", ""), "Upgrade: websocket\r\n", "", 1) }, causeNoWebSocket},
		{"an extension", func(r *rig) string { return r.upgraded(t, 1, "", "Sec-WebSocket-Extensions: x\r\n") }, causeNoWebSocket},
		{"a subprotocol", func(r *rig) string { return r.upgraded(t, 1, "", "Sec-WebSocket-Protocol: x\r\n") }, causeNoWebSocket},
		{"no http", func(*rig) string { return "hello\r\n\r\n" }, causeBad},
		{"silence", func(*rig) string { return "" }, causeEOF},
	} {
		r := newRig(t, 1, "ws://127.0.0.1:8000/ws/1")
		r.dialAll()
		r.open(1)
		r.read(1, c.answer(r))
		if r.live(1) {
			r.hangUp(1, io.EOF)
		}
		if got := r.result(); got.FailedBy[string(c.why)] != 1 || got.Open != 0 {
			t.Errorf("%s: %+v, want failed by %q", c.name, got, c.why)
		}
		r.wantNothingKept(t, c.name)
	}
}

// A 101 that nobody asked for is none.
func TestUpgradeUnasked(t *testing.T) {
	for _, as := range []As{AsStream, AsSSE, AsPoll} {
		r := newRigAs(t, as, "http://127.0.0.1:8000/")
		r.dialAll()
		r.open(1)
		r.read(1, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		if got := r.result(); r.live(1) || got.FailedBy["status 101"]+got.ClosedBy["status 101"] != 1 {
			t.Errorf("%q: %+v", as, got)
		}
	}
}

// The subprotocol that -H asks for may be chosen.
func TestSubprotocol(t *testing.T) {
	h, err := ParseHeader([]string{"Sec-WebSocket-Protocol: other", "sec-websocket-protocol: cometctl.json"})
	if err != nil {
		t.Fatal(err)
	}
	targets, err := LoadTargets([]string{"ws://127.0.0.1:8000/ws/1"}, nil, Rules{Header: h})
	if err != nil {
		t.Fatal(err)
	}
	for protocol, open := range map[string]int{"cometctl.json": 1, "other": 1, "else": 0} {
		r := newRig(t, 1, "http://127.0.0.1:1/")
		r.plan.targets = targets
		r.lane = newLane(r.plan, 0)
		r.fakeLoop.h = handler{r.lane}
		r.dialAll()
		r.open(1)
		r.read(1, r.upgraded(t, 1, "", "Sec-WebSocket-Protocol: "+protocol+"\r\n"))
		if got := r.result(); got.Open != open {
			t.Errorf("%s: %+v, want %d open", protocol, got, open)
		}
	}
}

// At the end of a run a WebSocket says goodbye, and each connection has a key of its own.
func TestWebSocketStops(t *testing.T) {
	r := newRig(t, 2, "ws://127.0.0.1:8000/ws/{1..2}")
	r.dialAll()
	for c := range 2 {
		r.open(r.conns[c])
		r.read(r.conns[c], r.upgraded(t, c+1, "", ""))
	}
	if a, b := r.upgraded(t, 1, "", ""), r.upgraded(t, 2, "", ""); a == b {
		t.Error("two connections have one key")
	}
	before := r.result()
	r.lane.stop(r.fakeLoop)
	for c := range 2 {
		if said := strings.Join(r.said(t, c+1), "|"); said != "8 \x03\xe9" || r.conns[c] != 0 {
			t.Errorf("said %q at the end, live %v", said, r.conns[c] != 0)
		}
	}
	if got := r.result(); got.Open != 2 || before.Open != 2 || got.ClosedEarly != 0 {
		t.Errorf("%+v, want 2 open to the end", got)
	}
}

// A library's server is satisfied: it gets its pong, and its close back.
func TestWebSocketOfALibrary(t *testing.T) {
	verdict := make(chan error, 1)
	c := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verdict <- func() error {
			ws, err := websocket.Accept(w, r, nil)
			if err != nil {
				return err
			}
			defer ws.CloseNow()
			ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
			defer cancel()
			ctx = ws.CloseRead(ctx)
			for seq := range uint64(3) {
				if err := ws.Write(ctx, websocket.MessageText, []byte(stampText(seq+1))); err != nil {
					return err
				}
			}
			if err := ws.Write(ctx, websocket.MessageBinary, make([]byte, 200_000)); err != nil {
				return err
			}
			if err := ws.Ping(ctx); err != nil {
				return fmt.Errorf("ping: %w", err)
			}
			return ws.Close(websocket.StatusGoingAway, "enough")
		}()
	}))
	t.Cleanup(c.Close)
	targets, err := LoadTargets([]string{strings.Replace(c.URL, "http", "ws", 1) + "/ws/1"}, nil, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range engines() {
		f, err := New(Config{Targets: targets, Engine: engine})
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.Run(t.Context())
		if !errors.Is(err, ErrAllEnded) || r.Messages != 3 || r.Chunks != 4 || r.ClosedBy["close 1001"] != 1 {
			t.Errorf("%s: %v, %+v", engine, err, r)
		}
		if err := <-verdict; err != nil {
			t.Errorf("%s: the server says %v", engine, err)
		}
	}
}

// Each frame and each connection has a random number of its own, and no two loops have the same ones.
func TestKeys(t *testing.T) {
	a, b := newKeys(), newKeys()
	masks, nonces := map[uint32]bool{}, map[nonce]bool{}
	for range 8 {
		for _, k := range []keys{a, b} {
			masks[k.mask()], nonces[k.nonce()] = true, true
		}
	}
	if len(masks) < 15 || len(nonces) < 16 { // two masks may be equal, once in 30 million times
		t.Errorf("%d of 16 masks and %d of 16 nonces differ", len(masks), len(nonces))
	}
}
