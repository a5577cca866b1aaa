package node

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/server"
	"cometctl/server/cluster"
)

func start(t *testing.T, cfg Config) *Node {
	t.Helper()
	free(&cfg)
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func free(cfg *Config) {
	cfg.Server.Listen, cfg.Server.Admin = "127.0.0.1:0", "127.0.0.1:0"
	if e := cfg.Embed; e != nil {
		e.Listen = "127.0.0.1:0"
		if e.Cluster != "" {
			e.RouteOn = "127.0.0.1:0"
		}
	}
}

// post sends a body to a node's admin listener.
func post(t *testing.T, n *Node, path, body string) (status int, answer string) {
	t.Helper()
	resp, err := http.Post("http://"+n.Admin().String()+path, "text/tab-separated-values", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// stream opens a stream, and reads it to its end, and returns when its head is there.
func stream(t *testing.T, n *Node, id string) {
	t.Helper()
	resp, err := http.Get("http://" + n.Comet().String() + "/test/" + id)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
}

// joined waits until a node knows all its ids on NATS.
func joined(t *testing.T, n *Node, ids int) {
	t.Helper()
	brokertest.Until(t, "its ids are known", func() bool {
		st := n.Stats()
		return st.Router.IDs == int64(ids) && st.Cluster.Subscribed == ids && st.Cluster.Waiting == 0
	})
	heard(t, n)
}

// heard waits until NATS has read all that a node, or its workers, have told it.
func heard(t testing.TB, n *Node) {
	t.Helper()
	if err := n.router.Flush(brokertest.Within(t)); err != nil {
		t.Fatal(err)
	}
	for _, w := range n.Stats().Workers {
		if err := n.router.Ping(brokertest.Within(t), WorkerName(n.Name(), w.Index)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAlone(t *testing.T) {
	n := start(t, Config{})
	if clients, routes := n.NATS(); n.Name() != "" || clients != "" || routes != "" || n.Stats().Cluster != nil {
		t.Errorf("a server that is alone is node %q, NATS at %q and %q", n.Name(), clients, routes)
	}
	if _, answer := post(t, n, "/send/1", "m"); !strings.Contains(answer, `"offline":1`) || strings.Contains(answer, "forwarded") {
		t.Errorf("answer %s", answer)
	}
}

// TestLedger follows messages between a router and two fronts, each with a NATS server of one cluster, and adds up.
func TestLedger(t *testing.T) {
	first := start(t, Config{Server: server.Config{NoFront: true}, Embed: &broker.EmbedConfig{Cluster: "test"}})
	nodes := []*Node{first}
	_, route := first.NATS()
	for range 2 {
		nodes = append(nodes, start(t, Config{Embed: &broker.EmbedConfig{Cluster: "test", Routes: []string{route}}}))
	}
	for _, n := range nodes {
		brokertest.Until(t, "routes", func() bool { return n.Stats().Cluster.Servers == 2 })
	}
	stream(t, nodes[1], "a")
	stream(t, nodes[2], "b")
	joined(t, nodes[1], 1)
	joined(t, nodes[2], 1)
	// Interest spreads behind a message that comes back confirmed.
	for _, n := range nodes {
		for _, id := range []string{"a", "b"} {
			brokertest.Until(t, "it reaches "+id, func() bool {
				_, answer := post(t, n, "/send/"+id, "m")
				return strings.Contains(answer, `"remote":1`) || strings.Contains(answer, `"delivered":1`)
			})
		}
	}
	for _, n := range nodes {
		if status, answer := post(t, n, "/send", "a\tone\nb\ttwo\nc\tthree\n"); status != 200 || !strings.Contains(answer, `"offline":1`) {
			t.Errorf("%s: %d %s", n.Name(), status, answer)
		}
	}
	var sum server.Ledger
	brokertest.Until(t, "all has arrived", func() bool {
		sum = server.Ledger{}
		for _, n := range nodes {
			sum.Add(n.Stats().Ledger)
		}
		return sum.Forwarded == sum.Received && sum.Delivered == sum.Copies
	})
	if sum.Sent+sum.Received != sum.Delivered+sum.Offline+sum.Forwarded || sum.Delivered < 12 || sum.Offline < 3 || sum.Unpublished != 0 || sum.Overrun != 0 {
		t.Errorf("%+v", sum)
	}
	for _, n := range nodes {
		l := n.Stats().Ledger
		if l.Sent+l.Received != l.Delivered+l.Offline+l.Forwarded {
			t.Errorf("node %s: %+v", n.Name(), l)
		}
	}
	if status, answer := post(t, first, "/send/a", strings.Repeat("m", 1<<20)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large message: %d %s", status, answer)
	}
}

// TestOutside joins a NATS that is not there yet, loses it, and gets it back.
func TestOutside(t *testing.T) {
	address := brokertest.FreeAddress(t)
	to := broker.ConnectConfig{URLs: []string{"nats://" + address}}
	loose, strict := start(t, Config{NATS: to}), start(t, Config{NATS: to, Server: server.Config{Required: true}})
	ready := func(n *Node) int {
		resp, err := http.Get("http://" + n.Admin().String() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	stream(t, loose, "1")
	stream(t, strict, "1")
	for range 2 {
		if got := ready(loose); got != http.StatusServiceUnavailable {
			t.Errorf("/readyz without NATS: %d", got)
		}
		before := loose.Stats().Ledger
		if _, answer := post(t, loose, "/send/1", "m"); !strings.Contains(answer, `"delivered":1`) {
			t.Errorf("to a session here: %s", answer)
		}
		if _, answer := post(t, loose, "/send/2", "m"); !strings.Contains(answer, `"unpublished":1`) {
			t.Errorf("to nobody here: %s", answer)
		}
		if _, answer := post(t, loose, "/send", "1\tm\n2\tm\n"); !strings.Contains(answer, `"unpublished":1`) || !strings.Contains(answer, `"delivered":1`) {
			t.Errorf("a stream: %s", answer)
		}
		if l := loose.Stats().Ledger; l.Sent-before.Sent != 4 || l.Unpublished-before.Unpublished != 2 || l.Sent != l.Delivered+l.Unpublished {
			t.Errorf("%+v", l)
		}
		if status, answer := post(t, strict, "/send/1", "m"); status != http.StatusServiceUnavailable || !strings.Contains(answer, "not connected to NATS") {
			t.Errorf("where NATS is required: %d %s", status, answer)
		}
		if _, answer := post(t, strict, "/send", "1\tm\n"); !strings.Contains(answer, `"bad":1`) || strict.Stats().Ledger != (server.Ledger{}) {
			t.Errorf("a stream where NATS is required: %s, %+v", answer, strict.Stats().Ledger)
		}
		e := brokertest.Embed(t, broker.EmbedConfig{Listen: address})
		for _, n := range []*Node{loose, strict} {
			brokertest.Until(t, "it is ready", func() bool { return ready(n) == http.StatusOK })
		}
		e.Close()
		for _, n := range []*Node{loose, strict} {
			brokertest.Until(t, "it notices", func() bool { return ready(n) != http.StatusOK })
		}
	}
	if st := loose.Stats().Cluster; st.Outages != 2 || st.Last.Cause == "" {
		t.Errorf("%+v", st)
	}
}

func TestBadConfig(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	taken := start(t, Config{NATS: broker.ConnectConfig{URLs: []string{e.URL()}}, Name: "taken"})
	for _, c := range []struct {
		cfg  Config
		want error
	}{
		{Config{Server: server.Config{Required: true}}, ErrConfig},
		{Config{Server: server.Config{SlowPolicy: "nonsense"}, Embed: &broker.EmbedConfig{}}, server.ErrConfig},
		{Config{Embed: &broker.EmbedConfig{User: "anna"}}, broker.ErrConfig},
		{Config{NATS: broker.ConnectConfig{URLs: []string{e.URL()}}, Name: ">"}, cluster.ErrConfig},
		{Config{NATS: broker.ConnectConfig{URLs: []string{e.URL()}}, Name: taken.Name()}, cluster.ErrName},
	} {
		free(&c.cfg)
		if n, err := New(c.cfg); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.cfg, err)
			if err == nil {
				n.Close()
			}
		}
	}
}

// TestTLS embeds a server with a certificate, and drains.
func TestTLS(t *testing.T) {
	srv, client := brokertest.Certificate(t)
	a := start(t, Config{Embed: &broker.EmbedConfig{User: "anna", Password: "secret", TLS: srv}})
	url, _ := a.NATS()
	b := start(t, Config{NATS: broker.ConnectConfig{URLs: []string{url}, User: "anna", Password: "secret", TLS: client}})
	stream(t, b, "1")
	joined(t, b, 1)
	if _, answer := post(t, a, "/send/1", "m"); !strings.Contains(answer, `"remote":1`) {
		t.Errorf("over TLS: %s", answer)
	}
	for _, n := range []*Node{b, a} {
		if err := n.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// TestOrigins holds that publishers elsewhere have accounts of their own, and that none is lost when there are too many.
func TestOrigins(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	n := start(t, Config{NATS: broker.ConnectConfig{URLs: []string{e.URL()}}})
	stream(t, n, "1")
	joined(t, n, 1)
	const publishers = 100
	for range publishers {
		p := start(t, Config{NATS: broker.ConnectConfig{URLs: []string{e.URL()}}, Server: server.Config{NoFront: true}})
		if _, answer := post(t, p, "/send", "1\tm\n1\tm\n"); !strings.Contains(answer, `"forwarded":2`) {
			t.Errorf("answer %s", answer)
		}
		p.Close()
	}
	brokertest.Until(t, "all has arrived", func() bool { return n.Stats().Ledger.Delivered == 2*publishers })
	if l := n.Stats().Ledger; l.Received != 2*publishers || l.Copies != l.Delivered {
		t.Errorf("%+v", l)
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		e    broker.EmbedConfig
		want bool
	}{
		{broker.EmbedConfig{}, false},
		{broker.EmbedConfig{Listen: "127.0.0.1:0"}, false},
		{broker.EmbedConfig{Listen: "[::1]:0"}, false},
		{broker.EmbedConfig{Listen: "localhost:0"}, false},
		{broker.EmbedConfig{Listen: ":4222"}, true},
		{broker.EmbedConfig{Listen: "0.0.0.0:4222"}, true},
		{broker.EmbedConfig{Listen: "10.0.0.2:4222"}, true},
		{broker.EmbedConfig{Listen: "10.0.0.2:4222", User: "anna"}, false},
		{broker.EmbedConfig{Listen: "10.0.0.2:4222", TLS: &tls.Config{}}, true},
		{broker.EmbedConfig{Listen: "10.0.0.2:4222", TLS: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}}, false},
	} {
		if got := open(&c.e); got != c.want {
			t.Errorf("%+v: open %v", c.e, got)
		}
	}
}
