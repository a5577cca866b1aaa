package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/server/router"
)

// TestSubscriptions counts what NATS holds while sessions come and go.
func TestSubscriptions(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	a := join(t, e.URL(), Config{})
	for i, c := range []struct {
		do   func()
		want int
	}{
		{func() { a.login(t, "1", 1); a.login(t, "1", 2); a.login(t, "x.y", 1) }, 2},
		{func() { a.Logout(2) }, 2},
		{func() { a.Logout(1) }, 0},
		{func() { a.login(t, "1", 1); a.Logout(1); a.login(t, "1", 1) }, 1},
		{func() { a.Logout(1); a.login(t, "1", 1); a.Logout(1) }, 0},
	} {
		c.do()
		if err := a.Flush(brokertest.Within(t)); err != nil {
			t.Fatal(err)
		}
		if got := subscriptions(t, e); got != c.want || a.Stats().Subscribed != c.want {
			t.Errorf("step %d: NATS has %d subscriptions, the node %d, want %d", i+1, got, a.Stats().Subscribed, c.want)
		}
	}
	a.login(t, "1", 1)
	a.Close()
	brokertest.Until(t, "no subscription is left", func() bool { return subscriptions(t, e) == 0 })
	if err := a.Flush(context.Background()); !errors.Is(err, ErrDisconnected) {
		t.Errorf("Flush of a closed node: %v", err)
	}
}

// TestChurn logs sessions in and out from many goroutines, over few ids and while another node sends, and
// compares in the end what NATS knows with what is held.
func TestChurn(t *testing.T) {
	const owners, rounds, ids = 4, 1500, 23
	on := brokertest.Routed(t, 2)
	a, b := join(t, on[0].URL(), Config{}), join(t, on[1].URL(), Config{})
	id := func(i int) string { return []string{"%d", "room.%d"}[i%2] }
	name := func(i int) string { return fmt.Sprintf(id(i%ids), i%ids) }
	var all sync.WaitGroup
	for w := range owners {
		all.Go(func() {
			for i := range rounds {
				s := router.Session(w*rounds + i + 1)
				a.login(t, name(i*7+w), s)
				if i%2 == 0 {
					a.login(t, name(i+w), s)
				}
				if i < rounds-2 {
					a.Logout(s)
				}
			}
		})
	}
	all.Go(func() {
		for i := range rounds {
			b.send(t, name(i), "m", 0)
		}
	})
	all.Wait()
	settle(t, a.Router, b.Router)
	a.take()
	held := a.Local().IDs
	if got := subscriptions(t, on[0]); got != held || a.Stats().Subscribed != held || held == 0 {
		t.Errorf("%d ids are held, NATS has %d subscriptions, the node %d", held, got, a.Stats().Subscribed)
	}
	for i := range ids {
		want := uint64(0)
		if a.local.Holds([]byte(name(i))) {
			want = 1
		}
		was := a.Stats().Received
		b.send(t, name(i), "m", 0)
		delivered(t, a.Router, b.Router)
		if got := a.Stats().Received - was; got != want {
			t.Errorf("message for %s was received %d times, want %d", name(i), got, want)
		}
	}
}

// TestDropped fills the node's limit while Deliver blocks, and accounts for every message.
func TestDropped(t *testing.T) {
	const pending, messages = 4, 100
	e := brokertest.Embed(t, broker.EmbedConfig{})
	blocked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := newRouter(t, broker.ConnectConfig{URLs: []string{e.URL()}}, Config{Pending: pending}, func(router.Session, []byte, uint64) {
		once.Do(func() {
			close(blocked)
			<-release
		})
	})
	for _, id := range []string{"0", "1", "2"} {
		if err := slow.Login([]byte(id), 1+router.Session(id[0])); err != nil {
			t.Fatal(err)
		}
	}
	from := join(t, e.URL(), Config{})
	settle(t, slow, from.Router)
	send := func(n int) {
		for i := range n {
			from.send(t, fmt.Sprint(i%3), "m", 0)
		}
		flush(t, from.nc) // NATS has them,
		flush(t, slow.nc) // and this node has read them
	}
	send(1)
	<-blocked
	send(messages)
	brokertest.Until(t, "drops are told", func() bool { return slow.Stats().Dropped == messages-pending })
	slow.Logout(1 + '0') // what was dropped stays counted when the id is gone
	slow.Logout(1 + '1')
	close(release)
	brokertest.Until(t, "there is room for the pings of settle", func() bool { return slow.Stats().Received == 1+pending })
	settle(t, slow, from.Router)
	if st := slow.Stats(); st.Dropped != messages-pending || st.Received != 1+pending || st.Subscribed != 1 {
		t.Errorf("%+v", st)
	}
	send(1)
	if st := slow.Stats(); st.Dropped != messages-pending {
		t.Errorf("recovered: %+v", st)
	}
}

// TestSlowConsumer has a client that reads nothing; NATS cuts it off and says so.
func TestSlowConsumer(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{MaxPayload: 32 << 10, MaxPending: 64 << 10, WriteDeadline: brokertest.Patience})
	from := join(t, e.URL(), Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := fmt.Fprintf(conn, "CONNECT {}\r\nSUB %s 1\r\n", Subject([]byte("1"))); err != nil {
		t.Fatal(err)
	}
	brokertest.Until(t, "it has subscribed", func() bool { return subscriptions(t, e) == 1 })
	msg := make([]byte, 32<<10)
	for end := time.Now().Add(brokertest.Patience); e.SlowConsumers() == 0; {
		if _, err := from.Send([]byte("1"), msg, 0); err != nil || time.Now().After(end) {
			t.Fatalf("never cut off: %v", err)
		}
	}
	brokertest.Until(t, "its subscription is gone", func() bool { return subscriptions(t, e) == 0 })
	if got := e.SlowConsumers(); got != 1 {
		t.Errorf("%d slow consumers", got)
	}
}

// TestReentry calls everything within Deliver of a message from elsewhere.
func TestReentry(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	var a *Router
	ready := make(chan struct{})
	var did []string
	a = newRouter(t, broker.ConnectConfig{URLs: []string{e.URL()}}, Config{}, func(s router.Session, msg []byte, _ uint64) {
		<-ready
		did = append(did, string(msg))
		if string(msg) != "go" {
			return
		}
		a.Logout(s)
		if err := a.Login([]byte("2"), s); err != nil {
			t.Error(err)
		}
		if _, err := a.Send([]byte("2"), []byte("nested"), 0); err != nil {
			t.Error(err)
		}
		if c, err := a.SendConfirmed(brokertest.Within(t), []byte("3"), nil, 0); err != nil || !c.Offline() {
			t.Errorf("%+v, %v", c, err)
		}
		if err := a.Flush(brokertest.Within(t)); err != nil {
			t.Error(err)
		}
	})
	close(ready)
	if err := a.Login([]byte("1"), 1); err != nil {
		t.Fatal(err)
	}
	b := join(t, e.URL(), Config{})
	settle(t, a, b.Router)
	b.send(t, "1", "go", 0)
	b.send(t, "1", "late", 0)
	ping(t, b.Router, a)
	a.Close() // also so that did may be read
	if want := []string{"go", "nested"}; !slices.Equal(did, want) {
		t.Errorf("delivered %q, want %q", did, want)
	}
}
