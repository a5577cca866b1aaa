package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/server/router"
)

// TestRestart ends the NATS server under two nodes, lets things happen meanwhile, and starts it again.
func TestRestart(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	address := strings.TrimPrefix(e.URL(), "nats://")
	a, b := join(t, e.URL(), Config{}), join(t, e.URL(), Config{})
	a.login(t, "stays", 1)
	a.login(t, "leaves", 2)
	settle(t, a.Router, b.Router)
	b.send(t, "stays", "one", 0)
	delivered(t, a.Router, b.Router)

	e.Close()
	for _, n := range []*node{a, b} {
		brokertest.Until(t, "it notices", func() bool { return n.Stats().Outages == 1 })
		if err := n.Ready(); !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "since") {
			t.Errorf("without NATS: %v", err)
		}
	}
	a.Logout(2)
	a.login(t, "comes", 3)
	if rec := a.send(t, "stays", "two", 9); rec != (router.Receipt{Sessions: 1}) {
		t.Errorf("without NATS: %+v", rec)
	}
	if rec := b.send(t, "stays", "lost", 9); rec != (router.Receipt{}) {
		t.Errorf("without NATS: %+v", rec)
	}
	if c, err := a.SendConfirmed(brokertest.Within(t), []byte("stays"), []byte("three"), 8); !errors.Is(err, ErrDisconnected) || c.Sessions != 1 || c.Published {
		t.Errorf("confirmed without NATS: %+v, %v", c, err)
	}

	brokertest.Embed(t, broker.EmbedConfig{Listen: address})
	for _, n := range []*node{a, b} {
		brokertest.Until(t, "it is back", func() bool { return n.Ready() == nil })
	}
	settle(t, a.Router, b.Router)
	for _, id := range []string{"stays", "leaves", "comes"} {
		b.send(t, id, "to "+id, 0)
	}
	delivered(t, a.Router, b.Router)
	if got, want := a.take(), []string{"1 one 999", "1 two 9", "1 three 8", "1 to stays 999", "3 to comes 999"}; !slices.Equal(got, want) {
		t.Errorf("a delivered %q, want %q", got, want)
	}
	st := a.Stats()
	if st.Subscribed != 2 || st.Unpublished != 2 || st.Outages != 1 || st.Last.To.Before(st.Last.From) || st.Last.Cause == "" || st.Received != 3 {
		t.Errorf("a %+v", st)
	}
	if st := b.Stats(); st.Unpublished != 1 || st.Published != 4 {
		t.Errorf("b %+v", st)
	}
}

// TestFailover takes away the server of one node; it goes on with the next one, whose name it never was told.
func TestFailover(t *testing.T) {
	on := brokertest.Routed(t, 3)
	// The servers that are left may still believe that somebody behind the dead one has a's name, and then nobody answers a: it takes the
	// name when Confirm is over, here sooner than the test loses its patience.
	a, b := join(t, on[0].URL(), Config{Confirm: DefaultConfirm}), join(t, on[1].URL(), Config{})
	a.login(t, "1", 1)
	settle(t, a.Router, b.Router)
	on[0].Close()
	brokertest.Until(t, "a has another server", func() bool { return a.Ready() == nil && a.nc.ConnectedUrl() != on[0].URL() })
	settle(t, a.Router, b.Router)
	b.send(t, "1", "m", 0)
	delivered(t, a.Router, b.Router)
	if got := a.take(); !slices.Equal(got, []string{"1 m 999"}) {
		t.Errorf("delivered %q", got)
	}
}

// TestUnreachable starts nodes before NATS: one works for its own sessions, one refuses.
func TestUnreachable(t *testing.T) {
	address := brokertest.FreeAddress(t)
	log := &brokertest.Journal{}
	to := broker.ConnectConfig{URLs: []string{"nats://user:secret@" + address}, Log: log.Logger()}
	var got []string
	loose := newRouter(t, to, Config{Log: log.Logger()}, func(_ router.Session, msg []byte, _ uint64) { got = append(got, string(msg)) })
	strict := newRouter(t, to, Config{Required: true}, func(router.Session, []byte, uint64) { t.Error("delivered") })
	for _, r := range []*Router{loose, strict} {
		if err := r.Login([]byte("1"), 1); err != nil {
			t.Fatal(err)
		}
		if err := r.Ready(); !errors.Is(err, ErrDisconnected) {
			t.Errorf("Ready: %v", err)
		}
	}
	if rec, err := loose.Send([]byte("1"), []byte("m"), 0); err != nil || rec != (router.Receipt{Sessions: 1}) || !slices.Equal(got, []string{"m"}) {
		t.Errorf("Send: %+v, %v, delivered %q", rec, err, got)
	}
	if _, err := strict.Send([]byte("1"), []byte("m"), 0); !errors.Is(err, ErrDisconnected) {
		t.Errorf("Send where NATS is required: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := broker.Await(ctx, loose.nc, nil); !errors.Is(err, broker.ErrDisconnected) || !strings.Contains(err.Error(), address) {
		t.Errorf("Await: %v", err)
	}
	if said := log.String(); !strings.Contains(said, "cannot be reached") || !strings.Contains(said, address) || strings.Contains(said, "secret") {
		t.Errorf("log: %q", said)
	}
	brokertest.Embed(t, broker.EmbedConfig{Listen: address})
	for _, r := range []*Router{loose, strict} {
		if err := broker.Await(brokertest.Within(t), r.nc, nil); err != nil {
			t.Fatal(err)
		}
		brokertest.Until(t, "it is ready", func() bool { return r.Ready() == nil })
	}
	settle(t, loose, strict)
	if c, err := loose.SendConfirmed(brokertest.Within(t), []byte("2"), nil, 0); err != nil || !c.Offline() {
		t.Errorf("confirmed: %+v, %v", c, err)
	}
	if st := loose.Stats(); !st.Connected || st.Subscribed != 1 || st.Outages != 0 || st.Last.To.IsZero() {
		t.Errorf("%+v", st)
	}
}

func TestBadConfig(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{e.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	echoes, err := nats.Connect(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer echoes.Close()
	for _, c := range []struct {
		nc  *nats.Conn
		cfg Config
	}{{nc, Config{Name: "a b"}}, {nc, Config{Name: ">"}}, {nc, Config{Pending: -1}}, {nc, Config{Confirm: -1}}, {echoes, Config{}}} {
		if _, err := New(c.nc, c.cfg, nil); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	on := brokertest.Embed(t, broker.EmbedConfig{MaxPayload: 1024})
	a, b := join(t, on.URL(), Config{}), join(t, on.URL(), Config{})
	a.login(t, "1", 1)
	b.login(t, "1", 2)
	settle(t, a.Router, b.Router)
	if _, err := a.Send([]byte("1"), make([]byte, 1025), 0); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "1025 bytes, at most 1024") {
		t.Errorf("1025 bytes: %v", err)
	}
	if _, err := a.SendConfirmed(brokertest.Within(t), []byte("1"), make([]byte, 1025), 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("1025 bytes, confirmed: %v", err)
	}
	a.send(t, "1", strings.Repeat("m", 1024), 0)
	delivered(t, a.Router, b.Router)
	if gotA, gotB := len(a.take()), len(b.take()); gotA != 1 || gotB != 1 || a.Stats().Outages != 0 {
		t.Errorf("delivered %d and %d messages, want 1 and 1; %+v", gotA, gotB, a.Stats())
	}
}

// TestSameName starts nodes of one name one after the other, and then two at the same moment.
func TestSameName(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	join(t, e.URL(), Config{Name: "twin"})
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{e.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(nc, Config{Name: "twin"}, nil); !errors.Is(err, ErrName) || !strings.Contains(err.Error(), `"twin"`) {
		t.Errorf("second of a name: %v", err)
	}
	if !nc.IsClosed() {
		t.Error("the connection of the node that could not join is left open")
	}
	join(t, e.URL(), Config{Name: "Twin"})

	address := brokertest.FreeAddress(t)
	a, b := join(t, "nats://"+address, Config{Name: "twin"}), join(t, "nats://"+address, Config{Name: "twin"})
	brokertest.Embed(t, broker.EmbedConfig{Listen: address})
	brokertest.Until(t, "one of them has the name", func() bool {
		errA, errB := a.Ready(), b.Ready()
		return errA == nil && errors.Is(errB, ErrName) || errB == nil && errors.Is(errA, ErrName)
	})
}

func TestTLS(t *testing.T) {
	server, client := brokertest.Certificate(t)
	a := brokertest.Embed(t, broker.EmbedConfig{TLS: server, Cluster: "test"})
	b := brokertest.Embed(t, broker.EmbedConfig{TLS: server, Cluster: "test", Routes: []string{a.RouteURL()}})
	if err := b.Routed(brokertest.Within(t), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Connect(broker.ConnectConfig{URLs: []string{a.URL()}}); !errors.Is(err, broker.ErrConfig) {
		t.Errorf("with a certificate that nobody trusts: %v", err)
	}
	from := newRouter(t, broker.ConnectConfig{URLs: []string{a.URL()}, TLS: client}, Config{}, nil)
	var n node
	n.Router = newRouter(t, broker.ConnectConfig{URLs: []string{b.URL()}, TLS: client}, Config{}, n.deliver)
	n.login(t, "1", 1)
	settle(t, from, n.Router)
	if _, err := from.Send([]byte("1"), []byte("m"), 0); err != nil {
		t.Fatal(err)
	}
	delivered(t, from, n.Router)
	if got := n.take(); !slices.Equal(got, []string{"1 m 999"}) {
		t.Errorf("delivered %q", got)
	}
}
