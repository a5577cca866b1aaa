package msggen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/subject"
)

// fakeNATS is a NATS server as far as a publisher notices, on a bubble's clock and pipes or on sockets. Nobody is subscribed to anything.
type fakeNATS struct {
	t      *testing.T
	net    *pipes
	denies string // the id that nobody may publish to
	breaks int    // the first connection ends after so many bytes of messages, unanswered; 0: it does not

	mu  sync.Mutex
	got []message
}

// natsBubble runs test in a bubble with such a server.
func natsBubble(t *testing.T, test func(t *testing.T, f *fakeNATS)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNATS{t: t, net: &pipes{}}
		l := f.net.listen()
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go f.serve(conn)
			}
		}()
		test(t, f)
	})
}

// natsOnSockets is such a server on loopback that answers before it reads on, as NATS does when a client's socket is full.
func natsOnSockets(t *testing.T, f *fakeNATS) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for breaks := f.breaks; ; breaks = 0 {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
				f.talk(conn, breaks, func(text string) { _, _ = io.WriteString(conn, text) }) // who is gone is not read from either
			}()
		}
	}()
	return "nats://" + l.Addr().String()
}

func (f *fakeNATS) config() Config {
	return Config{To: "nats://127.0.0.1:4222", IDs: 10, Dial: f.net.Dial, Sleep: time.Sleep}
}

// serve answers one connection. Answers leave on a goroutine of their own: a client that writes reads no less.
func (f *fakeNATS) serve(conn net.Conn) {
	out := make(chan string, 1<<16)
	defer close(out)
	go func() {
		defer conn.Close()
		for text := range out {
			if _, err := io.WriteString(conn, text); err != nil {
				return // the client has gone
			}
		}
	}()
	f.talk(conn, 0, func(text string) { out <- text })
}

// talk reads what a client says and gives the answers to say.
func (f *fakeNATS) talk(conn io.Reader, breaks int, say func(string)) {
	say(`INFO {"server_id":"F","version":"2.14.0","proto":1,"headers":true,"max_payload":1048576}` + "\r\n")
	in, subs, read := bufio.NewReader(conn), map[string]string{}, 0
	for breaks == 0 || read < breaks {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word := strings.Fields(line)
		switch word[0] {
		case "PING":
			if read == 0 || breaks == 0 {
				say("PONG\r\n")
			}
		case "SUB":
			subs[strings.TrimSuffix(word[1], ".*")] = word[2]
		case "PUB":
			size, err := strconv.Atoi(word[len(word)-1])
			payload := make([]byte, size+2)
			if err == nil {
				_, err = io.ReadFull(in, payload)
			}
			if err != nil || len(word) != 4 {
				f.t.Errorf("%q, %v", line, err)
				return
			}
			read += len(line) + size
			if breaks > 0 {
				continue
			}
			if f.take(word[1], payload[:size]) {
				reply := word[2]
				head := "NATS/1.0 503\r\nNats-Subject: " + word[1] + "\r\n\r\n"
				say(fmt.Sprintf("HMSG %s %s %d %d\r\n%s\r\n", reply, subs[reply[:strings.LastIndex(reply, ".")]], len(head), len(head), head))
			} else {
				say(fmt.Sprintf("-ERR 'Permissions Violation for Publish to %q'\r\n", word[1]))
			}
		}
	}
}

// take takes a message, unless nobody may publish there.
func (f *fakeNATS) take(to string, text []byte) bool {
	if to == subject.Ledger {
		return true
	}
	id, ok := subject.AppendID(nil, to)
	if string(id) == f.denies {
		return false
	}
	m, err := parseMessage(fmt.Appendf(nil, "%s\t%s", id, text))
	if !ok || err != nil {
		f.t.Errorf("%q on %q: %v", text, to, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, m)
	return true
}

func (f *fakeNATS) messages() []message {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := fake{t: f.t, got: f.got}
	return s.messages()
}

// TestNATSKeepsTheSchedule: each message leaves when it is due, whoever sends it.
func TestNATSKeepsTheSchedule(t *testing.T) {
	for _, workers := range []int{1, 3, maxPrecise, maxPrecise + 1, 100} {
		natsBubble(t, func(t *testing.T, f *fakeNATS) {
			cfg := f.config()
			cfg.Workers, cfg.Rate, cfg.Duration = workers, perSecond(700), 3*time.Second
			res, err := Run(t.Context(), cfg)
			balanced(t, res)
			if err != nil || res.Sent != 2100 || res.Accepted != 2100 || res.Unsent+res.Late+res.Reconnects != 0 || res.Rate != 700 || res.Lag.Max != 0 {
				t.Errorf("%d workers: %+v, %v", workers, res, err)
			}
			if want := (Ledger{Sent: 2100, Offline: 2100}); *res.Ledger != want {
				t.Errorf("%d workers: %+v", workers, res.Ledger)
			}
			got := f.messages()
			if len(got) != 2100 {
				t.Fatalf("%d workers: %d messages came", workers, len(got))
			}
			for _, m := range got {
				due := res.Run.Start.Add(cfg.Rate.Due(m.num - 1))
				if !m.due.Equal(due) || !m.at.Equal(due) || m.run.Worker() != int(m.num-1)%workers {
					t.Fatalf("%d workers: message %+v was due at %v", workers, m, due)
				}
			}
		})
	}
}

// TestNATSDenied: what NATS does not let us publish is bad, though it sends a PONG behind it, and ends the run.
func TestNATSDenied(t *testing.T) {
	natsBubble(t, func(t *testing.T, f *fakeNATS) {
		f.denies = "3"
		cfg := f.config()
		cfg.Rate, cfg.Duration = perSecond(100), time.Hour
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if !errors.Is(err, ErrIncomplete) || !errors.Is(err, nats.ErrPermissionViolation) || res.Bad != 1 || res.Accepted == 0 || res.Accepted != uint64(len(f.messages())) ||
			res.Ledger.Sent != res.Accepted || res.Ledger.Forwarded != 0 || res.Run.Elapsed > 10 {
			t.Errorf("%+v, %+v, %v", res, res.Ledger, err)
		}
	})
}

// A server that NATS names, and nobody here, is dialled under the same rule as those of --to.
func TestNATSDiscoveredServers(t *testing.T) {
	for _, allow := range []bool{false, true} {
		dialled := ""
		cfg := Config{To: "nats://127.0.0.1:4222", AllowRemote: allow, IDs: 1, Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = addr
			return nil, errors.New("nobody there")
		}}
		r := newRun(t.Context(), cfg)
		p := &natsPublisher{worker: &worker{run: r}}
		_, err := p.dial("tcp", "192.0.2.1:4222")
		if (dialled != "") != allow || err == nil || !allow && !strings.Contains(err.Error(), "--allow-remote") {
			t.Errorf("allowed %v: dialled %q, %v", allow, dialled, err)
		}
		r.stop()
		r.give(nil)
	}
}

// FuzzTargets holds that no target breaks the check, and that what passes it leads to this machine.
func FuzzTargets(f *testing.F) {
	for _, seed := range []string{"nats://127.0.0.1:4222,tls://[::1]:1", "nats://a@b@127.0.0.1", "nats://,", "tls://localhost.example.com", "nats://127.0.0.1:1,http://x",
		"POST http://127.0.0.1/{id}", "NATS://%6cocalhost:1", "nats://127.0.0.1\x00.example.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, to string) {
		c := Config{To: to, IDs: 1}
		if c.Check() != nil || !isNATS(to) {
			return
		}
		for _, one := range natsURLs(to) {
			u, err := url.Parse(one)
			if err != nil || !isLoopback(u.Hostname()) {
				t.Errorf("%q leads to %q, %v", to, one, err)
			}
		}
	})
}

// TestNATSBreaksWhenFull: a connection that takes all that may be unconfirmed and then breaks does not keep the next one from going on.
func TestNATSBreaksWhenFull(t *testing.T) {
	t.Parallel()
	for _, rate := range []uint64{0, 1_000_000} {
		f := &fakeNATS{t: t, breaks: natsWindow * 9 / 10}
		cfg := Config{To: natsOnSockets(t, f), IDs: 10, Rate: perSecond(rate), Count: 10_000}
		cfg.NATS.Retry = 10 * time.Millisecond
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if !errors.Is(err, ErrIncomplete) || res.Sent != 10_000 || res.Reconnects != 1 || res.Unconfirmed == 0 || res.Accepted != uint64(len(f.messages())) {
			t.Errorf("%d/s: %d messages came: %+v, %v", rate, len(f.messages()), res, err)
		}
	}
}

// TestNATSAnswersBeforeItReads: a server that reads nothing while we do not take its words, one for each message, does not
// lead to both waiting for each other.
func TestNATSAnswersBeforeItReads(t *testing.T) {
	t.Parallel()
	f := &fakeNATS{t: t}
	cfg := Config{To: natsOnSockets(t, f), IDs: 10, Count: 100_000}
	cfg.Dial = func(_ context.Context, network, addr string) (net.Conn, error) {
		conn, err := net.Dial(network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10) // its words do not fit in
		}
		return conn, err
	}
	res, err := Run(t.Context(), cfg)
	if err != nil || res.Accepted != 100_000 || res.Reconnects != 0 || res.Ledger.Offline != 100_000 {
		t.Errorf("%+v, %+v, %v", res, res.Ledger, err)
	}
}
