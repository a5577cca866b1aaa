package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/slab"
)

// wantRefused fails unless the answer is of that status and says when to come back.
func wantRefused(t *testing.T, got string, status int) {
	t.Helper()
	if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", status)) || !strings.Contains(got, "\r\nRetry-After: ") {
		t.Errorf("refused with %q, want %d and Retry-After", got, status)
	}
}

func (s *Server) refusedBy(why cause) int64 { return s.counts.refused[why].Load() }

// Slow ones on purpose never keep out who comes: of those without a whole request, who has waited longest goes. Streams do not count.
func TestMaxHandshakes(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const most, slow = 3, 40
		s := start(t, Config{Engine: engine, Loops: 1, MaxHandshakes: most, MaxConns: 30})
		first := dial(t, s).stream("1")
		var all []*browser
		for i := range slow {
			b := dial(t, s)
			if i%2 == 0 {
				const half = "GET /test/2 HTTP/1.1\r\nHost:"
				inLoops(s, func(netloop.Loop, *frontLoop) {}) // turns before this one are counted
				before := s.meters[0].In.Load()
				b.say(half)
				until(t, "half a head has been read", func() bool { return s.meters[0].In.Load() >= before+int64(len(half)) })
			}
			all = append(all, b)
			if i%10 == 4 {
				good := dial(t, s).stream("3")
				good.Close()
			}
			if n := s.Stats().Conns.Waiting; n > most {
				t.Errorf("%d connections wait without a request", n)
			}
		}
		for i, b := range all[:slow-most] {
			got, err := io.ReadAll(b.r) // a reset where something arrived behind the end
			switch {
			case len(got) > 0:
				wantRefused(t, string(got), 503)
			case i%2 == 0 && err == nil:
				t.Errorf("%d said half a head and was told nothing", i)
			}
			b.Close()
		}
		until(t, "only the youngest are left", func() bool { return s.Stats().Conns.Open == 1+most })
		if n := s.refusedBy(causeHandshakes); n < slow-most {
			t.Errorf("%d were refused", n)
		}
		until(t, "the youngest wait", func() bool { return s.counts.waiting.Load() == most })
		last := all[slow-1]
		last.say("GET /test/3 HTTP/1.1\r\n" + hostLine) // slow, and in time
		if head := last.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			t.Errorf("the youngest got %q", head)
		}
		publish(t, s, "1\tone\n3\tthree\n")
		first.wantMessage(1, "one")
		last.wantMessage(1, "three")
	})
}

// A further request of a connection counts from its first byte to its last, and not while nothing is asked.
func TestHandshakesOfKeptConnections(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 1, MaxHandshakes: 2})
		var all []*browser
		for range 5 {
			b := dial(t, s)
			b.say("HEAD /test/1 HTTP/1.1\r\n" + hostLine)
			b.head()
			all = append(all, b)
		}
		if n := s.counts.waiting.Load(); n != 0 || s.refusedBy(causeHandshakes) != 0 {
			t.Errorf("%d wait", n)
		}
		for i, b := range all {
			b.say("HEAD /te")
			until(t, "it waits", func() bool {
				return s.counts.waiting.Load() == int64(min(i+1, 2)) && s.refusedBy(causeHandshakes) == int64(max(0, i-1))
			})
		}
		for _, b := range all[:3] {
			wantRefused(t, b.rest(), 503)
		}
		for _, b := range all[3:] {
			b.say("st/1 HTTP/1.1\r\n" + hostLine)
			b.head()
		}
		if n := s.counts.waiting.Load(); n != 0 {
			t.Errorf("%d wait after their requests", n)
		}
	})
}

// Where all places are taken, one that has had its time and not said what it wants gives way.
func TestFullMakesRoom(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 1, MaxConns: 3, HeadTimeout: 3 * time.Second})
		stream := dial(t, s).stream("1")
		silent := []*browser{dial(t, s), dial(t, s)}
		until(t, "they wait", func() bool { return s.counts.waiting.Load() == 2 })
		until(t, "there is room", func() bool {
			b := dial(t, s)
			defer b.Close()
			b.say("GET /test/2 HTTP/1.1\r\n" + hostLine)
			return strings.HasPrefix(b.head(), "HTTP/1.1 200 ")
		})
		if got := silent[0].rest(); got != "" {
			t.Errorf("the oldest was told %q", got)
		}
		if s.refusedBy(causeHandshakes) != 1 || s.refusedBy(causeHeadTimeout) != 0 {
			t.Errorf("%d cut, %d late", s.refusedBy(causeHandshakes), s.refusedBy(causeHeadTimeout))
		}
		publish(t, s, "1\tstill here\n")
		stream.wantMessage(1, "still here")
	})
}

// Who was answered and does not close keeps its descriptor only while there are plenty.
func TestAnsweredLinger(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 1, MaxConns: 5, DrainTimeout: patience})
		inLoops(s, func(netloop.Loop, *frontLoop) { s.most = 5 }) // descriptors are scarce
		for i := range 30 {
			b := dial(t, s)
			b.say("GET /nowhere HTTP/1.1\r\nConnection: close\r\n" + hostLine)
			if got := b.rest(); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
				t.Fatalf("client %d got %q", i, got)
			}
		} // none closes
		until(t, "few are left", func() bool { return s.Stats().Conns.Open <= lingerLeast })
		if n := s.counts.held.Load(); n != 0 {
			t.Errorf("%d places are held by who was answered", n)
		}
		dial(t, s).stream("1")
	})
}

func TestMaxConnsPerIP(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const most = 3
		s := start(t, Config{Engine: engine, MaxConnsPerIP: most})
		ends := []func(*browser){
			func(b *browser) { b.stream("1").Close() },
			func(b *browser) { b.stream("1").reset() },
			func(b *browser) { b.reset() },
			func(b *browser) { b.say("GET /te"); b.reset() },
			func(b *browser) { b.say("nonsense\r\n\r\n"); b.rest(); b.Close() },
			func(b *browser) {
				b.say("GET /nowhere HTTP/1.1\r\nConnection: close\r\n" + hostLine)
				b.rest()
				b.Close()
			},
			func(b *browser) { b.say("GET /test/1 HTTP/1.0\r\n\r\n"); b.head(); b.CloseWrite(); b.rest() },
		}
		for _, end := range ends {
			held := []*browser{dial(t, s).stream("2"), dial(t, s).stream("2")}
			last := dial(t, s)
			until(t, "the last is accepted, in whichever loop", func() bool { return s.counts.held.Load() == most })
			for range 3 {
				wantRefused(t, dial(t, s).rest(), 429)
			}
			end(last)
			until(t, "there is room", func() bool { return s.counts.held.Load() == most-1 })
			until(t, "its address has room", func() bool {
				s.hosts.mu.Lock()
				defer s.hosts.mu.Unlock()
				return s.hosts.by[hostAt(netip.MustParseAddr("127.0.0.1"))] == most-1
			})
			dial(t, s).stream("3").Close()
			for _, b := range held {
				b.Close()
			}
			until(t, "all have left", func() bool { return s.counts.held.Load() == 0 })
		}
		if n := s.refusedBy(causeFullIP); n != int64(3*len(ends)) {
			t.Errorf("%d were refused", n)
		}
		until(t, "no address is remembered", func() bool {
			s.hosts.mu.Lock()
			defer s.hosts.mu.Unlock()
			return len(s.hosts.by) == 0
		})
		s = start(t, Config{Engine: engine, MaxConnsPerIP: most, HeadTimeout: time.Second})
		for range most { // who says nothing at all, until the timeout
			dial(t, s)
		}
		until(t, "all are accepted, in whichever loop", func() bool { return s.counts.held.Load() == most })
		wantRefused(t, dial(t, s).rest(), 429)
		until(t, "they were too slow", func() bool { return s.refusedBy(causeHeadTimeout) == most })
		dial(t, s).stream("1")
	})
}

// Another address has places of its own.
func TestMaxConnsPerIPIsOfAnAddress(t *testing.T) {
	s := start(t, Config{MaxConnsPerIP: 1})
	dial(t, s).stream("1")
	wantRefused(t, dial(t, s).rest(), 429)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	nc, err := d.Dial("tcp", s.Comet().String())
	if err != nil {
		t.Skip("this system has one loopback address: ", err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	io.WriteString(nc, "HEAD /test/1 HTTP/1.1\r\n"+hostLine)
	got := make([]byte, 12)
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != "HTTP/1.1 200" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHostAt(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"0.0.0.0", "::", false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"::1", "127.0.0.1", false},
		{"fe80::1%eth0", "fe80::2", true},
	} {
		a, b := hostAt(netip.MustParseAddr(c.a)), hostAt(netip.MustParseAddr(c.b))
		if (a == b) != c.same || a == 0 || b == 0 {
			t.Errorf("%s is %x, %s is %x; the same: %t, want %t", c.a, a, c.b, b, a == b, c.same)
		}
	}
}

func TestMaxConnsPerID(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxConnsPerID: 2})
		first := dial(t, s).stream("1")
		dial(t, s).stream("1")
		third := dial(t, s)
		third.say("GET /test/7,1 HTTP/1.1\r\n" + hostLine) // 7 has room, and is not taken either
		got := third.head()
		wantRefused(t, got, 429)
		if st := s.Stats(); st.Router.Logins != 2 || st.Router.IDs != 1 || s.refusedBy(causeFullID) != 1 {
			t.Errorf("%+v, %d refused", st.Router, s.refusedBy(causeFullID))
		}
		io.CopyN(io.Discard, third.r, int64(len(refusals[causeFullID].text)))
		third.stream("2") // the same connection asks for another
		first.Close()
		until(t, "there is room", func() bool { return s.Stats().Router.Sessions == 2 })
		dial(t, s).stream("1")
		if n := publish(t, s, "1\tx\n2\tx\n").Copies; n != 3 {
			t.Errorf("%d copies", n)
		}
	})
}

// The first of a rate that lets one through in a hundred seconds has its stream, and the others are told when to come back.
func TestAcceptRate(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, AcceptRate: MinAcceptRate})
		b := dial(t, s).stream("1")
		for range 5 {
			wantRefused(t, dial(t, s).rest(), 503)
		}
		publish(t, s, "1\tone\n")
		b.wantMessage(1, "one")
		if n := s.refusedBy(causeRate); n != 5 || s.counts.held.Load() != 1 {
			t.Errorf("%d refused, %d places held", n, s.counts.held.Load())
		}
	})
}

func TestBucket(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		at    []time.Duration // who comes
		taken []bool
	}{
		{0, []time.Duration{0, 0, 0}, []bool{true, true, true}},
		{1, []time.Duration{0, 0, 999 * time.Millisecond, time.Second, time.Second, 3 * time.Second, 3 * time.Second}, []bool{true, false, false, true, false, true, false}},
		{2, []time.Duration{0, 0, 0, 500 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second, 5 * time.Second, 5 * time.Second},
			[]bool{true, true, false, true, false, true, true, false}},
		{0.01, []time.Duration{5 * time.Second, 104 * time.Second, 105 * time.Second}, []bool{true, false, true}},
	} {
		var b bucket
		b.init(c.rate)
		for i, now := range c.at {
			if got := b.take(now); got != c.taken[i] {
				t.Errorf("rate %v: number %d at %v is let through: %t", c.rate, i+1, now, got)
			}
		}
	}
	var b bucket // in the long run it is the rate, whatever comes
	b.init(1000)
	n := 0
	for now := time.Duration(0); now < 10*time.Second; now += 10 * time.Microsecond {
		if b.take(now) {
			n++
		}
	}
	if n < 10_990 || n > 11_001 { // the first second's worth at once
		t.Errorf("%d in 10 s at 1000/s", n)
	}
}

// The queue beside the plainest list that does the same, with slots that serve one connection after another.
func TestQueue(t *testing.T) {
	const slots = 200
	var clients slab.Slab[client]
	q := queue{flag: flagWaits, next: 1<<32 - 1000} // turns come around
	type waiter struct {
		c  netloop.Conn
		at time.Duration
	}
	var want []waiter
	rnd := rand.New(rand.NewPCG(1, 2))
	gen := uint64(0)
	longest := 0
	for now := range time.Duration(100_000) {
		slot := uint32(1 + rnd.IntN(slots))
		cl := clients.Reach(slot)
		at := -1
		for i, w := range want {
			if w.c.Slot() == slot {
				at = i
			}
		}
		switch {
		case at < 0 && q.leave(cl):
			t.Fatal("one left that did not stand there")
		case at < 0:
			gen++
			c := netloop.Conn(gen<<28 | uint64(slot))
			*cl = client{}
			q.push(&clients, c, cl, now)
			want = append(want, waiter{c, now})
		case rnd.IntN(3) == 0 || at > 0 && at < 3:
			if !q.leave(cl) {
				t.Fatal("one that stands there cannot leave")
			}
			want = append(want[:at], want[at+1:]...)
		}
		longest = max(longest, len(q.line))
		if rnd.IntN(5) == 0 {
			c, since, ok := q.oldest(&clients)
			if ok != (len(want) > 0) || ok && (c != want[0].c || since != want[0].at) {
				t.Fatalf("the oldest is %v since %v (%t), want the first of %v", c, since, ok, want)
			}
		}
		if q.n != len(want) {
			t.Fatalf("%d stand there, want %d", q.n, len(want))
		}
	}
	if longest > 2*slots+65 {
		t.Errorf("the line was %d long, for at most %d who stood there", longest, slots)
	}
}
