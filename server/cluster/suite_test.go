package cluster

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/server/router"
)

// subscriptions counts those of the server's own clients to ids.
func subscriptions(t testing.TB, e *broker.Embedded) int {
	t.Helper()
	n, err := e.Subscriptions(idPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// node is a Router that writes down what it delivers.
type node struct {
	*Router
	mu  sync.Mutex
	got []string // session, message and tag of each
}

func (n *node) deliver(s router.Session, msg []byte, tag uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got = append(n.got, fmt.Sprintf("%d %s %d", s, msg, tag))
}

// take returns what was delivered since the last call.
func (n *node) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	got := n.got
	n.got = nil
	return got
}

func (n *node) login(t testing.TB, id string, s router.Session) {
	t.Helper()
	if err := n.Login([]byte(id), s); err != nil {
		t.Fatal(err)
	}
}

func (n *node) send(t testing.TB, id, msg string, tag uint64) router.Receipt {
	t.Helper()
	rec, err := n.Send([]byte(id), []byte(msg), tag)
	if err != nil {
		t.Fatalf("Send(%q): %v", id, err)
	}
	return rec
}

const remoteTag = 999

func join(t testing.TB, url string, cfg Config) *node {
	t.Helper()
	n := &node{}
	n.Router = newRouter(t, broker.ConnectConfig{URLs: []string{url}}, cfg, n.deliver)
	return n
}

func newRouter(t testing.TB, to broker.ConnectConfig, cfg Config, deliver router.Deliver) *Router {
	t.Helper()
	to.Retry = 5 * time.Millisecond
	nc, err := broker.Connect(to)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Arrived == nil {
		cfg.Arrived = func(string, bool) uint64 { return remoteTag }
	}
	if cfg.Confirm == 0 {
		cfg.Confirm = brokertest.Patience
	}
	r, err := New(nc, cfg, deliver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// settle returns when each of the nodes' logins and logouts is known to the servers of all the others, and all
// that they had sent is delivered.
func settle(t testing.TB, nodes ...*Router) {
	t.Helper()
	ctx := brokertest.Within(t)
	for _, from := range nodes {
		if err := from.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	delivered(t, nodes...)
}

// delivered returns when each of the nodes has handled what the others had sent. Pings go the way that messages go, in order.
func delivered(t testing.TB, nodes ...*Router) {
	t.Helper()
	var all sync.WaitGroup
	for _, from := range nodes {
		for _, to := range nodes {
			if from != to {
				all.Go(func() { ping(t, from, to) })
			}
		}
	}
	all.Wait()
}

// ping returns when to has handled what from had sent. A node that has just joined may not be known everywhere yet.
func ping(t testing.TB, from, to *Router) {
	t.Helper()
	ctx := brokertest.Within(t)
	err := ErrNode
	for errors.Is(err, ErrNode) && ctx.Err() == nil {
		err = from.Ping(ctx, to.Name())
	}
	if err != nil {
		t.Errorf("from %s to %s: %v", from.Name(), to.Name(), err)
	}
}
