package msggen

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"cometctl/internal/pace"
)

// everyWay runs test with each way to send: a stream, one request per message, and NATS.
func everyWay(t *testing.T, test func(t *testing.T, way string, cfg Config, messages func() []message)) {
	t.Helper()
	bubble(t, func(t *testing.T, f *fake) { test(t, "stream", f.config(), f.messages) })
	abroad(t, func(t *testing.T, f *foreign) { test(t, "template", f.config(), f.messages) })
	natsBubble(t, func(t *testing.T, f *fakeNATS) { test(t, "nats", f.config(), f.messages) })
}

func parseSteps(t *testing.T, text string) pace.Steps {
	t.Helper()
	s, err := pace.ParseSteps(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStepsKeepTheSchedule: each message of steps, ramps, pauses and bursts leaves when it is due, and each step is told of.
func TestStepsKeepTheSchedule(t *testing.T) {
	plan := parseSteps(t, "100 for 2s, pause for 15s, ramp 0..400 for 2s, 7 for 1s")
	for _, workers := range []int{1, 3, maxPrecise + 1} {
		for _, burst := range []int{0, 30} {
			everyWay(t, func(t *testing.T, way string, cfg Config, messages func() []message) {
				cfg.Workers, cfg.Steps, cfg.Burst = workers, plan, burst
				res, err := Run(t.Context(), cfg)
				balanced(t, res)
				if err != nil || res.Sent != 607 || res.Accepted != 607 || res.Unsent+res.Late != 0 || res.Rate != 607/20.0 || res.Asked.Rate != 607/20.0 {
					t.Errorf("%s, %d workers, bursts of %d: %+v, %v", way, workers, burst, res, err)
				}
				schedule := plan.InBursts(uint64(burst))
				for _, m := range messages() {
					due := res.Run.Start.Add(schedule.Due(m.num - 1))
					if !m.due.Equal(due) || !m.at.Equal(due) {
						t.Fatalf("%s, %d workers, bursts of %d: message %+v was due at %v", way, workers, burst, m, due)
					}
				}
				want := []Step{
					{Step: "100/s", For: 2, Asked: 200, AskedRate: 100, Sent: 200, Rate: 100},
					{Step: "pause", Begin: 2, For: 15},
					{Step: "ramp 0/s..400/s", Begin: 17, For: 2, Asked: 400, AskedRate: 200, Sent: 400, Rate: 200},
					{Step: "7/s", Begin: 19, For: 1, Asked: 7, AskedRate: 7, Sent: 7, Rate: 7},
				}
				want[2].Step = "ramp 0..400/s"
				if !slices.Equal(res.Steps, want) {
					t.Errorf("%s, %d workers, bursts of %d: steps %+v", way, workers, burst, res.Steps)
				}
			})
		}
	}
}

// TestStepsEnd: a duration, a count and Ctrl-C cut the last step, and what it was asked for with it.
func TestStepsEnd(t *testing.T) {
	plan := parseSteps(t, "100 for 2s, 50 for 10s, 10")
	for _, tt := range []struct {
		name     string
		duration time.Duration
		count    uint64
		stop     time.Duration
		sent     uint64
		length   float64
	}{
		{"duration", 4 * time.Second, 0, 0, 300, 2},
		{"count", 0, 225, 0, 225, 0.5},
		{"interrupt", 0, 0, 3*time.Second + time.Millisecond, 251, 1.001},
	} {
		everyWay(t, func(t *testing.T, way string, cfg Config, messages func() []message) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.stop > 0 {
				time.AfterFunc(tt.stop, cancel)
			}
			cfg.Steps, cfg.Duration, cfg.Count = plan, tt.duration, tt.count
			res, err := Run(ctx, cfg)
			if err != nil || res.Sent != tt.sent || res.Unsent != 0 || len(res.Steps) != 2 {
				t.Fatalf("%s, %s: %+v, %v", way, tt.name, res, err)
			}
			if s := res.Steps[1]; s.Sent != tt.sent-200 || s.Asked != s.Sent || s.For != tt.length {
				t.Errorf("%s, %s: %+v", way, tt.name, s)
			}
		})
	}
}

// TestPoissonRun: random arrivals are those of the schedule, whoever sends them, and end with the duration.
func TestPoissonRun(t *testing.T) {
	for _, workers := range []int{1, maxPrecise + 1} {
		everyWay(t, func(t *testing.T, way string, cfg Config, messages func() []message) {
			cfg.Workers, cfg.Rate, cfg.Poisson, cfg.Burst, cfg.Duration, cfg.Seed = workers, perSecond(100), true, 3, 20*time.Second, 7
			res, err := Run(t.Context(), cfg)
			schedule := cfg.schedule()
			want := schedule.DueBy(cfg.Duration - 1)
			if err != nil || res.Sent != want || res.Accepted != want || res.Unsent+res.Late != 0 || want < 1700 || want > 2300 || res.Rate != float64(want)/20 {
				t.Errorf("%s, %d workers: %d expected, %+v, %v", way, workers, want, res, err)
			}
			for _, m := range messages() {
				if due := res.Run.Start.Add(schedule.Due(m.num - 1)); !m.due.Equal(due) || !m.at.Equal(due) {
					t.Fatalf("%s, %d workers: message %+v was due at %v", way, workers, m, due)
				}
			}
		})
	}
}

// TestPoissonCount ends with a count, or with the steps.
func TestPoissonCount(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Rate, cfg.Poisson, cfg.Count = perSecond(100), true, 500
		if res, err := Run(t.Context(), cfg); err != nil || res.Sent != 500 || res.Rate < 80 || res.Rate > 120 {
			t.Errorf("%+v, %v", res, err)
		}
		cfg.Rate, cfg.Steps, cfg.Count = pace.Rate{}, parseSteps(t, "100 for 2s, pause for 1s, 50 for 2s"), 0
		res, err := Run(t.Context(), cfg)
		if err != nil || res.Sent < 200 || res.Sent > 400 || res.Unsent != 0 || len(res.Steps) != 3 || res.Steps[1].Sent != 0 {
			t.Fatalf("%+v, %v", res, err)
		}
		if s := res.Steps[0].Asked + res.Steps[2].Asked; s != res.Sent {
			t.Errorf("the steps asked for %d, %d were sent", s, res.Sent)
		}
	})
}

// TestIDsOfARun: each distribution is that of the messages that come, whoever sends them; texts come from the lines.
func TestIDsOfARun(t *testing.T) {
	lines, err := ParseLines([]byte("звук\n\"quoted\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	var same []string
	everyWay(t, func(t *testing.T, way string, cfg Config, messages func() []message) {
		cfg.Rate, cfg.Count, cfg.IDs = perSecond(1000), 3000, 100
		cfg.Dist = Dist{Kind: DistSequential}
		if _, err := Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for _, m := range messages() {
			counts[m.id]++
		}
		for id, n := range counts {
			if n != 30 || len(counts) != 100 {
				t.Fatalf("%s: id %s has %d of 3000 messages in turn", way, id, n)
			}
		}
	})
	everyWay(t, func(t *testing.T, way string, cfg Config, messages func() []message) {
		cfg.Rate, cfg.Count, cfg.IDs, cfg.Workers = perSecond(1000), 300, 100, 2
		cfg.Dist = Dist{Kind: DistZipf}
		if _, err := Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, m := range slices.SortedFunc(slices.Values(messages()), func(a, b message) int { return int(a.num) - int(b.num) }) {
			ids = append(ids, m.id)
		}
		if same == nil {
			same = ids
		}
		if !slices.Equal(ids, same) {
			t.Errorf("%s: other ids than the stream's", way)
		}
	})
	abroad(t, func(t *testing.T, f *foreign) {
		cfg := f.config()
		cfg.Lines, cfg.Count, cfg.Rate = lines, 4, perSecond(10)
		cfg.Body = new("Fake message Num = 1 {msg}")
		if _, err := Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		for i, m := range f.got {
			if want := []string{"1 звук ~", `1 "quoted" ~`}[i%2]; !strings.Contains(m.text, want) {
				t.Errorf("message %d: %q, want %q", i, m.text, want)
			}
		}
	})
}

func TestScheduleCheck(t *testing.T) {
	base := Config{To: "http://127.0.0.1/send", IDs: 10}
	lines, err := ParseLines([]byte("a\x01b"))
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"--burst -1:":                       func(c *Config) { c.Rate, c.Burst = perSecond(1), -1 },
		"--burst 5 without a rate":          func(c *Config) { c.Burst = 5 },
		"--poisson without a rate":          func(c *Config) { c.Poisson = true },
		"--size 100..50: sizes go":          func(c *Config) { c.Size, c.SizeTo = 100, 50 },
		"--size 100..1048577: give at most": func(c *Config) { c.Size, c.SizeTo = 100, MaxSize+1 },
		"--size 200 with --lines":           func(c *Config) { c.Size, c.Lines = 200, lines },
		"line 1 has a control character":    func(c *Config) { c.To, c.Lines, c.Header = "POST http://127.0.0.1/{id}", lines, []string{"X: {msg}"} },
		`--dist "odd" is no distribution`:   func(c *Config) { c.Dist.Kind = "odd" },
	} {
		cfg := base
		change(&cfg)
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

// TestBlocked: what a server that does not read, or does not answer, costs is told apart from a generator that oversleeps.
func TestBlocked(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		n := 0
		f.pace = func() time.Duration {
			if n++; n == 500 {
				return 3 * time.Second
			}
			return 0
		}
		cfg := f.config()
		cfg.Rate, cfg.Duration = perSecond(1000), 5*time.Second
		if res, err := Run(t.Context(), cfg); err != nil || res.Blocked < 2.9 || res.Blocked > 3.1 {
			t.Errorf("a stall of 3 s: blocked for %v s, %v", res.Blocked, err)
		}
		f.pace = nil
		cfg.Sleep = func(d time.Duration) { time.Sleep(d + 100*time.Millisecond) }
		if res, err := Run(t.Context(), cfg); err != nil || res.Blocked != 0 || res.Late < 4000 {
			t.Errorf("a sleepy generator: blocked for %v s, %d late, %v", res.Blocked, res.Late, err)
		}
	})
	abroad(t, func(t *testing.T, f *foreign) {
		f.answer = func(int, int) reaction { return reaction{after: 100 * time.Millisecond} }
		cfg := f.config()
		cfg.Rate, cfg.Count, cfg.Pipeline = perSecond(100), 50, 1
		if res, err := Run(t.Context(), cfg); err != nil || res.Blocked < 4.5 || res.Blocked > 5 {
			t.Errorf("50 answers of 100 ms: blocked for %v s, %v", res.Blocked, err)
		}
	})
}
