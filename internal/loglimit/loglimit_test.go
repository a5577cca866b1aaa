package loglimit

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// written is what a log has written. A timer's goroutine writes, too.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

// newLog is a log without times, and what it has written.
func newLog() (*slog.Logger, *Handler, *written) {
	b := &written{}
	h := New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return slog.New(h), h, b
}

// took is what was written since the last call, line by line.
func took(w *written) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.TrimSuffix(w.b.String(), "\n")
	w.b.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func TestBurstAndSum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, b := newLog()
		storm := func(n int) {
			for i := range n {
				log.Warn("refused", "n", i)
			}
		}
		storm(130)
		log.Warn("something else")
		log.Error("refused") // another level, another kind
		lines := took(b)
		if len(lines) != Burst+2 || lines[0] != "level=WARN msg=refused n=0" || lines[Burst] != `level=WARN msg="something else"` || lines[Burst+1] != "level=ERROR msg=refused" {
			t.Errorf("a burst: %q", lines)
		}
		time.Sleep(Window - 1)
		synctest.Wait()
		if lines := took(b); lines != nil {
			t.Errorf("early: %q", lines)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if lines := took(b); len(lines) != 1 || lines[0] != `level=WARN msg="refused: more like this" more=120 in=10s` {
			t.Errorf("the sum: %q", lines)
		}
		storm(50) // it goes on: one passes
		time.Sleep(Window)
		synctest.Wait()
		if lines := took(b); len(lines) != 2 || lines[0] != "level=WARN msg=refused n=0" || !strings.Contains(lines[1], "more=49 ") {
			t.Errorf("the next window: %q", lines)
		}
		storm(1) // that is no storm
		time.Sleep(Window)
		synctest.Wait()
		storm(Burst + 1)
		if lines := took(b); len(lines) != 1+Burst {
			t.Errorf("after a quiet window: %q", lines)
		}
	})
}

// Few messages, or such that come slowly, all pass, and leave no timer.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, b := newLog()
		for range 100 {
			log.Info("a worker has died")
			time.Sleep(Window/Burst + 1)
		}
		if lines := took(b); len(lines) != 100 {
			t.Errorf("%d lines", len(lines))
		}
	})
}

// What differs in numbers only is of one kind.
func TestDigits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, b := newLog()
		for i := range 3 * Burst {
			log.Warn(fmt.Sprintf("read tcp 127.0.0.1:%d: reset after %v", 40000+i, time.Duration(i+1)*time.Second))
		}
		h.Close()
		if lines := took(b); len(lines) != Burst+1 || !strings.Contains(lines[Burst], `msg="read tcp 127.0.0.1:40000: reset after 1s: more like this" more=20 `) {
			t.Errorf("%q", lines)
		}
	})
}

func TestDebugPasses(t *testing.T) {
	log, _, b := newLog()
	for range 5 * Burst {
		log.Debug("connection ended")
	}
	if lines := took(b); len(lines) != 5*Burst {
		t.Errorf("%d lines", len(lines))
	}
	if !log.Enabled(t.Context(), slog.LevelDebug) || slog.New(New(slog.DiscardHandler)).Enabled(t.Context(), slog.LevelError) {
		t.Error("it does not ask where it hands on")
	}
}

// Loggers made from one count together; the sum has what the last one that was held has.
func TestDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, b := newLog()
		for range Burst {
			log.Warn("refused")
		}
		log.With("worker", 3).WithGroup("g").Warn("refused")
		if lines := took(b); len(lines) != Burst {
			t.Errorf("%q", lines)
		}
		h.Close()
		if lines := took(b); len(lines) != 1 || lines[0] != `level=WARN msg="refused: more like this" worker=3 g.more=1 g.in=10s` {
			t.Errorf("at the end: %q", lines)
		}
		log.Warn("refused")
		h.Close()
		time.Sleep(2 * Window)
		synctest.Wait()
		if lines := took(b); len(lines) != 1 || lines[0] != "level=WARN msg=refused" {
			t.Errorf("after the end: %q", lines)
		}
	})
}

// Messages that are all different do not fill the memory, and are limited together.
func TestManyKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, b := newLog()
		for i := range 3 * maxKinds {
			log.Warn("from " + strings.Repeat("x", i))
		}
		if lines := took(b); len(lines) != maxKinds+Burst || len(h.kinds) != maxKinds+1 {
			t.Errorf("%d lines, %d kinds", len(lines), len(h.kinds))
		}
		h.Close()
		if lines := took(b); len(lines) != 1 || !strings.Contains(lines[0], fmt.Sprintf(`"other messages: more like this" more=%d `, 2*maxKinds-Burst)) {
			t.Errorf("%q", lines)
		}
	})
}

func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, b := newLog()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 1000 {
					log.Warn("refused")
				}
			})
		}
		all.Wait()
		h.Close()
		if lines := took(b); len(lines) != Burst+1 || !strings.Contains(lines[Burst], fmt.Sprintf("more=%d ", 8000-Burst)) {
			t.Errorf("%q", lines)
		}
	})
}

func BenchmarkHeld(b *testing.B) {
	log := slog.New(New(slog.NewTextHandler(io.Discard, nil)))
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("a client was refused", "cause", "full")
	}
}
