package msggen

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cometctl/internal/pace"
)

// perSecond is a rate of n/s.
func perSecond(n uint64) pace.Rate { return pace.Rate{Events: n, Per: time.Second} }

// bubble runs test in a bubble with a fake server.
func bubble(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newFake(t)) })
}

func TestEachMessageLeavesWhenItIsDue(t *testing.T) {
	for _, workers := range []int{1, 3, maxPrecise, maxPrecise + 1, 100} {
		bubble(t, func(t *testing.T, f *fake) {
			cfg := f.config()
			cfg.Workers, cfg.Rate, cfg.Duration = workers, perSecond(700), 3*time.Second
			res, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatalf("%d workers: %v", workers, err)
			}
			balanced(t, res)
			if res.Sent != 2100 || res.Accepted != 2100 || res.Late != 0 || res.Lag.Max != 0 || res.Rate != 700 || res.Unsent != 0 {
				t.Errorf("%d workers: %+v", workers, res)
			}
			if res.Ledger.Sent != 2100 || res.Ledger.Offline != 2100 {
				t.Errorf("%d workers: ledger %+v", workers, res.Ledger)
			}
			got := f.messages()
			if len(got) != 2100 {
				t.Fatalf("%d workers: the server read %d messages, want 2100", workers, len(got))
			}
			for _, m := range got {
				due := res.Run.Start.Add(cfg.Rate.Due(m.num - 1))
				if !m.due.Equal(due) || !m.at.Equal(due) {
					t.Fatalf("message %d was due at %v, is stamped %v and was read at %v", m.num, due, m.due, m.at)
				}
				if worker := int(m.num-1) % workers; m.run.Worker() != worker {
					t.Fatalf("message %d came from worker %d, want %d", m.num, m.run.Worker(), worker)
				}
			}
		})
	}
}

func TestArticle(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Workers, cfg.Rate, cfg.Count = 100, pace.Every(100*time.Millisecond).Times(100), 100*20
		res, err := Run(t.Context(), cfg)
		if err != nil || res.Accepted != 2000 || res.Rate != 1000 || res.Late != 0 {
			t.Fatalf("%+v, %v", res, err)
		}
		each := map[int]int{}
		for _, m := range f.messages() {
			each[m.run.Worker()]++
		}
		for w := range 100 {
			if each[w] != 20 {
				t.Errorf("worker %d sent %d messages, want 20", w, each[w])
			}
		}
	})
}

// TestStall is the coordinated omission: while the server does not read, messages fall due, and each is late by its own
// time, sent and never skipped.
func TestStall(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		n := 0
		f.pace = func() time.Duration {
			if n++; n == 1000 {
				return 3 * time.Second
			}
			return 0
		}
		cfg := f.config()
		cfg.Rate, cfg.Duration = perSecond(1000), 10*time.Second
		res, err := Run(t.Context(), cfg)
		if err != nil || res.Accepted != 10_000 {
			t.Fatalf("%+v, %v", res, err)
		}
		if res.Late < 2990 || res.Late > 3010 || res.Lag.Max < 2990 || res.Lag.Max > 3010 || res.Lag.P50 != 0 {
			t.Errorf("after a stall of 3 s: late %d, lag %+v", res.Late, res.Lag)
		}
		f.messages()
	})
}

func TestLateBeginsAfterAMillisecond(t *testing.T) {
	for _, over := range []time.Duration{LateAfter, LateAfter + 1} {
		bubble(t, func(t *testing.T, f *fake) {
			cfg := f.config()
			cfg.Sleep = func(d time.Duration) { time.Sleep(d + over) }
			cfg.Rate, cfg.Count = perSecond(100), 100
			want := uint64(0)
			if over > LateAfter {
				want = 99 // the first is due at the start
			}
			res, err := Run(t.Context(), cfg)
			if err != nil || res.Late != want || res.Lag.P50 != 1 {
				t.Errorf("oversleeping by %v: %+v, %v", over, res, err)
			}
		})
	}
}

// TestMetronomeCatchesUp: when several events are due at once, all their workers are woken.
func TestMetronomeCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Sleep = func(d time.Duration) { time.Sleep(d + 5*time.Millisecond) }
		cfg.Workers, cfg.Rate, cfg.Duration = 20, perSecond(1000), time.Second
		res, err := Run(t.Context(), cfg)
		if err != nil || res.Accepted != 1000 || res.Lag.Max > 5.01 {
			t.Errorf("%+v, %v", res, err)
		}
		f.messages()
	})
}

// TestServerTooSlow: the duration bounds the run, a grace for the backlog included.
func TestServerTooSlow(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.pace = func() time.Duration { return 10 * time.Millisecond }
		cfg := f.config()
		cfg.Rate, cfg.Duration = perSecond(1000), 10*time.Second
		begin := time.Now()
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if !errors.Is(err, ErrIncomplete) || res.Unsent == 0 || res.Sent+res.Unsent != 10_000 || res.Rate >= 1000 {
			t.Errorf("%+v, %v", res, err)
		}
		if took := time.Since(begin); took < 20*time.Second || took > 22*time.Second {
			t.Errorf("took %v, want 10 s and as much grace", took)
		}
	})
}

// TestInterruptAServerThatHangs: a write that blocks for good does not outlive the grace.
func TestInterruptAServerThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.pace = func() time.Duration { return time.Minute }
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		cfg := f.config()
		cfg.Rate = perSecond(10_000)
		begin := time.Now()
		res, err := Run(ctx, cfg)
		balanced(t, res)
		if !errors.Is(err, ErrIncomplete) || res.Unconfirmed == 0 {
			t.Errorf("%+v, %v", res, err)
		}
		if took := time.Since(begin); took < 12*time.Second || took > 14*time.Second {
			t.Errorf("took %v, want 2 s and the grace", took)
		}
	})
}

func TestServerGoesAwayAndReturns(t *testing.T) {
	for _, workers := range []int{1, 20} {
		bubble(t, func(t *testing.T, f *fake) {
			cfg := f.config()
			cfg.Workers, cfg.Rate, cfg.Duration = workers, perSecond(1000), 20*time.Second
			go func() {
				time.Sleep(4500*time.Millisecond + time.Microsecond)
				f.stop()
				time.Sleep(6 * time.Second)
				f.start()
			}()
			res, err := Run(t.Context(), cfg)
			if !errors.Is(err, ErrIncomplete) {
				t.Fatalf("%d workers: messages of a broken request are unconfirmed, yet the error is %v", workers, err)
			}
			cost, after, ok := strings.Cut(err.Error(), "; last: ")
			if !ok || !strings.Contains(cost, "; first: ") || !strings.Contains(after, "connection refused") {
				t.Errorf("%d workers: %v, want the end that cost messages before the refused reconnects", workers, err)
			}
			balanced(t, res)
			if res.Sent != 20_000 || res.Unsent != 0 {
				t.Errorf("%d workers: sent %d of 20000, unsent %d", workers, res.Sent, res.Unsent)
			}
			// At most the pieces that were open or unanswered are lost, a second of messages each.
			if res.Unconfirmed == 0 || res.Unconfirmed > 2000 {
				t.Errorf("%d workers: %d unconfirmed", workers, res.Unconfirmed)
			}
			if res.Late < 5500 || res.Late > 8500 || res.Lag.Max < 5500 || res.Lag.Max > 8500 {
				t.Errorf("%d workers: late %d, lag %+v after 6 s without a server", workers, res.Late, res.Lag)
			}
			if int(res.Reconnects) != workers {
				t.Errorf("%d workers reconnected %d times", workers, res.Reconnects)
			}
			if got := len(f.messages()); uint64(got) > res.Sent || uint64(got) < res.Accepted {
				t.Errorf("%d workers: the server read %d messages: sent %d, accepted %d", workers, got, res.Sent, res.Accepted)
			}
			if dials := len(f.net.dials); dials > 10*workers {
				t.Errorf("%d workers dialled %d times in 6 s", workers, dials)
			}
		})
	}
}

func TestServerNeverReturns(t *testing.T) {
	tests := []struct {
		name string
		set  func(*Config)
		ends time.Duration // of the run, at the latest
	}{
		{"duration", func(c *Config) { c.Rate, c.Duration = perSecond(100), 20*time.Second }, 30 * time.Second},
		{"count", func(c *Config) { c.Rate, c.Count = perSecond(100), 2000 }, 32 * time.Second},
		{"unlimited for a time", func(c *Config) { c.Duration = 20 * time.Second }, 32 * time.Second},
		{"unlimited count", func(c *Config) { c.Count = 1 << 40 }, 17 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.pace = func() time.Duration { return time.Millisecond } // or else time would stand still for one that never waits
				cfg := f.config()
				tt.set(&cfg)
				go func() { time.Sleep(5 * time.Second); f.stop() }()
				begin := time.Now()
				res, err := Run(t.Context(), cfg)
				balanced(t, res)
				if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "connection refused") {
					t.Errorf("error %v", err)
				}
				if took := time.Since(begin); took > tt.ends {
					t.Errorf("the run took %v, want %v at most", took, tt.ends)
				}
				if !cfg.Rate.Unlimited() && res.Sent+res.Unsent != 2000 {
					t.Errorf("sent %d + unsent %d is not what was due: 2000", res.Sent, res.Unsent)
				}
				if res.Accepted == 0 || res.Unconfirmed == 0 {
					t.Errorf("%+v", res)
				}
			})
		})
	}
}

func TestNobodyListens(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.stop()
		synctest.Wait()
		cfg := f.config()
		cfg.Rate = perSecond(1000)
		res, err := Run(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "cannot connect to 127.0.0.1:8001: connection refused; is cometctl serve running?") {
			t.Errorf("error %v", err)
		}
		if !res.Run.Start.IsZero() {
			t.Errorf("result %+v", res)
		}
	})
}

func TestInterrupt(t *testing.T) {
	for _, rate := range []uint64{0, 1000} {
		bubble(t, func(t *testing.T, f *fake) {
			if rate == 0 {
				f.pace = func() time.Duration { return time.Millisecond }
			}
			ctx, stop := context.WithTimeout(t.Context(), 2500*time.Millisecond+time.Microsecond)
			defer stop()
			cfg := f.config()
			cfg.Rate = perSecond(rate)
			begin := time.Now()
			res, err := Run(ctx, cfg)
			if err != nil || res.Sent == 0 || res.Accepted != res.Sent || rate > 0 && res.Sent != 2501 {
				t.Errorf("at %d/s: %+v, %v", rate, res, err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("at %d/s: took %v to stop", rate, took-2500*time.Millisecond)
			}
		})
	}
}

func TestInterruptWhileTheServerIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		go func() { time.Sleep(time.Second + 1); f.stop() }()
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Second)
		defer stop()
		cfg := f.config()
		cfg.Rate = perSecond(10)
		begin := time.Now()
		res, err := Run(ctx, cfg)
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "refused") || res.Unsent < 980 || res.Sent+res.Unsent != 1001 {
			t.Errorf("%+v, %v", res, err)
		}
		if took := time.Since(begin); took > 101*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestInterruptOwingMessages: all that was sent is accepted, and yet a message that could not be is a failure.
func TestInterruptOwingMessages(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		go func() { time.Sleep(5 * time.Second); f.stop() }()
		ctx, stop := context.WithTimeout(t.Context(), 15*time.Second)
		defer stop()
		cfg := f.config()
		cfg.Rate = pace.Every(10 * time.Second)
		res, err := Run(ctx, cfg)
		if !errors.Is(err, ErrIncomplete) || res.Sent != 1 || res.Accepted != 1 || res.Unsent != 1 {
			t.Errorf("%+v, %v", res, err)
		}
	})
}
