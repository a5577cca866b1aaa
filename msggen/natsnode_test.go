package msggen

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/subject"
)

// node is a node of a cluster, as far as a publisher notices: it holds the ids from one on to another, and answers for what it got.
type node struct {
	name string
	nc   *nats.Conn

	mu     sync.Mutex
	got    []message
	ledger map[string]*Ledger // by origin
}

// newNode joins a node that holds the ids from..to.
func newNode(t testing.TB, name string, from, to int, url string) *node {
	t.Helper()
	return joinNode(t, from, to, broker.ConnectConfig{URLs: []string{url}, Name: name})
}

func joinNode(t testing.TB, from, to int, cfg broker.ConnectConfig) *node {
	t.Helper()
	nc, err := broker.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	n := &node{name: cfg.Name, nc: nc, ledger: map[string]*Ledger{}}
	in := make(chan *nats.Msg, 1<<16)
	for id := from; id <= to; id++ {
		if _, err := nc.ChanSubscribe(subject.Of(appendID(nil, uint64(id))), in); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nc.ChanSubscribe(subject.Ledger, in); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		for {
			select {
			case m := <-in:
				n.take(t, m)
			case <-done:
				return
			}
		}
	}()
	if err := nc.FlushTimeout(brokertest.Patience); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) take(t testing.TB, m *nats.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if m.Subject == subject.Ledger {
		l := n.ledger[string(m.Data)]
		if l == nil {
			l = &Ledger{}
		}
		if text, err := json.Marshal(map[string]any{"node": n.name, "ledger": l, "unknown": 1}); err == nil {
			_ = n.nc.Publish(m.Reply, text) // without NATS there is nobody to answer
		}
		return
	}
	if strings.HasPrefix(m.Reply, "_INBOX.") { // a probe
		_ = m.Respond(nil)
		return
	}
	origin, _, _ := strings.Cut(strings.TrimPrefix(m.Reply, subject.Replies), ".")
	if n.ledger[origin] == nil {
		n.ledger[origin] = &Ledger{}
	}
	n.ledger[origin].Received++
	n.ledger[origin].Delivered++
	id, ok := subject.AppendID(nil, m.Subject)
	if !ok || len(origin) != subject.OriginLen || m.Reply != subject.Reply(origin, subject.Void)+".0" {
		t.Errorf("message on %q with reply %q", m.Subject, m.Reply)
		return
	}
	msg, err := parseMessage(fmt.Appendf(nil, "%s\t%s", id, m.Data))
	if err != nil {
		t.Error(err)
		return
	}
	n.got = append(n.got, msg)
}

// of is how many messages of an origin the node got.
func (n *node) of(origin string) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.ledger[origin]; l != nil {
		return l.Received
	}
	return 0
}

// messages are what the node got so far. They fail the test where a message came twice or out of its sequence.
func (n *node) messages(t *testing.T) []message {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	f := fake{t: t, got: n.got}
	return f.messages()
}
