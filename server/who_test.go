package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// askWho asks the admin listener for the sessions of an id, or to end them.
func askWho(t testing.TB, s *Server, method, id string) (w whoAnswer) {
	t.Helper()
	a := admin(t, s, method, "/who/"+id, "", nil)
	if err := json.Unmarshal([]byte(a.body), &w); err != nil || a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s /who/%s: %d %v %q, %v", method, id, a.status, a.header, a.body, err)
	}
	return w
}

func TestWho(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 3})
		before := time.Now().UTC().Add(-2 * time.Second)
		var peers []string
		for range 5 {
			peers = append(peers, dial(t, s).stream("12").LocalAddr().String())
		}
		both := dial(t, s).stream("12,anna").LocalAddr().String()
		peers = append(peers, both)
		dial(t, s).stream("13")
		publish(t, s, "12\tx\n12\ty\nanna\tz\n")
		wantLedger(t, s, Ledger{Sent: 3, Copies: 13, Delivered: 13})
		w := askWho(t, s, "GET", "12")
		if w.ID != "12" || w.Sessions != 6 || w.Ended != nil || w.Error != "" || len(w.Nodes) != 1 || w.Nodes[0].Node != "" || w.Nodes[0].Sessions != 6 || w.Nodes[0].Late {
			t.Errorf("%+v", w)
		}
		var got []string
		for _, c := range w.Nodes[0].List {
			got = append(got, c.Peer)
			want := uint32(2)
			if c.Peer == both {
				want = 3
			}
			if c.Messages == nil || *c.Messages != want || c.Dialect != "html" || c.Pending != 0 || c.Since.Before(before) || c.Since.After(time.Now()) || c.Since.Nanosecond() != 0 {
				t.Errorf("%+v", c)
			}
		}
		slices.Sort(got)
		slices.Sort(peers)
		if !slices.Equal(got, peers) {
			t.Errorf("the peers are %q, want %q", got, peers)
		}
		if w := askWho(t, s, "GET", "anna"); w.Sessions != 1 || len(w.Nodes[0].List) != 1 || w.Nodes[0].List[0].Peer != both {
			t.Errorf("anna: %+v", w)
		}
		if w := askWho(t, s, "GET", "nobody"); w.Sessions != 0 || len(w.Nodes) != 1 || w.Nodes[0].List != nil {
			t.Errorf("nobody: %+v", w)
		}
		for path, status := range map[string]int{"/who/a%20b": 400, "/who/%C3%BC": 400, "/who/" + strings.Repeat("x", 129): 400, "/who/": 404, "/who/1/2": 404, "/who": 404} {
			for _, method := range []string{"GET", "DELETE"} {
				if a := admin(t, s, method, path, "", nil); a.status != status {
					t.Errorf("%s %.20s: %d %q, want %d", method, path, a.status, a.body, status)
				}
			}
		}
		if a := admin(t, s, "POST", "/who/12", "", nil); a.status != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", a.status)
		}
	})
}

// The list has a bound, the count has none.
func TestWhoMany(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		const many = whoMost + kickBatch + 30
		var all []*browser
		for range many {
			all = append(all, dial(t, s).stream("1"))
		}
		if w := askWho(t, s, "GET", "1"); w.Sessions != many || len(w.Nodes[0].List) != whoMost {
			t.Errorf("%d sessions, %d in the list", w.Sessions, len(w.Nodes[0].List))
		}
		if w := askWho(t, s, "DELETE", "1"); w.Sessions != many || !w.Nodes[0].Late && *w.Ended != many || w.Nodes[0].List != nil {
			t.Errorf("%+v", w)
		}
		for _, b := range all {
			if got := b.rest(); got != wire.LastChunk {
				t.Fatalf("a session ended with %q", got)
			}
		}
	})
}

func TestKick(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		out := dial(t, s).stream("7,8")
		other := dial(t, s).stream("8")
		publish(t, s, "7\tx\n")
		if w := askWho(t, s, "DELETE", "7"); w.Sessions != 1 || w.Ended == nil || *w.Ended != 1 || len(w.Nodes) != 1 || w.Nodes[0].Ended != 1 {
			t.Errorf("%+v", w)
		}
		out.wantMessage(1, "x")
		if got := out.rest(); got != wire.LastChunk {
			t.Errorf("it ended with %q", got)
		}
		out.Close()
		until(t, "its end is counted", func() bool { return s.counts.closed[causeKicked].Load() == 1 })
		if w := askWho(t, s, "DELETE", "7"); w.Sessions != 0 || w.Ended == nil || *w.Ended != 0 {
			t.Errorf("again: %+v", w)
		}
		// A session under two ids ended as a whole, and nobody else did.
		if w := askWho(t, s, "GET", "8"); w.Sessions != 1 || w.Nodes[0].List[0].Peer != other.LocalAddr().String() {
			t.Errorf("%+v", w)
		}
		publish(t, s, "8\ty\n")
		wantLedger(t, s, Ledger{Sent: 2, Copies: 2, Delivered: 2})
	})
}

// A WebSocket is seen, and ends with a reason.
func TestKickWebSocket(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s).upgrade("7", "")
		publish(t, s, "7\tx\n")
		if w := askWho(t, s, "GET", "7"); w.Sessions != 1 || len(w.Nodes[0].List) != 1 || w.Nodes[0].List[0].Dialect != "websocket" || w.Nodes[0].List[0].Messages != nil {
			t.Errorf("%+v", w)
		}
		if w := askWho(t, s, "DELETE", "7"); *w.Ended != 1 {
			t.Errorf("%+v", w)
		}
		b.wantFrame("1:x")
		b.wantClose(wire.ClosePolicy)
		b.Close()
		until(t, "its end is counted", func() bool { return s.counts.closed[causeKicked].Load() == 1 })
	})
}

// A loop that has no time is not waited for, and what it still has to do is done.
func TestWhoBusyLoop(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 1})
		b := dial(t, s).stream("1")
		busy, free := make(chan bool), make(chan bool)
		go s.engine.Do(0, func(netloop.Loop) { close(busy); <-free })
		<-busy
		if w := askWho(t, s, "GET", "1"); w.Sessions != 1 || !w.Nodes[0].Late || w.Nodes[0].List != nil {
			t.Errorf("%+v", w)
		}
		if w := askWho(t, s, "DELETE", "1"); w.Sessions != 1 || !w.Nodes[0].Late || *w.Ended != 0 {
			t.Errorf("%+v", w)
		}
		close(free)
		if got := b.rest(); got != wire.LastChunk {
			t.Errorf("it ended with %q", got)
		}
	})
}

// A place that serves somebody else by now is left alone.
func TestKickStale(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 1})
		first := dial(t, s).stream("1")
		sessions, _, _ := s.local.Sessions(nil, []byte("1"), 1)
		first.Close()
		until(t, "it is gone", func() bool { return s.counts.open.Load() == 0 })
		second := dial(t, s).stream("2")
		again, _, _ := s.local.Sessions(nil, []byte("2"), 1)
		if netloop.Conn(sessions[0]).Slot() != netloop.Conn(again[0]).Slot() {
			t.Fatal("the slot was not used again: nothing is shown")
		}
		done := make(chan whoNode, 1)
		s.kick(0, []netloop.Conn{netloop.Conn(sessions[0])}, done)
		if n := <-done; n.Ended != 0 {
			t.Errorf("%+v", n)
		}
		publish(t, s, "2\tx\n")
		second.wantMessage(1, "x")
	})
}

// Questions that are none are not answered.
func TestAskedNonsense(t *testing.T) {
	s := start(t, Config{})
	dial(t, s).stream("1")
	for question, answered := range map[string]bool{"": false, "null": false, "{}": false, `{"id":"a b"}`: false, `{"id":1}`: false, `{"id":"1"}`: true, `{"id":"1","new":2}`: true} {
		var n whoNode
		text := s.asked([]byte(question))
		if (text != nil) != answered || answered && (json.Unmarshal(text, &n) != nil || n.Sessions != 1) {
			t.Errorf("%q is answered with %q", question, text)
		}
	}
}

func TestDialectNames(t *testing.T) {
	for d := range dialects {
		if d.String() == "" {
			t.Errorf("dialect %d has no name", d)
		}
	}
}
