package server

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestHeadTimeout(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, HeadTimeout: 150 * time.Millisecond})
		stream := dial(t, s).stream("1")
		silent, half, drip := dial(t, s), dial(t, s), dial(t, s)
		half.say("GET /test/2 HTTP/1.1\r\nHost:")
		go func() { // bytes now and then do not help: the limit is that of the whole head
			for _, c := range "GET /test/" + strings.Repeat("3", 4000) {
				if _, err := io.WriteString(drip, string(c)); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		if got := silent.rest(); got != "" {
			t.Errorf("said nothing and was told %q", got)
		}
		for _, b := range []*browser{half, drip} {
			got := string(b.head()) // the drip may end in a reset
			if !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, "Connection: close") {
				t.Errorf("half a head got %q", got)
			}
			b.Close()
		}
		until(t, "closed", func() bool { return s.Stats().Conns.Open == 1 })
		publish(t, s, "1\tstill here\n") // whose head was whole in time has no limit
		stream.wantMessage(1, "still here")
		if c := s.Stats().Conns; c.Timeout != 3 || c.Streams != 1 || c.Bad != 0 {
			t.Errorf("counted %+v", c)
		}
	})
}

func TestMaxConns(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxConns: 2})
		first, second := dial(t, s).stream("1"), dial(t, s).stream("2")
		third := dial(t, s)
		third.say("GET /test/3 HTTP/1.1\r\n" + hostLine)
		got := third.rest()
		if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "\r\nRetry-After: 5\r\n") || !strings.Contains(got, "\r\nConnection: close\r\n") {
			t.Errorf("over the limit: %q", got)
		}
		// The refused one has not closed its side yet. Even so it takes nobody's place.
		first.Close()
		until(t, "a place is free", func() bool { return s.counts.held.Load() == 1 })
		fourth := dial(t, s).stream("4")
		publish(t, s, "1\tx\n2\ttwo\n3\tx\n4\tfour\n")
		second.wantMessage(1, "two")
		fourth.wantMessage(1, "four")
		third.Close()
		until(t, "the refused one is gone", func() bool { return s.Stats().Conns.Open == 2 })
		if got := dial(t, s).rest(); !strings.HasPrefix(got, "HTTP/1.1 503 ") { // without a request, too
			t.Errorf("over the limit again: %q", got)
		}
		c := s.Stats().Conns
		if c.Refused != 2 || c.Accepted != 5 || c.Streams != 3 || c.Max != 2 {
			t.Errorf("counted %+v", c)
		}
		wantLedger(t, s, Ledger{Sent: 4, Offline: 2, Copies: 2, Delivered: 2})
	})
}

// Very many who come at once, ten times what there is room for: exactly as many as there is room for get a stream.
func TestMaxConnsCrowd(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const room = 20
		s := start(t, Config{Engine: engine, MaxConns: room})
		var all []*browser
		for range 10 * room {
			all = append(all, dial(t, s))
		}
		served, refused := 0, 0
		for i, b := range all {
			io.WriteString(b, "GET /test/1 HTTP/1.1\r\n"+hostLine)
			switch head := b.head(); {
			case strings.HasPrefix(head, "HTTP/1.1 200 "):
				served++
			case strings.HasPrefix(head, "HTTP/1.1 503 "):
				refused++
			default:
				t.Errorf("client %d got %q", i, head)
			}
		}
		if served != room || refused != 9*room {
			t.Errorf("%d served, %d refused", served, refused)
		}
	})
}

// fill sends large messages to id, who does not read, until enough says so. It returns how many it sent, all in all.
func fill(t *testing.T, s *Server, id string, enough func(Ledger) bool) (sent int) {
	t.Helper()
	line := id + "\t" + strings.Repeat("m", 30_000) + "\n"
	for !enough(s.Stats().Ledger) {
		const n = 10
		publish(t, s, strings.Repeat(line, n))
		if sent += n; sent > 10_000 {
			t.Fatalf("300 MB and no end: %+v", s.Stats().Ledger)
		}
	}
	return sent
}

// stuck is for fill: of a whole round nothing was delivered, and nothing is for a while, so not even the kernel takes more.
func stuck(s *Server) func(Ledger) bool {
	last, since := s.Stats().Ledger, time.Now()
	return func(l Ledger) bool {
		idle := l.Delivered == last.Delivered && l.Dropped > last.Dropped
		pause := max(time.Millisecond, time.Since(since)/10) // longer where everything takes longer
		for range 30 {
			if !idle {
				break
			}
			time.Sleep(pause)
			idle = s.Stats().Ledger.Delivered == l.Delivered
		}
		last, since = l, time.Now()
		return idle
	}
}

func TestSlowDrop(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxPending: 100_000, SlowPolicy: SlowDrop})
		slow, good := dialTo(t, s.Comet().String(), 4<<10), dial(t, s).stream("2")
		slow.stream("1")
		sent := fill(t, s, "1", stuck(s))
		publish(t, s, "2\tnot your fault\n")
		good.wantMessage(1, "not your fault")
		l := s.Stats().Ledger
		if l.Pending == 0 || l.Gone != 0 || s.Stats().Conns.Slow != 0 {
			t.Errorf("ledger %+v: nothing pending although nobody reads, or a connection ended", l)
		}
		// It wakes up: everything that was not dropped is there, whole and numbered without a gap.
		got := make(chan int)
		go func() {
			n := 0
			for {
				text, err := slow.message(n + 1)
				if err != nil {
					t.Errorf("message %d: %v", n+1, err)
				}
				if err != nil || text == "the end" {
					got <- n
					return
				}
				n++
			}
		}()
		until(t, "the backlog has left", func() bool { return s.Stats().Ledger.Pending == 0 })
		publish(t, s, "1\tthe end\n")
		n := int64(<-got)
		l = s.Stats().Ledger
		wantLedger(t, s, Ledger{Sent: int64(sent) + 2, Copies: int64(sent) + 2, Delivered: n + 2, Dropped: int64(sent) - n})
	})
}

func TestSlowClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxPending: 100_000, SlowPolicy: SlowClose})
		good := dial(t, s).stream("2")
		dialTo(t, s.Comet().String(), 4<<10).stream("1")
		sent := fill(t, s, "1", func(l Ledger) bool { return l.Offline > 0 })
		publish(t, s, "2\tnot your fault\n")
		good.wantMessage(1, "not your fault")
		until(t, "nothing is on its way", func() bool { return s.Stats().Ledger.Pending == 0 })
		st := s.Stats()
		l := st.Ledger
		if st.Conns.Slow != 1 || st.Conns.Open != 1 || l.Dropped != 1 || l.Gone == 0 ||
			l.Sent != int64(sent)+1 || l.Sent != l.Delivered+l.Offline+l.Dropped+l.Gone {
			t.Errorf("%+v, ledger %+v, sent %d", st.Conns, l, sent+1)
		}
	})
}

// Readers that do not read fill what all may hold together and no more, whatever the policy; who reads gets everything, and the ledger knows
// what became of the rest.
func TestMaxPendingTotal(t *testing.T) {
	for _, policy := range []SlowPolicy{SlowDrop, SlowClose} {
		eachEngine(t, func(t *testing.T, engine string) {
			const stuck, bound = 20, 1 << 20 // of which 20 times MaxPending is more
			s := start(t, Config{Engine: engine, Loops: 1, MaxPending: 64 << 10, MaxPendingTotal: bound, SlowPolicy: policy})
			good := dial(t, s).stream("good")
			var lines strings.Builder
			for i := range stuck {
				id := strconv.Itoa(i)
				dialTo(t, s.Comet().String(), 4<<10).stream(id)
				lines.WriteString(id + "\t" + strings.Repeat("m", 3000) + "\n")
			}
			lines.WriteString("good\tnot your fault\n")
			sent := int64(0)
			for n := 1; ; n++ { // until each of them has been refused something, or is gone
				publish(t, s, lines.String())
				sent += stuck + 1
				good.wantMessage(n, "not your fault")
				st := s.Stats()
				if st.Conns.Pending > bound {
					t.Errorf("%d bytes are held after %d rounds", st.Conns.Pending, n)
				}
				if policy == SlowDrop && st.Ledger.Dropped > 10*stuck || policy == SlowClose && st.Conns.Open == 1 {
					break
				}
				if n > 1000 {
					t.Fatalf("60 MB and no end: %+v", st)
				}
			}
			st := s.Stats()
			l := st.Ledger
			if l.Sent != sent || l.Sent != l.Copies+l.Offline || l.Copies != l.Delivered+l.Dropped+l.Gone+l.Pending {
				t.Errorf("%d sent, ledger %+v", sent, l)
			}
			switch policy {
			case SlowDrop:
				if st.Conns.Pending < bound/2 || st.Conns.Open != stuck+1 || st.Conns.Slow != 0 || l.Gone != 0 {
					t.Errorf("drop: %+v, ledger %+v", st.Conns, l)
				}
			case SlowClose:
				if st.Conns.Slow != stuck || l.Dropped != stuck {
					t.Errorf("close: %+v, ledger %+v", st.Conns, l)
				}
				until(t, "nothing is held", func() bool { return s.Stats().Conns.Pending == 0 })
			}
		})
	}
}

// Where even the beginnings of messages are too much, who has taken nothing for the longest time is closed, whatever the policy.
func TestMaxPendingTotalCloses(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const stuck, bound = 10, 4 << 20
		s := start(t, Config{Engine: engine, Loops: 1, MaxPendingTotal: bound, MessageMax: 1 << 20})
		good := dial(t, s).stream("good")
		large := strings.Repeat("m", 1<<20)
		for i := range stuck {
			id := strconv.Itoa(i)
			dialTo(t, s.Comet().String(), 4<<10).stream(id)
			publish(t, s, id+"\t"+large+"\ngood\tnot your fault\n")
			good.wantMessage(i+1, "not your fault")
			until(t, "less than the bound is held", func() bool { return s.Stats().Conns.Pending <= bound })
		}
		st := s.Stats()
		l := st.Ledger
		if st.Conns.Slow < stuck-4 || st.Conns.Slow > stuck-2 || l.Gone != st.Conns.Slow || l.Sent != 2*stuck || l.Sent != l.Delivered+l.Gone+l.Pending {
			t.Errorf("%+v, ledger %+v", st.Conns, l)
		}
	})
}

// A message larger than the bound goes through when nothing else is pending, here and there.
func TestMessageLargerThanPending(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxPending: 1, MessageMax: 1 << 20})
		b := dial(t, s).stream("1")
		large := strings.Repeat("L", 1<<20)
		publish(t, s, "1\t"+large+"\n")
		b.wantMessage(1, large)
		wantLedger(t, s, Ledger{Sent: 1, Copies: 1, Delivered: 1})
	})
}

// Clients that reset in the middle of everything leave nothing behind.
func TestResets(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		for i := range 60 {
			b := dial(t, s)
			switch i % 4 {
			case 1:
				b.say("GET /te")
			case 2:
				b.say("GET /test/1 HTTP/1.1\r\n" + hostLine)
			case 3:
				b.stream("1")
			}
			b.reset()
		}
		until(t, "all gone", func() bool { st := s.Stats(); return st.Conns.Open == 0 && st.Router.Sessions == 0 })
		if n, _ := partials(s); n != 0 {
			t.Errorf("%d partial heads are kept", n)
		}
		if got := publish(t, s, "1\tanybody?\n"); got.Offline != 1 {
			t.Errorf("%+v", got)
		}
	})
}
