package soak

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"cometctl/internal/promise"
	"cometctl/report"
)

// A condition that is broken ends the run in order, in the middle of its traffic, and what was found until then is kept.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Duration = time.Hour
		w.cfg.Abort = func(p Progress) string {
			if p.Sent >= 3*int64(w.cfg.Rate) {
				return "Enough was sent."
			}
			return ""
		}
		c, err := w.run(t.Context())
		if err != nil || c.course.Aborted != "Enough was sent." || c.course.Interrupted != "" || c.course.Failures != nil {
			t.Fatalf("error %v, course %+v", err, c.course)
		}
		if got := w.names(c.man); !slices.Equal(got, phases) {
			t.Errorf("phases %v", got)
		}
		if want := []string{msggen, flood, mem, serve}; !slices.Equal(w.stopped, want) {
			t.Errorf("stopped %v, want %v", w.stopped, want)
		}
		if took := time.Since(w.began); took > time.Minute {
			t.Errorf("it went on for %v", took)
		}
		if e, err := w.dir.evidence(); err != nil || e.Aborted == "" || report.Summarize(e).Verdict != report.Fail {
			t.Errorf("the folder says %+v, %v", e.Course, err)
		}
	})
}

// What a piece complains of with exit code 1 fails the run, unless a condition speaks of it; the conditions are in the folder.
func TestFindingsAllowed(t *testing.T) {
	for _, c := range []struct {
		piece, condition string
		failures         int
	}{
		{msggen, "", 1},
		{msggen, "failed>1%", 1},
		{msggen, "missing>1%", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.die = map[string]death{c.piece: {after: w.cfg.Duration, code: exitFailed, words: []string{"3 of them"}}}
			w.endless = true
			if c.condition != "" {
				k, err := promise.Parse(c.condition, report.SummaryMetrics())
				if err != nil {
					t.Fatal(err)
				}
				w.cfg.FailIf = append(w.cfg.FailIf, k)
			}
			got, err := w.run(t.Context())
			if err != nil || len(got.course.Failures) != c.failures {
				t.Errorf("%s with %q: %v, %+v; want %d failures", c.piece, c.condition, err, got.course, c.failures)
			}
			if c.condition != "" && !slices.Equal(got.man.Asked.FailIf, []string{c.condition}) {
				t.Errorf("the manifest has %q", got.man.Asked.FailIf)
			}
		})
	}
}
