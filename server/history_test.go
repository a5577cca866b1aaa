package server

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cometctl/internal/netloop"
	"cometctl/server/history"
	"cometctl/server/router"
)

// nowhere is a session that no connection has: what is posted to it is gone.
const nowhere = router.Session(1<<56 - 1)

// TestHistoryAtRest sends to ids with and without a stream, and asks the history: streams are what they are without it.
func TestHistoryAtRest(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 2}})
		b := dial(t, s).stream("1")
		publish(t, s, "1\t<a>\n1\tb\n1\tc\nanna\tx\n")
		b.wantMessage(1, "&lt;a&gt;")
		b.wantMessage(2, "b")
		b.wantMessage(3, "c")
		wantLedger(t, s, Ledger{Sent: 4, Offline: 1, Copies: 3, Delivered: 3})
		if h := s.Stats().History; h.IDs != 2 || h.Messages != 3 || h.Total != history.DefaultTotal || h.Bytes == 0 || h.Reserved < h.Bytes {
			t.Errorf("%+v", h)
		}
		var got []string
		_, whole, busy, err := s.history.TryResume([]byte("1"), 0, true, func() error { return nil }, func(_ uint64, msg []byte) { got = append(got, string(msg)) })
		if fmt.Sprint(got) != "[b c]" || !whole || busy || err != nil {
			t.Errorf("kept are %v, whole %v, busy %v, %v", got, whole, busy, err)
		}
		s.counts.replayed.Add(2)
		wantLedger(t, s, Ledger{Sent: 4, Offline: 1, Copies: 3, Delivered: 3, Replayed: 2})
	})
}

// TestHistoryUnderPressure fills the mailboxes of loops that resume meanwhile: publishers wait for the loops with the ids locked, and a loop
// that waited for an id would wait for ever.
func TestHistoryUnderPressure(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 5, Bytes: 8 << 10}, MessageMax: 1 << 20})
		s.show(1)
		var idle []*browser // nobody reads
		for i := range 4 {
			idle = append(idle, dial(t, s).stream(fmt.Sprint(i)))
		}
		var publishers, resumes sync.WaitGroup
		var done atomic.Bool
		var resumed atomic.Int64
		text := strings.Repeat("m", 100_000)
		for range 3 {
			publishers.Go(func() {
				var lines strings.Builder
				for i := range 100 {
					fmt.Fprintf(&lines, "%d\t%s\n", i%4, text)
				}
				if a, err := askAdmin(s, "POST", "/send", "", strings.NewReader(lines.String())); err != nil || a.status != 200 {
					t.Errorf("%d %s, %v", a.status, a.body, err)
				}
			})
		}
		for loop := range s.Loops() {
			resumes.Add(1)
			var again func(l netloop.Loop)
			id := fmt.Append(nil, loop)
			again = func(l netloop.Loop) {
				_, _, busy, err := s.history.TryResume(id, 1, true, func() error { return s.router.Login(id, nowhere) }, func(uint64, []byte) {})
				if err != nil {
					t.Error(err)
				}
				if busy {
					s.history.OnFree(id, func() { s.engine.Do(loop, again) })
					return
				}
				s.router.Logout(nowhere)
				if resumed.Add(1); done.Load() {
					resumes.Done()
					return
				}
				go s.engine.Do(loop, again)
			}
			s.engine.Do(loop, again)
		}
		publishers.Wait()
		if resumed.Load() < 10 {
			t.Errorf("resumed %d times while three published", resumed.Load())
		}
		done.Store(true)
		resumes.Wait()
		for _, b := range idle {
			b.reset()
		}
		until(t, "nothing is on its way", func() bool { return s.Stats().Ledger.Pending == 0 })
		if l := s.Stats().Ledger; l.Sent != 300 || l.Copies != l.Delivered+l.Dropped+l.Gone {
			t.Errorf("%+v", l)
		}
	})
}

// A server that shows no numbers has no history, and nobody to look after it. The first that shows them has what is old forgotten.
func TestHistoryIsSwept(t *testing.T) {
	s := start(t, Config{History: history.Config{TTL: time.Second}})
	publish(t, s, "1\tm\n")
	if h := s.Stats().History; h.IDs != 0 || s.history.Active() {
		t.Errorf("%+v", h)
	}
	s.show(1)
	s.show(-1)
	if _, _, _, err := s.history.TryResume([]byte("1"), 0, false, func() error { return nil }, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, s, "1\tm\n2\tm\n")
	if h := s.Stats().History; h.IDs != 1 || h.Messages != 0 {
		t.Errorf("%+v", h)
	}
	until(t, "it is forgotten", func() bool { return !s.history.Active() })
}

// cutOff is a cluster of one node that loses messages of others when it is told to.
type cutOff struct {
	router.Router
	local *router.Local
	lost  atomic.Uint64
}

func (c *cutOff) SendConfirmed(context.Context, []byte, []byte, uint64) (router.Confirmation, error) {
	return router.Confirmation{}, nil
}
func (c *cutOff) AskAll(context.Context, []byte, func([]byte)) error { return nil }
func (c *cutOff) Sessions(dst []router.Session, id []byte, most int) ([]router.Session, int, error) {
	return c.local.Sessions(dst, id, most)
}
func (c *cutOff) Settle(context.Context) error { return nil }
func (c *cutOff) Holds(id []byte) bool         { return c.local.Holds(id) }
func (c *cutOff) Local() router.Stats          { return c.local.Stats() }
func (c *cutOff) Ready() error                 { return nil }
func (c *cutOff) Status() ClusterStats         { return ClusterStats{Overrun: c.lost.Load()} }
func (c *cutOff) Close()                       {}

// TestHistoryOfANode loses messages on their way from other nodes: who comes back is told a gap.
func TestHistoryOfANode(t *testing.T) {
	c := &cutOff{}
	s := start(t, Config{History: history.Config{Messages: 5, TTL: time.Second}, Join: func(h Hooks) (Cluster, error) {
		c.local = router.NewLocal(h.Deliver)
		c.local.Through(h.Stage)
		c.Router = c.local
		return c, nil
	}})
	id := []byte("1")
	login := func() error { return s.router.Login(id, nowhere) } // it stays, so that nothing of it is forgotten
	at, _, _, err := s.history.TryResume(id, 0, false, login, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.lost.Add(1)
	until(t, "a gap is told", func() bool {
		_, whole, busy, err := s.history.TryResume(id, at, true, login, func(uint64, []byte) {})
		return !busy && !whole && err == nil
	})
	if !s.history.Has(id) || s.Stats().Ledger.Overrun != 1 {
		t.Errorf("%+v", s.Stats().Ledger)
	}
}

func TestHistoryWithoutFront(t *testing.T) {
	s := start(t, Config{NoFront: true, History: history.Config{Messages: 5}})
	publish(t, s, "1\tm\n")
	if h := s.Stats().History; h != (history.Stats{}) || s.history.Active() {
		t.Errorf("%+v", h)
	}
}

func TestPageTellsReplays(t *testing.T) {
	p := newPage(t)
	p.counts.replayed.Add(3)
	var sum Ledger
	p.Accounts(func(_ string, l Ledger) { sum.Add(l) })
	if sum.Replayed != 3 || p.Ledger().Replayed != 3 {
		t.Errorf("accounts %+v, ledger %+v", sum, p.Ledger())
	}
}

// TestTornStreams loses messages of other nodes while clients are there: before the next message of their id they are told, once, and nobody
// is who came later and knows his position.
func TestTornStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		c := &cutOff{}
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 5, TTL: time.Second}, Join: func(h Hooks) (Cluster, error) {
			c.local = router.NewLocal(h.Deliver)
			c.local.Through(h.Stage)
			c.Router = c.local
			return c, nil
		}})
		at, _, _, err := s.history.TryResume([]byte("1"), 0, false, func() error { return s.router.Login([]byte("1"), nowhere) }, nil)
		if err != nil {
			t.Fatal(err)
		}
		first, both, html, events := dial(t, s), dial(t, s), dial(t, s), dial(t, s)
		first.begin("/test/1", "Accept: application/x-ndjson\r\n")
		both.begin("/test/2,1", "Accept: application/x-ndjson\r\n")
		html.stream("1")
		events.begin("/events/1", "")
		events.wantChunk(fmt.Sprintf("%sid: %d\n\n", retryChunk, at))
		poll := dial(t, s)
		poll.ask(fmt.Sprintf("/poll/1?since=%d", at), "")
		until(t, "all are there", func() bool { return s.Stats().Router.Sessions == 6 })
		c.lost.Add(1)
		later := dial(t, s)
		until(t, "it is noticed", func() bool {
			later.ask("/poll/1?wait=0", "")
			resp, _ := later.response()
			return resp.Header.Get("Last-Event-ID") == fmt.Sprint(at+1)
		})
		later.ask(fmt.Sprintf("/poll/1?since=%d", at+1), "")
		until(t, "it waits", func() bool { return s.Stats().Router.Sessions == 7 })
		publish(t, s, "1\tone\n1\ttwo\n2\tthree\n")
		gap := fmt.Sprintf(`{"id":"1","n":%d,"gap":true}`+"\n", at+1)
		one := fmt.Sprintf(`{"id":"1","n":%d,"msg":"one"}`+"\n", at+2)
		two := fmt.Sprintf(`{"id":"1","n":%d,"msg":"two"}`+"\n", at+3)
		first.wantChunk(gap + one)
		first.wantChunk(two)
		both.wantChunk(gap + one)
		both.wantChunk(two)
		if chunk, err := both.chunk(); err != nil || !strings.HasPrefix(chunk, `{"id":"2"`) || !strings.Contains(chunk, `"gap":true}`) {
			t.Errorf("of the other id: %q, %v", chunk, err)
		}
		html.wantMessage(1, "one")
		if chunk, err := events.chunk(); err != nil || !strings.Contains(chunk, "\nevent: gap\n") || !strings.HasSuffix(chunk, fmt.Sprintf("id: %d\ndata: one\n\n", at+2)) {
			t.Errorf("%q, %v", chunk, err)
		}
		events.wantChunk(fmt.Sprintf("id: %d\ndata: two\n\n", at+3))
		if _, body := poll.response(); body != gap+one {
			t.Errorf("who polled is told %q", body)
		}
		if _, body := later.response(); body != one {
			t.Errorf("who polled later is told %q", body)
		}
	})
}

func TestPageTellsHistory(t *testing.T) {
	p := newPage(t)
	s := start(t, Config{Page: p})
	dial(t, s).begin("/events/1", "Last-Event-ID: 5\r\n")
	if h := p.History(); h != (history.Stats{Resumed: 1, Gaps: 1}) {
		t.Errorf("%+v", h)
	}
}
