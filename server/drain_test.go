package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"cometctl/internal/rlimit"
	"cometctl/server/history"
)

// drain starts a Drain and returns where its error will come.
func drain(s *Server) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Drain(context.Background()) }()
	return done
}

func TestDrain(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, DrainTimeout: patience})
		stream, old, half, silent := dial(t, s).stream("1"), dial(t, s), dial(t, s), dial(t, s)
		old.say("GET /test/2 HTTP/1.0\r\n\r\n")
		old.head()
		half.say("GET /test/3 HT")
		until(t, "half a head seen", func() bool { n, _ := partials(s); return n == 1 })
		until(t, "all accepted", func() bool { return s.Stats().Conns.Open == 4 })
		publisher := begin(t, s)
		publisher.lines("1\tone\n2\ttwo\n4\tnobody\n1\tcut o")
		until(t, "three messages taken", func() bool { return s.Stats().Ledger.Sent == 3 })
		done := drain(s)

		status, sum := publisher.totals()
		if status != 503 || sum.Sent != 3 || sum.Offline != 1 || !strings.Contains(sum.Cut, "about to end") {
			t.Errorf("the publisher was told %d %+v", status, sum)
		}
		if got, want := stream.rest(), "18\r\nRecvd msg #1: 'one'<br/>\r\n0\r\n\r\n"; got != want {
			t.Errorf("stream ends with %q, want %q", got, want)
		}
		if got, want := old.rest(), "Recvd msg #1: 'two'<br/>"; got != want {
			t.Errorf("HTTP/1.0 stream ends with %q, want %q", got, want)
		}
		for _, b := range []*browser{half, silent} {
			if got := b.rest(); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "Retry-After") {
				t.Errorf("without a request: %q", got)
			}
		}
		// The server waits for its peers, and says so meanwhile.
		for path, want := range map[string]int{"/readyz": 503, "/healthz": 200, "/stats": 200} {
			if a := admin(t, s, "GET", path, "", nil); a.status != want || path == "/stats" && !strings.Contains(a.body, `"draining":true`) {
				t.Errorf("%s while draining: %d %s", path, a.status, a.body)
			}
		}
		if a := admin(t, s, "POST", "/send", "", strings.NewReader("1\tlate\n")); a.status != 200 && a.status != 503 {
			t.Errorf("a late publisher: %d %s", a.status, a.body)
		}
		if c, err := net.Dial("tcp", s.Comet().String()); err == nil {
			c.Close()
			t.Error("a connection was taken while draining")
		}
		for _, b := range []*browser{stream, old, half, silent} {
			b.Close()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if l := s.Stats().Ledger; !l.balanced() || l.Delivered != 2 || l.Pending != 0 {
			t.Errorf("ledger %+v", l)
		}
		if err := s.Drain(context.Background()); err != nil {
			t.Errorf("a second Drain: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close after Drain: %v", err)
		}
		if c, err := net.Dial("tcp", s.Admin().String()); err == nil {
			c.Close()
			t.Error("the admin listener is still there")
		}
	})
}

// A subscriber whose pending output was at its bound gets all of it, and the last chunk, if it reads in time.
func TestDrainBacklog(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxPending: 100_000, DrainTimeout: patience})
		slow := dialTo(t, s.Comet().String(), 4<<10).stream("1")
		sent := fill(t, s, "1", stuck(s))
		done := drain(s)
		n := 0
		for {
			text, err := slow.message(n + 1)
			if err != nil {
				t.Fatalf("after %d messages: %v", n, err)
			}
			if text == "" {
				break
			}
			n++
		}
		slow.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := Ledger{Sent: int64(sent), Copies: int64(sent), Delivered: int64(n), Dropped: int64(sent - n)}
		if got := s.Stats().Ledger; got != want {
			t.Errorf("ledger %+v, want %+v", got, want)
		}
	})
}

// A subscriber who does not read, and one who does not close, hold the end up for as long as is allowed.
func TestDrainIsBounded(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxPending: 100_000, DrainTimeout: 50 * time.Millisecond})
		dialTo(t, s.Comet().String(), 4<<10).stream("1")
		fill(t, s, "1", stuck(s))
		dial(t, s).stream("2")
		err := s.Drain(context.Background())
		if err == nil || !strings.Contains(err.Error(), "2 connections did not end within 50ms and were cut") {
			t.Errorf("Drain said %v", err)
		}
		if again := s.Drain(context.Background()); again != err {
			t.Errorf("a second Drain said %v", again)
		}
		if l := s.Stats().Ledger; !l.balanced() || l.Pending != 0 || l.Gone == 0 {
			t.Errorf("ledger %+v", l)
		}
		if c := s.Stats().Conns; c.Open != 0 || s.counts.held.Load() != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestDrainCancelled(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, DrainTimeout: time.Hour})
		dial(t, s).stream("1")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Drain(ctx); err == nil {
			t.Error("a connection was cut and Drain does not say so")
		}
	})
}

func TestDrainEmpty(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		if err := start(t, Config{Engine: engine, DrainTimeout: time.Hour}).Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxPending: 100_000})
		dialTo(t, s.Comet().String(), 4<<10).stream("1")
		fill(t, s, "1", stuck(s))
		publisher := begin(t, s)
		publisher.lines("2\tx\n")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if l := s.Stats().Ledger; !l.balanced() || l.Pending != 0 || l.Gone == 0 {
			t.Errorf("ledger %+v", l)
		}
		if err := s.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
		if err := s.Drain(context.Background()); err != nil {
			t.Errorf("Drain after Close: %v", err)
		}
	})
}

// What a publisher sends while the server closes is accounted for, too.
func TestCloseUnderTraffic(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for range 5 {
			s := start(t, Config{Engine: engine, MaxPending: 1 << 20})
			for range 3 {
				go io.Copy(io.Discard, dial(t, s).stream("1"))
			}
			done := make(chan bool)
			p := s.newPublisher()
			go func() {
				defer close(done)
				for s.Stats().Conns.Open > 0 || s.local.Stats().Sessions > 0 {
					p.send([]byte("1"), []byte("message"))
					s.engine.Flush()
				}
				s.ledger.close(p.tag)
			}()
			until(t, "traffic", func() bool { return s.Stats().Ledger.Delivered > 100 })
			s.Close()
			<-done
			if l := s.Stats().Ledger; !l.balanced() || l.Pending != 0 || l.Sent == 0 {
				t.Errorf("ledger %+v", l)
			}
		}
	})
}

// openFiles counts this process's descriptors, where that can be done.
func openFiles() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

func TestNewFails(t *testing.T) {
	start(t, Config{}).Close() // whatever the runtime opens once is open
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	eachEngine(t, func(t *testing.T, engine string) {
		for _, c := range []struct {
			name   string
			cfg    Config
			config bool // ErrConfig
			says   []string
		}{
			{"comet port", Config{Listen: port}, false, []string{"server: comet listener: ", port, "address already in use"}},
			{"admin port", Config{Admin: port}, false, []string{"server: admin listener: ", port, "address already in use"}},
			{"both the same", Config{Listen: port, Admin: port}, true, []string{"server: --listen " + port + " and --admin " + port + " are the same port"}},
			{"one in the other", Config{Listen: ":8000", Admin: "127.0.0.1:8000"}, true, []string{"same port"}},
			{"the other in the one", Config{Listen: "127.0.0.1:8000", Admin: "0.0.0.0:8000"}, true, []string{"same port"}},
			{"listen", Config{Listen: "nonsense"}, true, []string{`server: --listen "nonsense": want host:port`}},
			{"admin", Config{Admin: "127.0.0.1:99999"}, true, []string{`server: --admin "127.0.0.1:99999"`}},
			{"policy", Config{SlowPolicy: "wait"}, true, []string{`server: --slow-policy "wait"`, `"drop"`, `"close"`}},
			{"engine", Config{Engine: "steam"}, true, []string{`server: --engine "steam": this system has [`, `"goroutine"]`}},
			{"loops", Config{Loops: 257}, true, []string{"server: --loops 257: give 1 to 256, or 0 for one per processor"}},
			{"negative loops", Config{Loops: -1}, true, []string{"server: --loops -1: give 1 to 256, or 0"}},
			{"max-conns", Config{MaxConns: -5}, true, []string{"server: --max-conns -5"}},
			{"max-pending", Config{MaxPending: 1 << 31}, true, []string{"server: --max-pending 2147483648", "1073741824"}},
			{"message-max", Config{MessageMax: 1<<24 + 1}, true, []string{"server: --message-max 16777217", "16777216"}},
			{"history", Config{History: history.Config{Messages: 1<<20 + 1}}, true, []string{"server: --history 1048577: give 1 to 1048576"}},
			{"history-bytes", Config{History: history.Config{Bytes: -1}}, true, []string{"server: --history-bytes -1: give 256 to 1073741824"}},
			{"history-ttl", Config{History: history.Config{TTL: 721 * time.Hour}}, true, []string{"server: --history-ttl 721h0m0s: give 1s to 720h0m0s"}},
			{"history-total", Config{History: history.Config{Total: 1<<20 - 1}}, true, []string{"server: --history-total 1048575: give 1048576"}},
			{"history of one id", Config{History: history.Config{Total: 1 << 20, Bytes: 1<<19 + 1}}, true, []string{"server: --history-total 1048576 with --history-bytes 524289"}},
			{"head-timeout", Config{HeadTimeout: -1}, true, []string{"server: --head-timeout -1ns"}},
			{"keep-alive", Config{KeepAlive: -1}, true, []string{"server: --keep-alive -1ns"}},
			{"heartbeat", Config{Heartbeat: 25 * time.Hour}, true, []string{"server: --heartbeat 25h0m0s: give at most 24h0m0s, or off"}},
			{"retry", Config{Retry: -1}, true, []string{"server: --retry -1ns: give up to 24h0m0s"}},
			{"poll-wait", Config{PollWait: 1 << 62}, true, []string{"server: --poll-wait "}},
			{"drain-timeout", Config{DrainTimeout: -time.Second}, true, []string{"server: --drain-timeout -1s"}},
		} {
			def(&c.cfg.Listen, "127.0.0.1:0")
			def(&c.cfg.Admin, "127.0.0.1:0")
			def(&c.cfg.Engine, engine)
			s, err := New(c.cfg)
			if err == nil {
				s.Close()
				t.Errorf("%s: no error", c.name)
				continue
			}
			if errors.Is(err, ErrConfig) != c.config {
				t.Errorf("%s: is %q a bad configuration?", c.name, err)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) && runtime.GOOS != "windows" {
					t.Errorf("%s: %q does not say %q", c.name, err, says)
				}
			}
		}
	})
	until(t, "nothing is left behind", func() bool { return runtime.NumGoroutine() <= goroutines && openFiles() <= files })
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "127.0.0.1", true}, {"", "", true}, {"::", "127.0.0.1", true}, {"::", "::1", true}, {"0.0.0.0", "127.0.0.1", true}, {"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.1", "127.0.0.2", false}, {"127.0.0.1", "::1", false}, {"0.0.0.0", "::1", false}, {"127.0.0.1", "", false},
	} {
		if got := covers(net.ParseIP(c.a), net.ParseIP(c.b)); got != c.want {
			t.Errorf("%q covers %q: %t", c.a, c.b, got)
		}
	}
}

func TestTooManyConns(t *testing.T) {
	files, err := rlimit.Raise()
	if err != nil || files.Hard > 1<<27-rlimit.Reserve {
		t.Skipf("the hard limit is %d (%v)", files.Hard, err)
	}
	_, err = New(Config{MaxConns: 1 << 27})
	if possible := fmt.Sprint(files.Hard - rlimit.Reserve); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "at most "+possible) {
		t.Errorf("%v, want one that says %s", err, possible)
	}
}
