package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunGoesThroughItsPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, err := w.run(t.Context())
		if err != nil || c.course.Interrupted != "" || c.course.Failures != nil {
			t.Fatalf("error %v, course %+v", err, c.course)
		}
		if got := w.names(c.man); !slices.Equal(got, phases) {
			t.Errorf("phases %v", got)
		}
		if want := []string{serve, mem, flood, msggen}; !slices.Equal(w.started, want) {
			t.Errorf("started %v, want %v", w.started, want)
		}
		if want := []string{flood, mem, serve}; !slices.Equal(w.stopped, want) {
			t.Errorf("stopped %v, want %v", w.stopped, want)
		}
		for i, p := range c.man.Phases {
			took := time.Duration(p.To - p.From)
			want := map[string]time.Duration{phaseEmpty: c.plan.empty, phaseIdle: c.plan.idle, phaseTraffic: w.cfg.Duration}[p.Name]
			if want != 0 && took != want {
				t.Errorf("%s took %s, want %s", p.Name, took, want)
			}
			if i > 0 && c.man.Phases[i-1].To != p.From {
				t.Errorf("%s does not begin where %s ends", p.Name, c.man.Phases[i-1].Name)
			}
		}
		for _, p := range c.man.Pieces {
			if p.Ended == 0 || p.Exit != "exit status 0" || p.PID == 0 || p.Args[0] != p.Name {
				t.Errorf("record of %s: %+v", p.Name, p)
			}
		}
		if c.man.FirstSample == 0 || c.man.Listen != "127.0.0.1:1" {
			t.Errorf("manifest: %+v", c.man)
		}
		w.checkProgress(c)
	})
}

// What people saw: every phase, an ETA that falls, and the numbers of the pieces.
func (w *world) checkProgress(c *conductor) {
	t := w.t
	if len(w.at) != len(phases) {
		t.Errorf("progress knew the phases %v", w.at)
	}
	first, last := w.progress[0], w.progress[len(w.progress)-1]
	if first.ETA < w.cfg.Duration || last.ETA > 2*time.Second {
		t.Errorf("ETA went from %s to %s", first.ETA, last.ETA)
	}
	if last.Open != 100 || last.Asked != 100 || last.Sent == 0 || last.Rate < 0 || last.Latency == nil || last.Latency.P99 != 3 || last.RSS <= 5000*1024 || last.PerConn <= 0 {
		t.Errorf("last progress: %+v", last)
	}
	seen := false
	for _, p := range w.progress {
		seen = seen || p.Phase == phaseTraffic && p.Rate == w.cfg.Rate
	}
	if !seen {
		t.Error("the rate of the traffic was never shown")
	}
}

func TestPieceThatDies(t *testing.T) {
	for _, c := range []struct {
		name   string
		death  death
		failed bool   // the run failed; otherwise it is inconclusive
		phase  string // that it was noticed in
		want   string
	}{
		{name: serve, death: death{10 * time.Second, 2, []string{"panic: oh", "goroutine 1"}}, failed: true, phase: phaseTraffic,
			want: "serve ended by itself in the traffic phase, after 10s, with exit status 2; its last words: panic: oh / goroutine 1."},
		{name: serve, death: death{0, 1, []string{"address in use"}}, failed: true, phase: phaseEmpty,
			want: "serve ended by itself in the empty phase, after 0s, with exit status 1; its last words: address in use."},
		{name: mem, death: death{time.Second / 2, 1, []string{"disk full"}}, phase: phaseEmpty, want: "; its last words: disk full."},
		{name: flood, death: death{time.Second / 2, 2, nil}, phase: phaseRamp, want: "flood ended by itself in the ramp phase"},
		{name: flood, death: death{8 * time.Second, 1, []string{"no connection is left open"}}, failed: true, phase: phaseTraffic,
			want: "its last words: no connection is left open."},
		{name: msggen, death: death{time.Second, 2, []string{"unknown flag"}}, phase: phaseTraffic, want: "msggen ended with exit status 2"},
		{name: msggen, death: death{5 * time.Second, 1, []string{"not every message"}}, failed: true, phase: phaseDrain,
			want: "msggen ended with exit status 1; its last words: not every message."},
	} {
		t.Run(fmt.Sprintf("%s after %s", c.name, c.death.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.die[c.name] = c.death
				got, err := w.run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				said := got.course.Interrupted
				if c.failed {
					if said != "" || len(got.course.Failures) == 0 {
						t.Fatalf("course %+v, want a failure", got.course)
					}
					said = got.course.Failures[0]
				}
				if !strings.Contains(said, c.want) {
					t.Errorf("it says %q, want %q", said, c.want)
				}
				for i, p := range phases[:len(phases)-1] { // the last one is how every run ends
					if _, ok := w.at[p]; ok != (i <= slices.Index(phases, c.phase)) {
						t.Errorf("phase %s began: %v; the death belongs to %s", p, ok, c.phase)
					}
				}
			})
		})
	}
}

// An instrument that was itself the limit says so in its result, and has done its work all the same.
func TestPieceThatWasTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.die[msggen] = death{5 * time.Second, exitInconclusive, []string{"the client was the limit"}}
		c, err := w.run(t.Context())
		if err != nil || c.course.Interrupted != "" || len(c.course.Failures) != 0 {
			t.Errorf("%v, course %+v; want neither a failure nor an interruption", err, c.course)
		}
		if _, ok := w.at[phaseDrain]; !ok {
			t.Error("the run did not go to its end")
		}
	})
}

// An instrument that notices the server's death before the conductor does must not
// make a failure inconclusive.
func TestServerDeathOutweighsItsConsequences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.die[serve] = death{10*time.Second + time.Millisecond, 2, nil}
		w.die[mem] = death{9900 * time.Millisecond, 1, []string{"target gone"}}
		w.deaf = flood // keeps the end waiting until serve's death is known
		c, _ := w.run(t.Context())
		all := strings.Join(c.course.Failures, "\n")
		if c.course.Interrupted != "" || !strings.Contains(all, "serve ended by itself") || !strings.Contains(all, "target gone") {
			t.Errorf("course %+v, want only failures", c.course)
		}
	})
}

func TestInterruption(t *testing.T) {
	for i, after := range []time.Duration{time.Second, 2500 * time.Millisecond, 5 * time.Second, 20 * time.Second, 30500 * time.Millisecond} {
		t.Run(phases[i], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.arrive = func(int64) int64 { return 0 } // the drain lasts
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				c, err := w.run(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(c.course.Interrupted, "Interrupted in the "+phases[i]+" phase, after ") {
					t.Errorf("course %+v", c.course)
				}
				if took := time.Duration(c.man.Phases[len(c.man.Phases)-1].To) - time.Duration(c.man.Phases[0].From); took > after+5*time.Second {
					t.Errorf("it took %s to stop", took-after)
				}
				if len(c.course.Failures) > 0 {
					t.Errorf("failures %q", c.course.Failures)
				}
			})
		})
	}
}

func TestPieceThatDoesNotListenIsKilled(t *testing.T) {
	for _, name := range []string{serve, mem, flood} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.deaf = name
				c, err := w.run(t.Context())
				if err != nil || len(c.course.Failures) != 2 || !strings.Contains(c.course.Failures[0], name+" was told to stop and had to be killed") {
					t.Errorf("error %v, course %+v", err, c.course)
				}
			})
		})
	}
}

func TestServerThatIsNeverReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.silent = serve
		c, err := w.run(t.Context())
		if err != nil || !strings.Contains(c.course.Interrupted, "The empty phase did not come to its end") || len(w.started) != 1 {
			t.Errorf("error %v, course %+v, started %v", err, c.course, w.started)
		}
	})
}

// A rate that is never reached ends in time, and is for the verdict to judge.
func TestRateThatIsNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.endless = true
		c, err := w.run(t.Context())
		if err != nil || c.course.Interrupted != "" || c.course.Failures != nil {
			t.Errorf("error %v, course %+v", err, c.course)
		}
		if p := c.man.Phases[3]; time.Duration(p.To-p.From) != w.cfg.Duration+msggenExtra {
			t.Errorf("the traffic took %s", time.Duration(p.To-p.From))
		}
	})
}

// A folder that cannot be written ends the run, and every piece.
func TestFolderThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.dir = folder(t.TempDir() + "/gone")
		if _, err := w.run(t.Context()); err == nil || len(w.started) != 1 {
			t.Errorf("error %v, started %v", err, w.started)
		}
	})
}

func TestNobodyToSendTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.open = 0
		c, err := w.run(t.Context())
		if err != nil || slices.Contains(w.started, msggen) || c.course.Interrupted != "" {
			t.Errorf("error %v, course %+v, started %v", err, c.course, w.started)
		}
	})
}

// The drain ends when the last message is there, and not long after no more come.
func TestDrainWaitsForTheLastMessage(t *testing.T) {
	for _, c := range []struct {
		name   string
		arrive func(sent int64, since time.Duration) int64
		want   time.Duration // from the last message sent to the end of flood
	}{
		{"all there", func(sent int64, _ time.Duration) int64 { return sent }, time.Second},
		{"slowly", func(sent int64, since time.Duration) int64 { return min(sent, int64(since.Seconds()*8)) }, 7 * time.Second},
		{"one lost", func(sent int64, _ time.Duration) int64 { return min(sent, 100) }, drainQuiet + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.arrive = func(sent int64) int64 {
					if sent == 0 {
						return 0
					}
					return c.arrive(sent, time.Since(time.Date(2000, 1, 1, 0, 0, 6, 0, time.UTC)))
				}
				m, err := w.run(t.Context())
				if err != nil || m.course.Interrupted != "" || m.course.Failures != nil {
					t.Fatalf("error %v, course %+v", err, m.course)
				}
				drain := m.man.Phases[len(m.man.Phases)-1]
				if got := time.Duration(drain.To - drain.From); got < c.want-2*time.Second || got > c.want+3*time.Second {
					t.Errorf("the drain took %s, want about %s", got, c.want)
				}
				text, err := os.ReadFile(m.folder.path(statsFile))
				var stats nodeStats
				if err != nil || json.Unmarshal(text, &stats) != nil || stats.Ledger.Sent != w.sent.Load() {
					t.Errorf("the ledger that was kept is %s, %v; sent %d", text, err, w.sent.Load())
				}
			})
		})
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		duration, interval time.Duration
		empty, idle        time.Duration
		report             time.Duration
	}{
		{time.Minute, time.Second, 2 * time.Second, 5 * time.Second, time.Second},
		{2 * time.Second, time.Second, 2 * time.Second, 3 * time.Second, time.Second},
		{24 * time.Hour, time.Minute, 2 * time.Minute, 3 * time.Minute, time.Second},
		{24 * time.Hour, time.Second, 2 * time.Second, 5 * time.Second, time.Second},
		{2 * time.Second, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 200 * time.Millisecond},
	} {
		p := planOf(Config{Duration: c.duration, Interval: c.interval})
		if p.empty != c.empty || p.idle != c.idle || p.report != c.report || p.traffic != c.duration {
			t.Errorf("%s every %s: %+v", c.duration, c.interval, p)
		}
	}
}
