package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/server/router"
)

func TestSendConfirmed(t *testing.T) {
	on := brokertest.Routed(t, 3)
	const gather = 500 * time.Millisecond // far more than the answers of one process are apart
	a, b, c := join(t, on[0].URL(), Config{Gather: gather}), join(t, on[1].URL(), Config{}), join(t, on[2].URL(), Config{})
	first := join(t, on[0].URL(), Config{Gather: -1})
	a.login(t, "here", 1)
	b.login(t, "there", 2)
	b.login(t, "there", 3)
	for _, n := range []*node{a, b, c} {
		n.login(t, "all", 4)
	}
	settle(t, a.Router, b.Router, c.Router, first.Router)
	for _, c := range []struct {
		from   *node
		id     string
		want   router.Confirmation
		online bool
	}{
		{a, "nobody", router.Confirmation{Receipt: router.Receipt{Published: true}}, false},
		{a, "here", router.Confirmation{Receipt: router.Receipt{Sessions: 1, Published: true}}, true},
		{a, "all", router.Confirmation{Receipt: router.Receipt{Sessions: 1, Published: true}, Remote: 2, Nodes: 2}, true},
		{first, "there", router.Confirmation{Receipt: router.Receipt{Published: true}, Remote: 2, Nodes: 1}, true},
		{first, "here", router.Confirmation{Receipt: router.Receipt{Published: true}, Remote: 1, Nodes: 1}, true},
	} {
		got, err := c.from.SendConfirmed(brokertest.Within(t), []byte(c.id), []byte("m"), 7)
		if err != nil || got != c.want || got.Offline() == c.online {
			t.Errorf("to %q: %+v, %v, offline %v; want %+v", c.id, got, err, got.Offline(), c.want)
		}
	}
	if _, err := a.SendConfirmed(brokertest.Within(t), []byte("a b"), nil, 0); !errors.Is(err, router.ErrID) {
		t.Errorf("bad id: %v", err)
	}
}

// TestUnconfirmed asks somebody who is interested and does not answer.
func TestUnconfirmed(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	a := join(t, e.URL(), Config{Confirm: 20 * time.Millisecond})
	stranger := stranger(t, e)
	if _, err := stranger.SubscribeSync(Subject([]byte("mute"))); err != nil {
		t.Fatal(err)
	}
	flush(t, stranger)
	a.login(t, "mute", 1)
	got, err := a.SendConfirmed(context.Background(), []byte("mute"), []byte("m"), 7)
	if !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) || got.Sessions != 1 || !slices.Equal(a.take(), []string{"1 m 7"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := a.Ping(brokertest.Within(t), "nobody"); !errors.Is(err, ErrNode) {
		t.Errorf("Ping of nobody: %v", err)
	}
	if err := a.Ping(brokertest.Within(t), "no body"); !errors.Is(err, ErrNode) {
		t.Errorf("Ping of a bad name: %v", err)
	}
}

// TestStranger publishes as any NATS client may.
func TestStranger(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	a := join(t, e.URL(), Config{Name: "node.a"})
	a.login(t, "a.b", 1)
	if err := a.Flush(brokertest.Within(t)); err != nil {
		t.Fatal(err)
	}
	nc := stranger(t, e)
	m, err := nc.Request(Subject([]byte("a.b")), []byte("hello"), brokertest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if ans, ok := parseAnswer(m.Data); !ok || ans.sessions != 1 || ans.name != "node.a" || !slices.Equal(a.take(), []string{"1 hello 999"}) {
		t.Errorf("answer %q", m.Data)
	}
	if _, err := nc.Request(Subject([]byte("a.c")), nil, brokertest.Patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("request to nobody: %v", err)
	}
	// Our own message, as a server brings it back to a new connection that has not yet read all of the old one.
	for _, kind := range []string{kindDone, kindVoid + ".7", kindConfirm + ".7"} {
		if err := nc.PublishRequest(Subject([]byte("a.b")), a.prefix+kind, []byte("echo")); err != nil {
			t.Fatal(err)
		}
	}
	for _, reply := range []string{a.prefix + kindConfirm + ".77", a.prefix + kindConfirm + ".x"} {
		if err := nc.Publish(reply, []byte("gibberish")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nc.Request(nodeSubject("node.a"), nil, brokertest.Patience); err != nil {
		t.Fatal(err)
	}
	brokertest.Until(t, "a stray is counted", func() bool { return a.Stats().Strays == 1 })
	if st := a.Stats(); st.Echoes != 3 || st.Received != 1 || len(a.take()) != 0 {
		t.Errorf("%+v", st)
	}
}

// TestOffline holds that NATS's word about messages that nobody wanted is passed on, with their tags, and about no others.
func TestOffline(t *testing.T) {
	on := brokertest.Routed(t, 2)
	var mu sync.Mutex
	var tags []uint64
	a := join(t, on[0].URL(), Config{Offline: func(tag uint64) {
		mu.Lock()
		defer mu.Unlock()
		tags = append(tags, tag)
	}})
	b := join(t, on[1].URL(), Config{})
	a.login(t, "here", 1)
	b.login(t, "there", 2)
	settle(t, a.Router, b.Router)
	for i, id := range []string{"nobody", "here", "there", "no.body", "there", "nobody"} {
		if rec := a.send(t, id, "m", uint64(i)<<60|uint64(i)); !rec.Published {
			t.Errorf("Send(%q): %+v", id, rec)
		}
	}
	brokertest.Until(t, "three reports", func() bool { return a.Stats().Offline >= 3 })
	delivered(t, a.Router, b.Router)
	mu.Lock()
	defer mu.Unlock()
	if want := []uint64{0, 3<<60 | 3, 5<<60 | 5}; !slices.Equal(tags, want) {
		t.Errorf("offline: tags %x, want %x", tags, want)
	}
	if st := b.Stats(); st.Received != 2 || st.Handed != 2 || a.Stats().Published != 6 {
		t.Errorf("a %+v, b %+v", a.Stats(), st)
	}
}

func TestCollect(t *testing.T) {
	type at struct {
		after time.Duration
		a     answer
	}
	one := answer{sessions: 1}
	for _, c := range []struct {
		name    string
		gather  time.Duration
		answers []at
		got     int
		after   time.Duration
		err     error
	}{
		{"nobody", time.Second, []at{{time.Millisecond, answer{none: true}}}, 1, time.Millisecond, nil},
		{"one, and then silence", time.Second, []at{{2 * time.Second, one}}, 1, 3 * time.Second, nil},
		{"two in time", time.Second, []at{{time.Second, one}, {900 * time.Millisecond, one}}, 2, 2900 * time.Millisecond, nil},
		{"the second too late", time.Second, []at{{time.Second, one}, {1100 * time.Millisecond, one}}, 1, 2 * time.Second, nil},
		{"the context ends the gathering", time.Hour, []at{{time.Second, one}}, 1, 10 * time.Second, nil},
		{"none", time.Second, nil, 0, 10 * time.Second, ErrUnconfirmed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				answers := make(chan answer, len(c.answers))
				go func() {
					for _, at := range c.answers {
						time.Sleep(at.after)
						answers <- at.a
					}
				}()
				began, got := time.Now(), 0
				err := collect(ctx, nil, answers, c.gather, func(a answer) bool {
					got++
					return a.none
				})
				if after := time.Since(began); got != c.got || after != c.after || !errors.Is(err, c.err) {
					t.Errorf("%d answers after %v, %v; want %d after %v, %v", got, after, err, c.got, c.after, c.err)
				}
				synctest.Wait()
				time.Sleep(time.Minute)
			})
		})
	}
	closing := make(chan struct{})
	close(closing)
	if err := collect(context.Background(), closing, nil, 0, nil); !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("closed: %v", err)
	}
}

func stranger(t testing.TB, e *broker.Embedded) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func flush(t testing.TB, nc *nats.Conn) {
	t.Helper()
	if err := nc.FlushTimeout(brokertest.Patience); err != nil {
		t.Fatal(err)
	}
}
