package findmax

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
)

// TestMain lets the test binary be the receiver: with an address for its only argument it repeats on stderr what comes from there.
func TestMain(m *testing.M) {
	if address, ok := os.LookupEnv("FINDMAX_TEST_RECEIVER"); ok && len(os.Args) == 2 && os.Args[1] == address {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			os.Exit(1)
		}
		if _, err := io.Copy(os.Stderr, conn); err != nil {
			os.Exit(1)
		}
		os.Exit(7)
	}
	os.Exit(m.Run())
}

// puppet is the receiver's other end: what it is told to say.
type puppet struct {
	t        *testing.T
	conn     chan net.Conn
	messages uint64
}

// newPuppet returns a puppet, and a Config whose receiver it is.
func newPuppet(t *testing.T, cfg Config) (*puppet, Config) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &puppet{t: t, conn: make(chan net.Conn, 1)}
	go func() {
		if conn, err := l.Accept(); err == nil {
			p.conn <- conn
		}
	}()
	t.Setenv("FINDMAX_TEST_RECEIVER", l.Addr().String())
	if cfg.Program, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	cfg.Receiver = []string{l.Addr().String()}
	cfg.Step, cfg.Settle = time.Second, 300*time.Millisecond
	return p, cfg
}

// say says a line.
func (p *puppet) say(format string, args ...any) {
	conn := <-p.conn
	if _, err := fmt.Fprintf(conn, format+"\n", args...); err != nil {
		p.t.Error(err)
	}
	p.conn <- conn
}

// opened says that all connections are open.
func (p *puppet) opened() {
	p.say("words for people")
	p.say(`{"asked":10,"open":4,"phase":"ramp"}`)
	p.say(`{"asked":10,"open":10,"phase":"hold","messages":0}`)
}

// take says that so many messages came, in two lines, all of them with a latency.
func (p *puppet) take(n uint64, latency time.Duration) {
	for _, part := range []uint64{n / 2, n - n/2} {
		p.messages += part
		p.say(`{"asked":10,"open":10,"phase":"hold","messages":%d,"duplicated":%d,"interval_us":{"latency":[[%d,%d]],"service":[[7,%d]]}}`, p.messages, p.messages/100,
			latency.Microseconds(), part, part)
	}
}

// TestRun searches with a server that is as slow as its load: p99 is a ms for each 1000/s, and loses a message beyond 3000/s.
func TestRun(t *testing.T) {
	cfg := promises(t, "p99<2500us", "missing<1")
	cfg.Plan = Plan{From: 1000, Precision: 0.3, Repeats: 2}
	p, cfg := newPuppet(t, cfg)
	cfg.Send = func(_ context.Context, rate uint64, n int, step time.Duration) (Sent, error) {
		came := rate
		if rate > 3000 {
			came--
		}
		p.take(came, time.Duration(rate)*time.Microsecond)
		return Sent{Rate: float64(rate), Sent: rate}, nil
	}
	watched := 0
	cfg.Watch = func(n int, _ Trial) {
		if n != watched {
			t.Errorf("trial %d after %d", n, watched)
		}
		watched++
	}
	go p.opened()
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var rates []uint64
	for _, x := range res.Trials {
		rates = append(rates, x.Asked)
		missing := uint64(0)
		if x.Asked > 3000 {
			missing = 1
		}
		if x.Received != x.Asked-missing || x.Missing != missing || x.Service.P99 != 0.007 || x.Open != 10 {
			t.Errorf("trial of %d/s: %+v", x.Asked, x)
		}
		if want := float64(x.Asked) / 1000; x.Latency.P99 < want || x.Latency.P99 > want*1.002 {
			t.Errorf("trial of %d/s: latency %+v: it has others' messages in it", x.Asked, x.Latency)
		}
	}
	if want := "[1000 2000 4000 4000 2828 2828 2378 2378]"; fmt.Sprint(rates) != want || watched != 8 {
		t.Errorf("rates %v, want %v", rates, want)
	}
	if res.Rate != 2378 || res.Beyond != 2828 || res.Held != 2 || strings.Join(res.Promises, " ") != "p99<2500us missing<1" {
		t.Errorf("%+v", res.Summary)
	}
}

func TestRunFails(t *testing.T) {
	slow := func(context.Context, uint64, int, time.Duration) (Sent, error) {
		return Sent{Rate: 1000, Sent: 1000}, nil
	}
	for _, tt := range []struct {
		name   string
		script func(p *puppet)
		send   func(context.Context, uint64, int, time.Duration) (Sent, error)
		want   string
		is     error
	}{
		{"not all open", func(p *puppet) { p.say(`{"asked":10,"open":9,"failed":1,"phase":"hold"}`) }, slow, "holds only 9 of 10 connections: 1 failed", ErrReceiver},
		{"ends at once", func(p *puppet) { p.say("no such file: urls.txt"); (<-p.conn).Close() }, slow, "exit status 7: no such file: urls.txt", ErrReceiver},
		{"nothing comes", func(p *puppet) { p.opened() }, slow, "p99 was not measured: 1000 messages were sent and 0 received", ErrUnmeasured},
		{"generator", func(p *puppet) { p.opened() }, func(context.Context, uint64, int, time.Duration) (Sent, error) { return Sent{}, errors.New("refused") }, "trial of 1000/s: refused", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := promises(t, "p99<2500us")
			cfg.Plan = Plan{From: 1000, Precision: 0.3, Repeats: 2}
			p, cfg := newPuppet(t, cfg)
			cfg.Send = tt.send
			go tt.script(p)
			res, err := Run(t.Context(), cfg)
			want := tt.want
			if runtime.GOOS == "windows" {
				want = strings.TrimPrefix(want, "exit status 7: ")
			}
			if err == nil || !strings.Contains(err.Error(), want) || tt.is != nil && !errors.Is(err, tt.is) || len(res.Trials) != 0 {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
	cfg := promises(t, "p99<1s")
	cfg.Program = "/nonexistent/cometctl"
	if _, err := Run(t.Context(), cfg); !errors.Is(err, ErrReceiver) {
		t.Errorf("no program: %v", err)
	}
}

// TestInterrupt: what was found until then is told, and the trial that was cut short is none.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cfg := promises(t, "p99<1s")
	cfg.Plan = Plan{From: 1000, Precision: 0.3, Repeats: 2}
	p, cfg := newPuppet(t, cfg)
	cfg.Send = func(_ context.Context, rate uint64, n int, _ time.Duration) (Sent, error) {
		if n == 2 {
			cancel()
			return Sent{Rate: 1, Sent: 1}, nil
		}
		p.take(rate, time.Millisecond)
		return Sent{Rate: float64(rate), Sent: rate}, nil
	}
	go p.opened()
	res, err := Run(ctx, cfg)
	if err != nil || len(res.Trials) != 2 || res.Rate != 2000 || res.Beyond != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}
