package server

import (
	"maps"
	"net"
	"runtime"
	"testing"
)

// newPage is a page in memory of this process.
func newPage(t *testing.T) *Page {
	t.Helper()
	p, err := NewPage(make([]byte, PageSize))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A page says what the server says, and a server that took over an inherited listener serves there.
func TestPage(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a listening socket cannot be inherited here")
	}
	eachEngine(t, func(t *testing.T, engine string) {
		p := newPage(t)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		ln.Close()
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, Config{Engine: engine, MaxConns: 3, Page: p, Inherit: f})
		f.Close()
		if s.Comet().String() != ln.Addr().String() {
			t.Errorf("it serves on %s, want %s", s.Comet(), ln.Addr())
		}
		c := dial(t, s).stream("1")
		dial(t, s).stream("2").reset()
		until(t, "one has left", func() bool { return s.Stats().Conns.Open == 1 })
		for range 3 { // each has an account of its own
			publish(t, s, "1\thello\nnobody\thello\n")
		}
		for n := range 3 {
			c.wantMessage(n+1, "hello")
		}
		until(t, "all is settled", func() bool { return s.Stats().Ledger.Delivered == 3 })
		if got, want := p.Conns(), s.Stats().Conns; got != want || got.Accepted != 2 || got.Max != 3 {
			t.Errorf("the page says %+v, the server %+v", got, want)
		}
		if got, want := p.Ledger(), s.Stats().Ledger; got != want || got.Sent != 6 {
			t.Errorf("the page says %+v, the server %+v", got, want)
		}
		if room, most := p.Room(); room != 2 || most != 3 {
			t.Errorf("room for %d of %d", room, most)
		}
	})
}

func TestPageIsCleared(t *testing.T) {
	p := newPage(t)
	for i := range pageTallies + 2 { // one that has no place is counted somewhere else
		a := p.fresh()
		a.sent.Add(1)
		if inside := int64(min(i+1, pageTallies)); p.Ledger().Sent != inside {
			t.Errorf("%d accounts count %+v", i+1, p.Ledger())
		}
	}
	p.counts.accepted.Add(1)
	p.counts.held.Add(1)
	p.max.Store(7)
	p.Clear()
	room, most := p.Room()
	if p.Conns() != (ConnStats{}) || p.Ledger() != (Ledger{}) || room != 0 || most != 0 {
		t.Errorf("%+v, %+v, room for %d of %d", p.Conns(), p.Ledger(), room, most)
	}
	if p.fresh() != &p.tallies[0] {
		t.Error("it is used up")
	}
}

// What a process leaves behind that was killed between two of its counts.
func TestLedgerEnded(t *testing.T) {
	for _, c := range []struct{ left, want Ledger }{
		{Ledger{}, Ledger{}},
		{Ledger{Received: 9, Offline: 1, Copies: 8, Delivered: 5, Dropped: 1, Pending: 2}, Ledger{Received: 9, Offline: 1, Copies: 8, Delivered: 5, Dropped: 1, Gone: 2}},
		{Ledger{Received: 1}, Ledger{Received: 1, Copies: 1, Gone: 1}},                                                             // not handed over
		{Ledger{Received: 1, Pending: 1}, Ledger{Received: 1, Copies: 1, Gone: 1}},                                                 // pending, and not begun
		{Ledger{Received: 1, Copies: 1, Delivered: 1, Pending: 1}, Ledger{Received: 1, Copies: 1, Delivered: 1}},                   // delivered, and still pending
		{Ledger{Received: 1, Copies: 3, Delivered: 1, Gone: 1, Pending: 1}, Ledger{Received: 1, Copies: 3, Delivered: 1, Gone: 2}}, // three sessions
		{Ledger{Sent: 5, Forwarded: 3, Unpublished: 2}, Ledger{Sent: 5, Forwarded: 3, Unpublished: 2}},
	} {
		if got := c.left.Ended(); got != c.want {
			t.Errorf("%+v ended is %+v, want %+v", c.left, got, c.want)
		}
	}
}

func TestPageKnowsOwners(t *testing.T) {
	p := newPage(t)
	l := ledger{fresh: p.fresh}
	for _, owner := range []string{"A234567890123456", "", "B"} {
		tag, a := l.open(owner)
		a.received.Add(1)
		a.offline.Add(1)
		if owner == "B" { // its place is the next one's
			l.close(tag)
			l.open("C")
		}
	}
	got := map[string]int64{}
	p.Accounts(func(owner string, l Ledger) { got[owner] += l.Received })
	if want := map[string]int64{"A234567890123456": 1, "": 2, "C": 0}; !maps.Equal(got, want) {
		t.Errorf("owners are %v, want %v", got, want)
	}
	if p.Ledger().Received != 3 {
		t.Errorf("%+v", p.Ledger())
	}
}

func TestPageTooSmall(t *testing.T) {
	b := make([]byte, PageSize+1)
	for _, mem := range [][]byte{nil, b[:PageSize-1], b[1:]} {
		if _, err := NewPage(mem); err == nil {
			t.Errorf("%d bytes at %p are a page", len(mem), mem)
		}
	}
}
