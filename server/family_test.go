package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// kin is a family of two processes that are none.
type kin struct {
	notReady  error
	drains    int
	sent      func() int64 // messages that the server had taken, at the time of Drain
	atDrain   int64
	collected int
	reloaded  int
	closed    int
}

func (k *kin) Comet() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.1:7") }
func (k *kin) Ready() error          { return k.notReady }
func (k *kin) Collect()              { k.collected++ }
func (k *kin) Reload()               { k.reloaded++ }
func (k *kin) Close() error          { k.closed++; return nil }

func (k *kin) Account(origin string) (l Ledger) {
	if origin == "" {
		l.Received = 5
	}
	return l
}

func (k *kin) Report(st *Stats) {
	for i := range 2 {
		st.Workers = append(st.Workers, WorkerStats{Index: i, State: "running", Restarts: i, Conns: ConnStats{Open: 3, Max: 10, By: Census{dialectHTML: {phaseStream: 3}}}, Ledger: Ledger{Received: 4, Delivered: 4}})
		st.Conns.Add(st.Workers[i].Conns)
		st.Ledger.Add(st.Workers[i].Ledger)
	}
}

func (k *kin) Drain(context.Context) error {
	k.drains++
	k.atDrain = k.sent()
	return errors.New("two were cut")
}

// A server with a family answers for it.
func TestFamily(t *testing.T) {
	k := &kin{}
	s := start(t, Config{Family: func() (Family, error) { return k, nil }})
	k.sent = func() int64 { return s.ledger.read().Sent }
	if s.Comet() != k.Comet() {
		t.Errorf("it listens on %v", s.Comet())
	}
	var st Stats
	if err := json.Unmarshal([]byte(admin(t, s, "GET", "/stats", "", nil).body), &st); err != nil {
		t.Fatal(err)
	}
	if st.Conns.Open != 6 || st.Conns.Max != 20 || st.Ledger.Delivered != 8 || len(st.Workers) != 2 {
		t.Errorf("%+v", st)
	}
	metrics := admin(t, s, "GET", "/metrics", "", nil).body
	for _, want := range []string{`cometctl_connections{protocol="html",state="stream"} 6`, `cometctl_workers{state="running"} 2`, `cometctl_workers{state="stuck"} 0`,
		`cometctl_worker_connections{worker="1"} 3`, `cometctl_worker_restarts_total{worker="1"} 1`, `cometctl_workers{state="over"} 0`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if a := admin(t, s, "POST", "/gc", "", nil); a.status != 200 || k.collected != 1 {
		t.Errorf("collected %d times: %+v", k.collected, a)
	}
	if a := admin(t, s, "GET", "/readyz", "", nil); a.status != 200 {
		t.Errorf("%+v", a)
	}
	k.notReady = errors.New("no worker is ready")
	if a := admin(t, s, "GET", "/readyz", "", nil); a.status != 503 || !strings.Contains(a.body, "no worker") {
		t.Errorf("%+v", a)
	}
	for origin, want := range map[string]int64{"": 5, "A": 0} {
		var l Ledger
		if err := json.Unmarshal(s.account(origin), &l); err != nil || l.Received != want {
			t.Errorf("account of %q: %+v, %v", origin, l, err)
		}
	}
	publish(t, s, "1\tm\n")
	if err := s.Drain(t.Context()); err == nil || err.Error() != "two were cut" {
		t.Errorf("drained with %v", err)
	}
	if k.drains != 1 || k.atDrain != 1 {
		t.Errorf("%+v", k)
	}
}

func TestFamilyThatCannotStart(t *testing.T) {
	_, err := New(Config{Admin: "127.0.0.1:0", Family: func() (Family, error) { return nil, errors.New("no coal") }})
	if err == nil || !strings.Contains(err.Error(), "no coal") {
		t.Errorf("%v", err)
	}
}

// Without an admin listener there is none, and everything ends as usual.
func TestNoAdmin(t *testing.T) {
	s := start(t, Config{NoAdmin: true})
	if s.Admin() != nil {
		t.Errorf("admin listener on %v", s.Admin())
	}
	c := dial(t, s).stream("1")
	go func() { c.rest(); c.Close() }()
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
