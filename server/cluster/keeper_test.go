package cluster

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/server/history"
	"cometctl/server/router"
)

// TestKeeper has a client look in at one node now and then, as a long poll does: what other nodes send meanwhile is there when it comes back, for
// as long as the node remembers it.
func TestKeeper(t *testing.T) {
	const ttl = time.Minute
	e := brokertest.Embed(t, broker.EmbedConfig{})
	var now time.Duration
	var unheld, offline atomic.Int64
	past := history.New(history.Config{Messages: 10, TTL: ttl}, func() time.Duration { return now })
	a := join(t, e.URL(), Config{Stage: past, Keeper: past, Unheld: func(_ uint64, sole bool) {
		if sole {
			unheld.Add(1)
		}
	}})
	b := join(t, e.URL(), Config{Offline: func(uint64) { offline.Add(1) }})
	id := []byte("x.y")
	session := router.Session(0)
	poll := func(since uint64, known bool) (at uint64, whole bool, got []string) {
		session++
		at, whole, busy, err := past.TryResume(id, since, known, func() error { return a.Login(id, session) }, func(_ uint64, msg []byte) {
			got = append(got, string(msg))
		})
		if busy || err != nil {
			t.Fatalf("busy %v, error %v", busy, err)
		}
		a.Logout(session)
		settle(t, a.Router, b.Router)
		return at, whole, got
	}
	at, _, _ := poll(0, false)
	if n := subscriptions(t, e); n != 1 || a.Local().IDs != 0 {
		t.Fatalf("%d subscriptions, %d ids held, while the client is away", n, a.Local().IDs)
	}
	for i := range 3 {
		b.send(t, string(id), fmt.Sprint("m", i), 1)
	}
	settle(t, b.Router, a.Router)
	a.send(t, string(id), "own", 1)
	at, whole, got := poll(at, true)
	if fmt.Sprint(got) != "[m0 m1 m2 own]" || !whole || unheld.Load() != 3 || offline.Load() != 0 {
		t.Errorf("told %v, whole %v; %d unheld, %d offline", got, whole, unheld.Load(), offline.Load())
	}

	// It does not come back, but messages do.
	free := func([]byte) bool { return false }
	now = ttl - 1
	b.send(t, string(id), "m3", 1)
	settle(t, b.Router, a.Router)
	past.Sweep(now, free)
	if err := a.Flush(brokertest.Within(t)); err != nil || subscriptions(t, e) != 1 {
		t.Errorf("%d subscriptions before the time is over; %v", subscriptions(t, e), err)
	}
	now = ttl
	past.Sweep(now, free)
	if err := a.Flush(brokertest.Within(t)); err != nil || subscriptions(t, e) != 0 {
		t.Errorf("%d subscriptions when the client is forgotten; %v", subscriptions(t, e), err)
	}
	b.send(t, string(id), "m4", 1)
	brokertest.Until(t, "nobody wanted it", func() bool { return offline.Load() == 1 })
	if _, whole, got = poll(at, true); whole || len(got) != 1 {
		t.Errorf("back when nobody knows it: told %v, whole %v", got, whole)
	}
}

// An id that is held by a session without numbers is let go of with it, history or not, unless something of it is kept.
func TestKeeperOfNothing(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	past := history.New(history.Config{Messages: 10}, func() time.Duration { return 0 })
	a := join(t, e.URL(), Config{Stage: past, Keeper: past})
	a.login(t, "quiet", 1)
	a.login(t, "kept", 2)
	a.send(t, "kept", "m", 1)
	a.Logout(1)
	a.Logout(2)
	if err := a.Flush(brokertest.Within(t)); err != nil || subscriptions(t, e) != 1 {
		t.Errorf("%d subscriptions, want one; %v", subscriptions(t, e), err)
	}
}
