package server

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"cometctl/internal/netloop"
)

// Sessions are told to go evenly, and in time.
func TestGoodbyes(t *testing.T) {
	for _, c := range []struct {
		n       int
		timeout time.Duration
		window  time.Duration
	}{
		{0, 10 * time.Second, 0}, {1, 10 * time.Second, 2 * time.Millisecond}, {10, 10 * time.Second, 20 * time.Millisecond},
		{1000, 10 * time.Second, 2 * time.Second}, {1000, time.Second, 500 * time.Millisecond}, {1_000_000, 10 * time.Second, 5 * time.Second},
		{1 << 27, time.Hour, 30 * time.Minute},
	} {
		window := goodbyeWindow(c.n, c.timeout)
		if window != c.window {
			t.Errorf("%d in %v have %v, want %v", c.n, c.timeout, window, c.window)
		}
		last := 0
		for step := range 101 {
			elapsed := window * time.Duration(step) / 100
			told := goodbyes(c.n, elapsed, window)
			if told < last || told > c.n {
				t.Errorf("%d of %d after %v of %v", told, c.n, elapsed, window)
			}
			if even := c.n * step / 100; window > goodbyeStep && (told < even-1 || told > even+1) {
				t.Errorf("%d of %d after %v of %v, want %d", told, c.n, elapsed, window, even)
			}
			last = told
		}
		if last != c.n {
			t.Errorf("%d of %d were told in the end", last, c.n)
		}
	}
}

// A thousand streams do not end all at once, and all in order. How many have ended is looked at before and after each loop ends a share.
func TestDrainIsSpread(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const n = 1000
		s := start(t, Config{Engine: engine, MaxConns: 2 * n, DrainTimeout: patience})
		all := make([]*browser, n)
		for i := range all {
			all[i] = dial(t, s).stream(fmt.Sprint(i))
		}
		silent := dial(t, s)
		until(t, "all are there", func() bool { return s.Stats().Conns.Open == n+1 })
		f := &front{s: s}
		sessions := make([][]netloop.Conn, s.Loops())
		inLoops(s, func(l netloop.Loop, _ *frontLoop) { sessions[l.Index()] = f.dismiss(l) })
		ending := func() int64 { return s.Stats().Conns.By[dialectHTML][phaseEnd] }
		if len(sessions[0])+len(sessions[1]) != n || ending() != 0 {
			t.Fatalf("%d and %d sessions, %d are ending", len(sessions[0]), len(sessions[1]), ending())
		}
		if rest := silent.rest(); !strings.HasPrefix(rest, "HTTP/1.1 503 ") {
			t.Errorf("without a session: %q", rest)
		}
		window, told := goodbyeWindow(n, s.cfg.DrainTimeout), make([]int, s.Loops())
		for tenth := range 11 {
			for i := range sessions {
				to := goodbyes(len(sessions[i]), window*time.Duration(tenth)/10, window)
				f.sendAway(i, sessions[i][told[i]:to])
				told[i] = to
			}
			inLoops(s, func(netloop.Loop, *frontLoop) {}) // it is done
			if got, want := ending(), int64(n*tenth/10); got < want-2 || got > want+2 {
				t.Errorf("after %d tenths %d streams are ending, want %d", tenth, got, want)
			}
		}
		for i, b := range all {
			if got := b.rest(); got != "0\r\n\r\n" {
				t.Fatalf("stream %d ends with %q", i, got)
			}
		}
	})
}

// How each dialect is told.
func TestGoodbyeOfEachDialect(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, DrainTimeout: patience, Retry: time.Second})
		sse, lines, plain, poll, kept, behind := dial(t, s), dial(t, s), dial(t, s), dial(t, s), dial(t, s), dial(t, s)
		sse.begin("/events/1", "")
		sse.wantChunk("retry: 1000\n\n")
		lines.begin("/test/1", "Accept: application/x-ndjson\r\n")
		plain.say("GET /events/1 HTTP/1.0\r\n\r\n")
		plain.head()
		io.ReadFull(plain.r, make([]byte, len("retry: 1000\n\n")))
		poll.ask("/poll/1?wait=60s", "")
		kept.ask("/nope", "")
		kept.response()
		behind.ask("/poll/1?wait=60s", "").ask("/nope", "")
		until(t, "all wait", func() bool { return s.Stats().Router.Sessions == 5 && stashed(s) > 0 })
		done := drain(s)
		last, err := sse.chunk()
		var ms int
		if _, scanErr := fmt.Sscanf(last, "retry: %d\n\n", &ms); err != nil || scanErr != nil || ms < 1000 || ms > 3000 {
			t.Errorf("the event stream ends with %q, %v", last, err)
		}
		for b, want := range map[*browser]string{sse: "0\r\n\r\n", lines: "0\r\n\r\n", kept: ""} {
			if got := b.rest(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if got := plain.rest(); !strings.HasPrefix(got, "retry: ") {
			t.Errorf("without chunks it ends with %q", got)
		}
		for _, b := range []*browser{poll, behind} {
			if resp, _ := b.response(); resp.StatusCode != 204 || !resp.Close || resp.Header.Get("Last-Event-ID") == "" {
				t.Errorf("a poll got %d %v", resp.StatusCode, resp.Header)
			}
			if rest := b.rest(); rest != "" {
				t.Errorf("%q follows", rest)
			}
		}
		for _, b := range []*browser{sse, lines, plain, poll, kept, behind} {
			b.Close()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := s.counts.closed[causeDrained].Load(); n != 6 {
			t.Errorf("%d were drained", n)
		}
	})
}

// Few streams do not make the end slow, and an end that is called off does not wait for the many.
func TestDrainIsQuick(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, DrainTimeout: time.Hour})
		for range 300 {
			dial(t, s).stream("1")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Drain(ctx); err == nil {
			t.Error("connections were cut and Drain does not say so")
		}
	})
}
