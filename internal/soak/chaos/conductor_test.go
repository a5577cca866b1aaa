package chaos

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cometctl/report"
)

// stageRun is one run on a fake stage.
type stageRun struct {
	cfg   Config
	stage *fakeStage
	found report.Chaos
}

func runOn(t *testing.T, ctx context.Context, faults []string, bend func(s *fakeStage)) stageRun {
	t.Helper()
	cfg := Config{Conns: 40, Rate: 100, Sites: 3, Faults: faults, Calm: 2 * time.Second, Outage: 5 * time.Second}
	top, err := newTopology(cfg.Sites, cfg.Conns, newLoopback())
	if err != nil {
		t.Fatal(err)
	}
	s := newFakeStage()
	s.top = top
	if bend != nil {
		bend(s)
	}
	cfg.Quit, cfg.Abort = s.quit, s.abort
	c := newConductor(cfg, top, s)
	c.skip = map[string]string{"partition": "not today"}
	if bend == nil {
		c.skip = nil
	}
	found := c.run(ctx)
	found.Verdict, found.Reasons = report.JudgeChaos(found)
	return stageRun{cfg, s, found}
}

func (r stageRun) slot(name string) report.Slot {
	i := slices.IndexFunc(r.found.Slots, func(s report.Slot) bool { return s.Name == name })
	if i < 0 {
		return report.Slot{}
	}
	return r.found.Slots[i]
}

// All faults, one after the other: each is noticed, repaired and accounted for, and nobody is left.
func TestRunGoesThroughAllFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, t.Context(), Faults(), nil)
		if r.found.Verdict != report.Pass {
			t.Fatalf("%s: %q", r.found.Verdict, r.found.Reasons)
		}
		for _, want := range []struct {
			name, target, sign string
			within, takes      time.Duration // of the first sign; of what is between fault and repair
			bins               func(b report.Bins) bool
		}{
			{killFront, "front-2", "flood: 1 connections ended", 1200 * time.Millisecond, down, func(b report.Bins) bool { return b.Offline > 0 && b.Lost == 0 }},
			{killWorker, "parent-1 worker 0", "parent-1 says worker 0 is restarting", 100 * time.Millisecond, 500 * time.Millisecond, func(b report.Bins) bool { return b.Lost == 0 }},
			{killNATS, "nats-3", "lost", 100 * time.Millisecond, down, func(b report.Bins) bool { return b.Due == b.Delivered }},
			{killParent, "parent-2", "flood: 1 connections ended", 1200 * time.Millisecond, down, func(b report.Bins) bool { return b.Offline > 0 }},
			{killMsggen, publisher, "publisher ended, signal: killed", 0, down, func(b report.Bins) bool { return b.Due == b.Delivered }},
			{killFlood, "flood 1", "flood says a worker died", 200 * time.Millisecond, down, func(b report.Bins) bool { return b.Offline > 0 }},
			{stopFront, "front-1", "front-1 owes an answer for 1s", 1100 * time.Millisecond, 5 * time.Second, func(b report.Bins) bool { return b.Due == b.Delivered }},
			{restartNATS, "nats-1", "lost", 100 * time.Millisecond, 0, func(b report.Bins) bool { return b.Due == b.Delivered }},
			{partition, "nats-2", "nats-2 lost a route", 3200 * time.Millisecond, 5 * time.Second, func(b report.Bins) bool { return b.Lost > 0 && b.Offline > 0 }},
		} {
			s := r.slot(want.name)
			if s.Target != want.target || !strings.Contains(s.DetectedBy, want.sign) || s.DetectMS == nil || time.Duration(*s.DetectMS*1e6) > want.within {
				t.Errorf("%s: target %q, sign %q after %v ms", want.name, s.Target, s.DetectedBy, s.DetectMS)
			}
			if took := time.Duration(s.Repaired - s.At); took < want.takes || took > want.takes+300*time.Millisecond {
				t.Errorf("%s: repaired after %s, want %s", want.name, took, want.takes)
			}
			if s.RecoverMS == nil || *s.RecoverMS > 1000 || len(s.Checks) != 6 {
				t.Errorf("%s: recovered in %v ms, checks %+v", want.name, s.RecoverMS, s.Checks)
			}
			if !want.bins(s.Bins) || s.Bins.Due == 0 || s.Bins.Sum() != s.Bins.Due {
				t.Errorf("%s: bins %+v", want.name, s.Bins)
			}
			if missing := s.Bins.Missing(); (missing > 0) != (len(s.Windows) > 0) {
				t.Errorf("%s: %d missing, windows %+v", want.name, missing, s.Windows)
			}
		}
		base := r.slot(baseline)
		if base.Bins.Due != base.Bins.Delivered || base.At != 0 || len(base.Checks) != 4 {
			t.Errorf("baseline %+v", base)
		}
		for i := 1; i < len(r.found.Slots); i++ {
			if r.found.Slots[i].From < r.found.Slots[i-1].To {
				t.Errorf("%s begins before %s ends", r.found.Slots[i].Name, r.found.Slots[i-1].Name)
			}
		}
		if n := len(r.stage.started); n-len(r.stage.stopped) != 4 { // that many were killed
			t.Errorf("started %v, told to end %v", r.stage.started, r.stage.stopped)
		}
		if last := r.stage.stopped[len(r.stage.stopped)-3:]; strings.Join(last, " ") != "nats-3 nats-2 nats-1" {
			t.Errorf("the last to end are %v", last)
		}
	})
}

func TestRunFails(t *testing.T) {
	once := func(at time.Duration) func(time.Duration) bool {
		done := false
		return func(since time.Duration) bool {
			hit := !done && since > at
			done = done || hit
			return hit
		}
	}
	for _, c := range []struct {
		name   string
		faults []string
		bend   func(s *fakeStage)
		want   report.Verdict
		says   string
		tried  int // slots that came to their end
	}{
		{"a message is lost without a fault", []string{killNATS}, func(s *fakeStage) { s.lose = once(2 * time.Second) },
			report.Fail, "baseline: 1 messages did not arrive", 2},
		{"a message comes twice", []string{killNATS}, func(s *fakeStage) { s.double = once(8 * time.Second) },
			report.Fail, "kill-nats: 1 messages arrived twice", 2},
		{"memory does not return", []string{killNATS}, func(s *fakeStage) { s.grow = "front-1" },
			report.Fail, "kill-nats: Memory did not return: front-1 from ", 2},
		{"a session without a connection", []string{killFront, killNATS}, func(s *fakeStage) { s.homeless = "front-2" },
			report.Fail, "after 30s, front-2 has 8 sessions and 7 connections", 2},
		{"a node dies by itself", []string{killNATS}, func(s *fakeStage) { s.dieAt["front-1"] = 3 * time.Second },
			report.Fail, "front-1 ended by itself, with exit status 2, in the time of baseline; its last words: panic: oh.", 1},
		{"the flood dies", []string{killNATS}, func(s *fakeStage) { s.dieAt[flood] = 3 * time.Second },
			report.Inconclusive, "flood ended by itself", 1},
		{"a generator dies", []string{killNATS}, func(s *fakeStage) { s.dieAt["msggen-baseline"] = time.Second },
			report.Inconclusive, "msggen-baseline ended by itself", 1},
		{"the only fault is skipped", []string{partition}, func(s *fakeStage) {}, report.Inconclusive, "No fault came to its end", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runOn(t, t.Context(), c.faults, c.bend)
				if r.found.Verdict != c.want || !strings.Contains(strings.Join(r.found.Reasons, "\n"), c.says) {
					t.Errorf("%s: %q, want %s, %q", r.found.Verdict, r.found.Reasons, c.want, c.says)
				}
				tried := 0
				for _, s := range r.found.Slots {
					if s.To != 0 {
						tried++
					}
				}
				if tried != c.tried || len(r.found.Slots) != 1+len(c.faults) {
					t.Errorf("%d slots came to an end, want %d: %+v", tried, c.tried, r.found.Slots)
				}
			})
		})
	}
}

// Interrupted in whatever moment, a run ends all its pieces and accounts for what it has.
func TestInterruption(t *testing.T) {
	for _, after := range []time.Duration{10 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 11 * time.Second, 15 * time.Second, 16 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				r := runOn(t, ctx, []string{stopFront}, func(s *fakeStage) {})
				if r.found.Verdict != report.Inconclusive || !strings.HasPrefix(r.found.Reasons[0], "Interrupted ") {
					t.Errorf("%s: %q", r.found.Verdict, r.found.Reasons)
				}
				if len(r.stage.started) != len(r.stage.stopped) {
					t.Errorf("started %v, told to end %v", r.stage.started, r.stage.stopped)
				}
				for _, s := range r.found.Slots {
					if s.From != 0 && (s.Bins.Due == 0 || s.Bins.Due != s.Bins.Delivered) {
						t.Errorf("%s: %+v", s.Name, s.Bins)
					}
				}
			})
		})
	}
}

// A condition that is broken, in whatever moment, ends the run in order, and fails it.
func TestAbort(t *testing.T) {
	for _, after := range []time.Duration{time.Second, 4 * time.Second, 11 * time.Second, 16 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := runOn(t, t.Context(), []string{stopFront}, func(s *fakeStage) {
					s.abort = func(Progress) string {
						if time.Since(began) >= after {
							return "It is enough."
						}
						return ""
					}
				})
				if r.found.Verdict != report.Fail || r.found.Reasons[0] != "It is enough." || r.found.Interrupted != "" {
					t.Errorf("%s: %q, %q", r.found.Verdict, r.found.Reasons, r.found.Interrupted)
				}
				if len(r.stage.started) != len(r.stage.stopped) {
					t.Errorf("started %v, told to end %v", r.stage.started, r.stage.stopped)
				}
			})
		})
	}
}

// When all are killed, a run waits for nobody any more.
func TestQuit(t *testing.T) {
	for _, after := range []time.Duration{10 * time.Millisecond, 2 * time.Second, 11 * time.Second, 14 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := runOn(t, t.Context(), []string{stopFront}, func(s *fakeStage) {
					s.quit = make(chan struct{})
					time.AfterFunc(after, func() { close(s.quit) })
				})
				if took := time.Since(began); took != after {
					t.Errorf("it took %s", took-after)
				}
				if r.found.Verdict != report.Inconclusive || !strings.HasPrefix(r.found.Reasons[0], "Interrupted ") {
					t.Errorf("%s: %q", r.found.Verdict, r.found.Reasons)
				}
			})
		})
	}
}
