package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/server/router"
	"cometctl/server/router/routertest"
)

// spread is several nodes that are one Router to the contract's suite: a session lives on one of them, a message is sent on the
// next one each time. It waits wherever the contract speaks of an order of events that NATS learns of later.
type spread struct {
	t     *testing.T
	nodes []*Router
	sends int
	dirty atomic.Bool // logins or logouts since the last Send
	tag   uint64      // of the last Send
	mu    sync.Mutex  // one Deliver at a time, as with a single node
}

func (s *spread) home(session router.Session) *Router {
	return s.nodes[uint64(session)%uint64(len(s.nodes))]
}

func (s *spread) Login(id []byte, session router.Session) error {
	s.dirty.Store(true)
	return s.home(session).Login(id, session)
}

func (s *spread) Logout(session router.Session) {
	s.dirty.Store(true)
	s.home(session).Logout(session)
}

func (s *spread) Send(id, msg []byte, tag uint64) (router.Receipt, error) {
	if s.dirty.Swap(false) {
		settle(s.t, s.nodes...)
	}
	s.mu.Lock() // also so that the goroutines that deliver see what the suite wrote
	s.tag = tag
	s.mu.Unlock()
	s.sends++
	before := s.handed()
	from := s.nodes[s.sends%len(s.nodes)]
	rec, err := from.Send(id, msg, tag)
	if err != nil {
		return rec, err
	}
	if !rec.Published {
		s.t.Errorf("Send(%q): not published", id)
	}
	for _, to := range s.nodes {
		if to != from {
			ping(s.t, from, to)
		}
	}
	rec.Sessions += int(s.handed() - before)
	return rec, nil
}

func (s *spread) handed() (n uint64) {
	for _, r := range s.nodes {
		n += r.Stats().Handed
	}
	return n
}

// newSpread has a node on each of the servers.
func newSpread(t *testing.T, on []*broker.Embedded, deliver router.Deliver) router.Router {
	s := &spread{t: t}
	for _, e := range on {
		r := newRouter(t, broker.ConnectConfig{URLs: []string{e.URL()}}, Config{}, func(to router.Session, msg []byte, tag uint64) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if tag == remoteTag {
				tag = s.tag
			}
			deliver(to, msg, tag)
		})
		s.nodes = append(s.nodes, r)
	}
	t.Cleanup(func() {
		for _, r := range s.nodes {
			if st := r.Stats(); st.Dropped+st.Echoes+st.Strays+st.Unpublished+st.Outages != 0 {
				t.Errorf("node %s: %+v", r.Name(), st)
			}
			r.Close()
		}
	})
	return s
}

func TestOneNode(t *testing.T) {
	on := brokertest.Routed(t, 1)
	routertest.Run(t, 30_000, func(t *testing.T, deliver router.Deliver) router.Router {
		return newRouter(t, broker.ConnectConfig{URLs: []string{on[0].URL()}}, Config{}, deliver)
	})
}

func TestThreeNodes(t *testing.T) {
	on := brokertest.Routed(t, 3)
	routertest.Run(t, 600, func(t *testing.T, deliver router.Deliver) router.Router { return newSpread(t, on, deliver) })
}

// TestLoginThereSendHere follows one message: who gets it, once, with which tag, in which order.
func TestLoginThereSendHere(t *testing.T) {
	on := brokertest.Routed(t, 3)
	a, b, c := join(t, on[0].URL(), Config{}), join(t, on[1].URL(), Config{}), join(t, on[2].URL(), Config{})
	a.login(t, "7", 1)
	b.login(t, "7", 2)
	b.login(t, "7", 3)
	settle(t, a.Router, b.Router, c.Router)
	if rec := a.send(t, "7", "one", 5); rec != (router.Receipt{Sessions: 1, Published: true}) {
		t.Errorf("from a: %+v", rec)
	}
	if rec := c.send(t, "7", "two", 6); rec != (router.Receipt{Published: true}) {
		t.Errorf("from c: %+v", rec)
	}
	delivered(t, a.Router, b.Router, c.Router)
	gotA, gotB := a.take(), b.take()
	if want := []string{"1 one 5", "1 two 999"}; !slices.Equal(gotA, want) {
		t.Errorf("a delivered %q, want %q", gotA, want)
	}
	slices.Sort(gotB)
	if want := []string{"2 one 999", "2 two 999", "3 one 999", "3 two 999"}; !slices.Equal(gotB, want) {
		t.Errorf("b delivered %q, want %q", gotB, want)
	}
	if got := c.take(); len(got) != 0 {
		t.Errorf("c delivered %q", got)
	}
}

// TestOrder has a publisher on each of two nodes; a third one receives, in each publisher's order and without a gap.
func TestOrder(t *testing.T) {
	const messages = 2000
	on := brokertest.Routed(t, 3)
	last := map[byte]int{}
	got := newRouter(t, broker.ConnectConfig{URLs: []string{on[0].URL()}}, Config{}, func(_ router.Session, msg []byte, _ uint64) {
		n := int(msg[1])<<8 | int(msg[2])
		if n != last[msg[0]]+1 {
			t.Errorf("publisher %d: message %d after %d", msg[0], n, last[msg[0]])
		}
		last[msg[0]] = n
	})
	for _, id := range []string{"1", "2", "3"} {
		if err := got.Login([]byte(id), 1); err != nil {
			t.Fatal(err)
		}
	}
	from := []*node{join(t, on[1].URL(), Config{}), join(t, on[2].URL(), Config{})}
	settle(t, got, from[0].Router, from[1].Router)
	var all sync.WaitGroup
	for i, n := range from {
		all.Go(func() {
			for m := 1; m <= messages; m++ {
				if rec, err := n.Send([]byte{byte('1' + m%3)}, []byte{byte(i), byte(m >> 8), byte(m)}, 0); err != nil || !rec.Published {
					t.Errorf("message %d: %+v, %v", m, rec, err)
				}
			}
		})
	}
	all.Wait()
	delivered(t, got, from[0].Router, from[1].Router)
	if last[0] != messages || last[1] != messages {
		t.Errorf("received up to %v, want %d of each", last, messages)
	}
}

// TestArrivals holds what a node hears of messages from elsewhere: whose they are, whether they are copies, whether somebody held the id.
func TestArrivals(t *testing.T) {
	on := brokertest.Routed(t, 2)
	var mu sync.Mutex
	var heard []string
	hear := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, fmt.Sprintf(format, args...))
	}
	a := join(t, on[0].URL(), Config{})
	names := map[string]string{a.nonce: "a", "": "somebody"}
	b := join(t, on[1].URL(), Config{
		Arrived: func(origin string, sole bool) uint64 {
			hear("from %s, sole %v", names[origin], sole)
			return 42
		},
		Unheld:  func(tag uint64, sole bool) { hear("unheld %d, sole %v", tag, sole) },
		Idle:    func() { hear("idle") },
		Account: func(origin string) []byte { return fmt.Appendf(nil, "%q", "account of "+names[origin]) },
	})
	a.login(t, "both", 1)
	b.login(t, "both", 2)
	b.login(t, "there", 2)
	settle(t, a.Router, b.Router)
	mu.Lock()
	heard = nil
	mu.Unlock()
	step := func(what string, do func(), want ...string) {
		t.Helper()
		do()
		delivered(t, a.Router, b.Router)
		mu.Lock()
		defer mu.Unlock()
		heard = slices.DeleteFunc(heard, func(s string) bool { return s == "idle" })
		if !slices.Equal(heard, want) {
			t.Errorf("%s: b heard %q, want %q", what, heard, want)
		}
		heard = nil
	}
	confirm := func(id string) {
		if _, err := a.SendConfirmed(brokertest.Within(t), []byte(id), []byte("m"), 0); err != nil {
			t.Error(err)
		}
	}
	step("without a session at the sender", func() { a.send(t, "there", "m", 0) }, "from a, sole true")
	step("beside one at the sender", func() { a.send(t, "both", "m", 0) }, "from a, sole false")
	step("confirmed", func() { confirm("there") }, "from a, sole true")
	step("confirmed, beside", func() { confirm("both") }, "from a, sole false")
	step("a stranger", func() {
		if err := stranger(t, on[0]).Publish(Subject([]byte("there")), []byte("m")); err != nil {
			t.Fatal(err)
		}
		brokertest.Until(t, "it came", func() bool { return b.Stats().Received == 5 })
	}, "from somebody, sole true")
	b.Logout(2)
	step("after the logout", func() { b.handle(&nats.Msg{Subject: Subject([]byte("there")), Reply: a.prefix + kindVoid + ".1"}, nil) },
		"from a, sole true", "unheld 42, sole true")
	answer, err := stranger(t, on[0]).Request(ledgerSubject, []byte(a.nonce), brokertest.Patience)
	if err != nil || string(answer.Data) != fmt.Sprintf(`{"node":%q,"ledger":"account of a"}`, b.Name()) {
		t.Errorf("account: %+v, %v", answer, err)
	}
}

// TestSettle holds that Offline has heard of everything when Settle returns.
func TestSettle(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	var offline atomic.Int64
	a := join(t, e.URL(), Config{Offline: func(tag uint64) { offline.Add(int64(tag)) }})
	want := int64(0)
	for range 20 {
		for range 100 {
			a.send(t, "nobody", "m", 1)
			want++
		}
		if err := a.Settle(brokertest.Within(t)); err != nil || offline.Load() != want {
			t.Fatalf("heard of %d of %d: %v", offline.Load(), want, err)
		}
	}
	if n := len(a.marks.by); n != 0 {
		t.Errorf("%d marks are left", n)
	}
	e.Close()
	brokertest.Until(t, "it notices", func() bool { return a.Ready() != nil })
	if err := a.Settle(context.Background()); !errors.Is(err, ErrDisconnected) || !errors.Is(err, router.ErrDisconnected) {
		t.Errorf("without NATS: %v", err)
	}
}

// TestAhead holds that publishers wait for NATS, and for no NATS for ever.
func TestAhead(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	a := join(t, e.URL(), Config{Offline: func(uint64) {}})
	msg := strings.Repeat("m", 1000)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2000 {
				if rec, err := a.Send([]byte("nobody"), []byte(msg), 0); err != nil || !rec.Published {
					t.Errorf("%+v, %v", rec, err)
					return
				}
				a.ahead.mu.Lock()
				if under := a.ahead.sent - a.ahead.confirmed; under > aheadMax+4*1100 {
					t.Errorf("%d bytes are unconfirmed", under)
				}
				a.ahead.mu.Unlock()
			}
		})
	}
	all.Wait()
	brokertest.Until(t, "nobody wanted any", func() bool { return a.Stats().Offline == 8000 })
	e.Close()
	for range 1000 { // ten times what may be under way
		if _, err := a.Send([]byte("nobody"), []byte(msg), 0); err != nil {
			t.Fatal(err)
		}
	}
	a.Close()
	for range 1000 {
		if rec, err := a.Send([]byte("nobody"), []byte(msg), 0); err != nil || rec.Published {
			t.Fatalf("closed: %+v, %v", rec, err)
		}
	}
}
