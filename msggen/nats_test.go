package msggen

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/subject"
)

// onNATS is a run of 50 ids on the servers of these URLs.
func onNATS(urls ...string) Config {
	return Config{To: strings.Join(urls, ", "), IDs: 50, Rate: perSecond(5000), Count: 500}
}

// TestNATS is what a run on NATS tells: what went where, what nobody wanted, and when it was due.
func TestNATS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		rate    uint64
		workers int
		size    int
	}{{"paced", 5000, 1, 0}, {"crowd", 5000, 2 * maxPrecise, 0}, {"batches", 1_000_000, 2, 0}, {"no rate", 0, 1, 0}, {"no rate, long", 0, 3, 3000}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := brokertest.Embed(t, broker.EmbedConfig{})
			a, b := newNode(t, "a", 1, 20, e.URL()), newNode(t, "b", 21, 30, e.URL())
			cfg := onNATS(e.URL())
			cfg.Rate, cfg.Workers, cfg.Size, cfg.ByDue = perSecond(tt.rate), tt.workers, tt.size, 10*time.Millisecond
			res, err := Run(t.Context(), cfg)
			balanced(t, res)
			if err != nil || res.Sent != 500 || res.Accepted != 500 || res.Unsent+res.Reconnects+res.Unheard != 0 {
				t.Fatalf("%+v, %v", res, err)
			}
			got := append(a.messages(t), b.messages(t)...)
			f := fake{t: t, got: got}
			n, l := uint64(len(f.messages())), *res.Ledger
			if want := (Ledger{Sent: 500, Offline: 500 - n, Forwarded: n, Received: n, Delivered: n}); l != want || n < 200 || n > 400 {
				t.Errorf("ledger %+v, want %+v", l, want)
			}
			for _, m := range got {
				if m.run.Worker() != int(m.num-1)%tt.workers || tt.rate > 0 && !m.due.Equal(res.Run.Start.Add(cfg.Rate.Due(m.num-1))) {
					t.Fatalf("message %+v, begun at %v", m, res.Run.Start)
				}
			}
			sum := int64(0)
			for _, n := range res.ByDue.All() {
				sum += n
			}
			if sum != 500 || len(res.Run.Origin) != subject.OriginLen || a.of(res.Run.Origin) == 0 || res.Asked.To != e.URL() {
				t.Errorf("%d by due, %+v, %+v", sum, res.Run, res.Asked)
			}
		})
	}
}

// TestNATSByDue: one node gets everything, so that what was sent and what came can be compared step by step.
func TestNATSByDue(t *testing.T) {
	t.Parallel()
	const step = 30 * time.Millisecond
	e := brokertest.Embed(t, broker.EmbedConfig{})
	for _, rate := range []uint64{0, 5000} {
		a := newNode(t, "a", 1, 50, e.URL())
		cfg := onNATS(e.URL())
		cfg.Rate, cfg.ByDue = perSecond(rate), step
		res, err := Run(t.Context(), cfg)
		if got, want := maps.Collect(res.ByDue.All()), byDue(a.messages(t), step); err != nil || !maps.Equal(got, want) {
			t.Errorf("%v, %v\nwant %v", err, got, want)
		}
	}
}

// TestNATSSendsWhatTheStreamSends: equal seeds make equal messages to equal ids.
func TestNATSSendsWhatTheStreamSends(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	a := newNode(t, "a", 1, 50, e.URL())
	cfg := onNATS(e.URL())
	cfg.Seed, cfg.Size = 7, 300
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T, f *fake) {
		cfg.To, cfg.Dial, cfg.Sleep = "http://127.0.0.1/send", f.net.Dial, time.Sleep
		if _, err := Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		want := f.messages()
		for i, m := range a.messages(t) {
			if w := want[i]; m.id != w.id || m.num != w.num || m.seq != w.seq || len(m.text) != len(w.text) {
				t.Fatalf("message %d is %+v, in a stream %+v", i, m, w)
			}
		}
	})
}

// TestNATSRestart: the server dies in the middle, twice, and comes back on its address. What was not confirmed is told, nothing is sent twice,
// nothing that falls due is skipped.
func TestNATSRestart(t *testing.T) {
	t.Parallel()
	for _, rate := range []uint64{2000, 0} {
		var e atomic.Pointer[broker.Embedded] // the server that lives: each on a port of its own, as nobody keeps one for it
		var conns atomic.Int64
		dial := func(network, _ string) (net.Conn, error) {
			return net.Dial(network, strings.TrimPrefix(e.Load().URL(), "nats://"))
		}
		e.Store(brokertest.Embed(t, broker.EmbedConfig{}))
		first := e.Load().URL()
		a := joinNode(t, 1, 50, broker.ConnectConfig{URLs: []string{first}, Name: "a", Retry: 10 * time.Millisecond, Dial: dial})
		ctx, stop := context.WithCancel(t.Context())
		cfg := onNATS(first)
		cfg.Rate, cfg.Count, cfg.NATS.Retry, cfg.ByDue = perSecond(rate), 0, 10*time.Millisecond, time.Second
		cfg.Dial = func(_ context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(network, addr)
			if err == nil {
				conns.Add(1)
			}
			return conn, err
		}
		restarts, dead, fresh, seen := int64(0), false, true, uint64(0)
		cfg.ProgressEvery = 5 * time.Millisecond
		cfg.Progress = func(p Progress) {
			switch {
			case dead:
				dead, fresh = false, false
				e.Store(brokertest.Embed(t, broker.EmbedConfig{}))
			case conns.Load() <= restarts: // not back yet
			case !fresh:
				fresh, seen = true, p.Accepted
			case p.Accepted == seen:
			case restarts == 2:
				stop()
			default:
				e.Load().Close()
				dead = true
				restarts++
			}
		}
		res, err := Run(ctx, cfg)
		stop()
		balanced(t, res)
		if restarts != 2 || res.Reconnects != 2 || res.Accepted == 0 || res.Bad != 0 {
			t.Errorf("%d/s: %d restarts: %+v, %v", rate, restarts, res, err)
		}
		if (err != nil) != (res.Unconfirmed > 0) || err != nil && !errors.Is(err, ErrIncomplete) {
			t.Errorf("%d/s: %d unconfirmed, %v", rate, res.Unconfirmed, err)
		}
		sum := int64(0)
		for _, n := range res.ByDue.All() {
			sum += n
		}
		if sum != int64(res.Sent) {
			t.Errorf("%d/s: %d sent, %d by due", rate, res.Sent, sum)
		}
		a.messages(t)
	}
}

// TestNATSGone: a server that does not come back ends the run, and what was due is owed.
func TestNATSGone(t *testing.T) {
	t.Parallel()
	e := brokertest.Embed(t, broker.EmbedConfig{})
	cfg := onNATS(e.URL())
	cfg.Rate, cfg.Count, cfg.Duration, cfg.Grace, cfg.NATS.Retry = perSecond(2000), 0, 200*time.Millisecond, 50*time.Millisecond, 10*time.Millisecond
	once := sync.OnceFunc(e.Close)
	cfg.Progress, cfg.ProgressEvery = func(p Progress) {
		if p.Sent > 100 {
			once()
		}
	}, time.Millisecond
	res, err := Run(t.Context(), cfg)
	balanced(t, res)
	if !errors.Is(err, ErrIncomplete) || res.Sent+res.Unsent != 400 || res.Unsent == 0 || res.Ledger == nil || res.Ledger.Received != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestNATSCluster: publisher and nodes at different servers; one server dies and the publisher goes on at another.
func TestNATSCluster(t *testing.T) {
	t.Parallel()
	all := brokertest.Routed(t, 3)
	newNode(t, "a", 1, 25, all[1].URL())
	newNode(t, "b", 26, 50, all[2].URL())
	newNode(t, "other", 51, 51, all[2].URL()) // gets nothing, and says so
	probe := newNode(t, "probe", 0, -1, all[0].URL())
	for _, id := range []string{"25", "50", "51"} {
		brokertest.Until(t, "server 0 knows id "+id, func() bool {
			_, err := probe.nc.Request(subject.Of([]byte(id)), nil, brokertest.Patience)
			return err == nil
		})
	}
	probe.nc.Close()
	cfg := onNATS(all[0].URL(), all[1].URL())
	cfg.Workers = 2
	res, err := Run(t.Context(), cfg)
	if want := (Ledger{Sent: 500, Forwarded: 500, Received: 500, Delivered: 500}); err != nil || *res.Ledger != want {
		t.Errorf("%+v, %+v, %v", res, res.Ledger, err)
	}
}

// TestNATSTooLarge: what is over the server's limit is bad, and the rest goes on.
func TestNATSTooLarge(t *testing.T) {
	t.Parallel()
	e := brokertest.Embed(t, broker.EmbedConfig{MaxPayload: 2000})
	for _, rate := range []uint64{0, 5000} {
		cfg := onNATS(e.URL())
		cfg.Rate, cfg.Size = perSecond(rate), 2001
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "up to 2000 bytes, and this one has 2001") || res.Bad != 500 || res.Ledger.Bad != 500 ||
			res.Ledger.Sent+res.Ledger.Forwarded != 0 {
			t.Errorf("%+v, %v", res, err)
		}
		cfg.Size = 2000
		if res, err := Run(t.Context(), cfg); err != nil || res.Accepted != 500 || res.Ledger.Offline != 500 {
			t.Errorf("just as long: %+v, %v", res, err)
		}
	}
}

// TestNATSCannotStart: the error comes before anything is sent, with the way out.
func TestNATSCannotStart(t *testing.T) {
	t.Parallel()
	e := brokertest.Embed(t, broker.EmbedConfig{User: "anna", Password: "secret"})
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	go func() {
		for {
			conn, err := web.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			conn.Close()
		}
	}()
	for _, tt := range []struct {
		name, to string
		set      func(*Config)
		want     []string
	}{
		{"nobody there", "nats://" + brokertest.FreeAddress(t), nil, []string{"not connected to NATS", "is a NATS server running there"}},
		{"no credentials", e.URL(), nil, []string{"refuses the credentials", "--nats-user"}},
		{"wrong password", e.URL(), func(c *Config) { c.NATS.User, c.NATS.Password = "anna", "wrong" }, []string{"refuses the credentials"}},
		{"in the URL", strings.Replace(e.URL(), "//", "//anna:wrong@", 1), nil, []string{"refuses the credentials"}},
		{"not NATS", "nats://" + web.Addr().String(), nil, []string{"INFO not received"}},
	} {
		cfg := onNATS(tt.to)
		if tt.set != nil {
			tt.set(&cfg)
		}
		res, err := Run(t.Context(), cfg)
		if err == nil || !res.Run.Start.IsZero() {
			t.Errorf("%s: %+v, %v", tt.name, res, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("%s: %v, want %q", tt.name, err, want)
			}
		}
	}
	cfg := onNATS(strings.Replace(e.URL(), "//", "//anna:secret@", 1))
	if res, err := Run(t.Context(), cfg); err != nil || strings.Contains(res.Asked.To, "secret") {
		t.Errorf("%+v, %v", res, err)
	}
	cfg = onNATS(e.URL())
	cfg.NATS.User, cfg.NATS.Password = "anna", "secret"
	if res, err := Run(t.Context(), cfg); err != nil || res.Ledger.Offline != 500 {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestNATSInterrupt: the first signal ends it well.
func TestNATSInterrupt(t *testing.T) {
	t.Parallel()
	e := brokertest.Embed(t, broker.EmbedConfig{})
	for _, rate := range []uint64{0, 3000} {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := onNATS(e.URL())
		cfg.Rate, cfg.Count = perSecond(rate), 0
		cfg.Progress, cfg.ProgressEvery = func(p Progress) {
			if p.Sent > 100 {
				cancel()
			}
		}, time.Millisecond
		res, err := Run(ctx, cfg)
		cancel()
		balanced(t, res)
		if err != nil || res.Sent != res.Accepted || res.Sent < 100 || res.Ledger.Offline != res.Sent {
			t.Errorf("%+v, %v", res, err)
		}
	}
}

// Bad targets are found before anything is opened, and no error tells a password.
func TestNATSCheck(t *testing.T) {
	for _, tt := range []struct {
		to   string
		set  func(*Config)
		want string
	}{
		{"nats://127.0.0.1:4222", nil, ""},
		{"nats://127.0.0.1", nil, ""},
		{"tls://localhost:4222", nil, ""},
		{"NATS://127.0.0.1:1,nats://[::1]:2", nil, ""},
		{"nats://me:secret@127.0.0.1:4222/", nil, ""},
		{"nats://192.0.2.1:4222", nil, "--allow-remote"},
		{"nats://192.0.2.1:4222", func(c *Config) { c.AllowRemote = true }, ""},
		{"nats://127.0.0.1:1,nats://me:secret@example.com:2", nil, "example.com:2 is not a loopback address"},
		{"nats://", nil, "nats://host:port"},
		{"nats://:4222", nil, "nats://host:port"},
		{"nats://127.0.0.1:1,", nil, "nats://host:port"},
		{"nats://127.0.0.1:x", nil, "nats://host:port"},
		{"nats://127.0.0.1:1/send", nil, "nats://host:port"},
		{"nats://127.0.0.1:1?x=1", nil, "nats://host:port"},
		{"nats://127.0.0.1:1,127.0.0.1:2", nil, "nats://host:port"},
		{"nats://127.0.0.1:1,http://127.0.0.1:2/send", nil, "NATS servers and http do not mix"},
		{"http://127.0.0.1:2/send,nats://127.0.0.1:1", nil, "NATS servers and http do not mix"},
		{"nats://127.0.0.1:1", func(c *Config) { c.Header = []string{"A: b"} }, "leave them out"},
		{"nats://127.0.0.1:1", func(c *Config) { c.Connections = 3 }, "leave them out"},
		{"http://127.0.0.1/send", func(c *Config) { c.NATS.User = "anna" }, "is no NATS server"},
		{"POST http://127.0.0.1/{id}", func(c *Config) { c.NATS.Creds = "file" }, "is no NATS server"},
	} {
		cfg := Config{To: tt.to, IDs: 10}
		if tt.set != nil {
			tt.set(&cfg)
		}
		err := cfg.Check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: error %v, want %q", tt.to, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password: %v", tt.to, err)
		}
	}
}

func TestInTurn(t *testing.T) {
	for worker, want := range []string{"a b c", "b c a", "c a b", "a b c"} {
		if got := strings.Join(inTurn([]string{"a", "b", "c"}, uint64(worker)), " "); got != want {
			t.Errorf("worker %d tries %s, want %s", worker, got, want)
		}
	}
}

// TestBrittle: after a write that failed nothing can be read or written, and the reader hears of the writer's reason.
func TestBrittle(t *testing.T) {
	ours, theirs := net.Pipe()
	released := false
	b := &brittle{Conn: ours, release: func() bool { released = true; return true }}
	go theirs.Close()
	reason := func() error { _, err := b.Write([]byte("x")); return err }()
	if reason == nil || !released {
		t.Fatalf("write: %v, released %v", reason, released)
	}
	if _, err := theirs.Write([]byte("x")); err == nil {
		t.Error("the other side can still write")
	}
	shut, _ := net.Pipe()
	shut.Close()
	b.Conn = closedConn{shut}
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, reason) {
		t.Errorf("read: %v, want %v", err, reason)
	}
}

// closedConn says what a socket says that was closed here.
type closedConn struct{ net.Conn }

func (closedConn) Read([]byte) (int, error) { return 0, net.ErrClosed }
