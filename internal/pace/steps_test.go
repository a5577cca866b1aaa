package pace

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
)

func steps(t *testing.T, text string) Steps {
	t.Helper()
	s, err := ParseSteps(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStepsDue(t *testing.T) {
	tests := []struct {
		text  string
		burst uint64
		n     uint64
		want  time.Duration
	}{
		{"1000 for 60s, 5000 for 60s", 0, 0, 0},
		{"1000 for 60s, 5000 for 60s", 0, 59_999, 59_999 * time.Millisecond},
		{"1000 for 60s, 5000 for 60s", 0, 60_000, time.Minute},
		{"1000 for 60s, 5000 for 60s", 0, 60_001, time.Minute + 200*time.Microsecond},
		{"1000 for 60s, 5000 for 60s", 0, 359_999, 2*time.Minute - 200*time.Microsecond},
		{"1000 for 60s, 5000 for 60s", 0, 360_000, forever},
		{"1000 for 60s, 5000", 0, 1 << 60, math.MaxInt64},
		{"1000 for 60s, 5000", 0, 60_000 + 5000*3600, time.Minute + time.Hour},
		{"3 for 1.5s, 1", 0, 4, 1_333_333_333},
		{"3 for 1.5s, 1", 0, 5, 1_500_000_000},
		{"10 for 1s, pause for 5s, 10", 0, 9, 900 * time.Millisecond},
		{"10 for 1s, pause for 5s, 10", 0, 10, 6 * time.Second},
		{"pause for 5s, 10", 0, 0, 5 * time.Second},
		// From 0 to 100/s in 10 s: 5 t*t events by t seconds.
		{"ramp 0..100 for 10s, 1", 0, 0, 0},
		{"ramp 0..100 for 10s, 1", 0, 5, time.Second},
		{"ramp 0..100 for 10s, 1", 0, 20, 2 * time.Second},
		{"ramp 0..100 for 10s, 1", 0, 125, 5 * time.Second},
		{"ramp 0..100 for 10s, 1", 0, 500, 10 * time.Second},
		// And down: 100 t - 5 t*t.
		{"ramp 100..0 for 10s, 1", 0, 95, time.Second},
		{"ramp 100..0 for 10s, 1", 0, 375, 5 * time.Second},
		{"ramp 100..0 for 10s, 1", 0, 495, 9 * time.Second},
		// Bursts leave together, and not over the end of a step.
		{"100 for 1s, 10", 30, 29, 0},
		{"100 for 1s, 10", 30, 30, 300 * time.Millisecond},
		{"100 for 1s, 10", 30, 99, 900 * time.Millisecond},
		{"100 for 1s, 10", 30, 100, time.Second},
		{"100 for 1s, 10", 30, 129, time.Second},
		{"100 for 1s, 10", 30, 130, 4 * time.Second},
	}
	for _, tt := range tests {
		if got := steps(t, tt.text).InBursts(tt.burst).Due(tt.n); got != tt.want {
			t.Errorf("%s, bursts of %d: Due(%d) = %v, want %v", tt.text, tt.burst, tt.n, got, tt.want)
		}
	}
}

func TestStepsDueBy(t *testing.T) {
	tests := []struct {
		text  string
		burst uint64
		at    time.Duration
		want  uint64
	}{
		{"10 for 1s, pause for 5s, 10", 0, -1, 0},
		{"10 for 1s, pause for 5s, 10", 0, 0, 1},
		{"10 for 1s, pause for 5s, 10", 0, time.Second, 10},
		{"10 for 1s, pause for 5s, 10", 0, 6*time.Second - 1, 10},
		{"10 for 1s, pause for 5s, 10", 0, 6 * time.Second, 11},
		{"10 for 1s, 20 for 1s", 0, time.Hour, 30},
		{"10 for 1s, 20 for 1s", 0, math.MaxInt64, 30},
		{"ramp 0..100 for 10s", 0, 5 * time.Second, 126},
		{"ramp 0..100 for 10s", 0, 5*time.Second - 1, 125},
		{"100 for 1s, 10", 30, 0, 30},
		{"100 for 1s, 10", 30, 900 * time.Millisecond, 100},
		{"100 for 1s, 10", 30, time.Second, 130},
	}
	for _, tt := range tests {
		if got := steps(t, tt.text).InBursts(tt.burst).DueBy(tt.at); got != tt.want {
			t.Errorf("%s, bursts of %d: DueBy(%v) = %d, want %d", tt.text, tt.burst, tt.at, got, tt.want)
		}
	}
	if n := (Steps{}).DueBy(time.Hour); n != 0 {
		t.Errorf("no steps: %d are due", n)
	}
	if due := (Steps{}).Due(0); due != forever {
		t.Errorf("no steps: the first is due at %v", due)
	}
}

// TestSlopeIsExact holds each due time of ramps against exact rational arithmetic: the last t with t's events <= k.
func TestSlopeIsExact(t *testing.T) {
	for _, text := range []string{"ramp 0..1000 for 7s", "ramp 1000..0 for 7s", "ramp 1..333333 for 24h", "ramp 999983/m..7 for 1h", "ramp 5..5 for 3s",
		"ramp 2.5..1000000 for 1h", "ramp 0..1000000000 for 24h", "ramp 1000000000..0 for 24h"} {
		step := steps(t, text).steps[0]
		line := step.slope
		n := func(u uint64) *big.Int { return new(big.Int).SetUint64(u) }
		events := func(at uint64) *big.Int { // times 2*length*per
			sum := new(big.Int).Mul(n(2*line.a), n(line.length))
			sum.Add(sum, new(big.Int).Mul(new(big.Int).Sub(n(line.b), n(line.a)), n(at)))
			return sum.Mul(sum, n(at))
		}
		for k := uint64(0); k < step.Events; k += step.Events/499 + 1 {
			for _, k := range []uint64{k, step.Events - 1 - k} {
				due := uint64(line.due(k))
				want := new(big.Int).Mul(new(big.Int).Mul(n(2), n(line.length)), new(big.Int).Mul(n(line.per), n(k)))
				if events(due).Cmp(want) > 0 || due < line.length && events(due+1).Cmp(want) <= 0 {
					t.Fatalf("%s: event %d is due at %d", text, k, due)
				}
				if due >= line.length {
					t.Fatalf("%s: event %d is due at %d, behind the end", text, k, due)
				}
			}
		}
	}
}

// FuzzSteps holds DueBy to its definition in terms of Due, over the ends of steps too.
func FuzzSteps(f *testing.F) {
	f.Add("1000 for 60s, 5000 for 60s", uint64(0), int64(time.Minute))
	f.Add("ramp 0..1000 for 7s, pause for 1s, 3 for 1ns, 5/h", uint64(7), int64(8*time.Second))
	f.Add("ramp 7/m..2.5 for 24h, ramp 1000000000..1 for 1h", uint64(50), int64(time.Hour))
	f.Fuzz(func(t *testing.T, text string, burst uint64, at int64) {
		s, err := ParseSteps(text)
		if err != nil {
			if !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) && !strings.Contains(err.Error(), "no event") {
				t.Errorf("%q: the error %q does not name it", text, err)
			}
			return
		}
		if again, err := ParseSteps(s.String()); err != nil || again.String() != s.String() || again.Events() != s.Events() {
			t.Fatalf("%q: String %q reads as %q, %v", text, s, again, err)
		}
		s = s.InBursts(burst)
		n := s.DueBy(time.Duration(at))
		if n > s.Events() {
			t.Fatalf("%q: %d are due by %d, of %d", text, n, at, s.Events())
		}
		if at < 0 || n == math.MaxUint64 {
			return
		}
		if n > 0 && int64(s.Due(n-1)) > at {
			t.Errorf("%q in bursts of %d: event %d is due at %d, yet counted by %d", text, burst, n-1, s.Due(n-1), at)
		}
		if due := s.Due(n); int64(due) <= at && due != forever {
			t.Errorf("%q in bursts of %d: event %d is due at %d, yet not counted by %d", text, burst, n, due, at)
		}
	})
}

func TestParseSteps(t *testing.T) {
	for text, want := range map[string]string{
		"1000":                              "1000/s",
		"1000 for 60s, 5000 for 60s":        "1000/s for 1m0s, 5000/s for 1m0s",
		" 30/m  for 1h ,2.5/s":              "30/m for 1h0m0s, 25/10s",
		"ramp 1000..5000 for 60s":           "ramp 1000/s..5000/s for 1m0s",
		"ramp 0..2.5 for 60s, pause for 1s": "ramp 0..25/10s for 1m0s, pause for 1s",
	} {
		if got := steps(t, text).String(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	s := steps(t, "1000 for 60s, ramp 1000..5000 for 60s, pause for 3s")
	second := s.All()[1]
	if second.Begin != time.Minute || second.First != 60_000 || second.Events != 180_000 || second.PerSecond() != 3000 || s.Peak() != 5000 ||
		s.End() != 123*time.Second || s.Events() != 240_000 {
		t.Errorf("%+v, peak %v, end %v, events %d", second, s.Peak(), s.End(), s.Events())
	}
	for at, want := range map[time.Duration]int{0: 0, time.Minute - 1: 0, time.Minute: 1, 2 * time.Minute: 2, 123 * time.Second: 3} {
		if got := s.At(at); got != want {
			t.Errorf("At(%v) = %d, want %d", at, got, want)
		}
	}
}

// TestParseStepsPointsAtThePlace: each error names the text, the word, and where it stands, counted from 1.
func TestParseStepsPointsAtThePlace(t *testing.T) {
	long := strings.Repeat("1 for 1s,", maxSteps) + "1 for 1s"
	for text, want := range map[string]string{
		"":                                       `"": nothing at 1: give RATE for TIME`,
		"1000 for x, 5000":                       `"x" at 10: this is no time`,
		"1000 for":                               `nothing at 9: this is no time`,
		"1000 for -5s":                           `"-5s" at 10: this is no time`,
		"1000 for 0s":                            `"0s" at 10: this is no time`,
		"1000 60s":                               `"60s" at 6: for TIME, a comma or the end`,
		"1000 for 60s 5000":                      `"5000" at 14: a comma stands between`,
		"1000 for 60s,":                          `nothing at 14: give RATE`,
		"1000, 5000 for 60s":                     `"1000/s" at 1: only the last step may do without a time`,
		"1000 for 60s, fast for 60s":             `"fast" at 15: give a number`,
		"1000 for 60s, 0 for 60s":                `"0" at 15: a step without a limit has no schedule`,
		"1000 for 60s, unlimited":                `"unlimited" at 15: a step without a limit`,
		"pause":                                  `nothing at 6: for TIME is missing behind pause`,
		"ramp for 5s":                            `"for" at 6: a ramp goes from one rate to another`,
		"ramp 5.. for 5s":                        `"5.." at 6: a ramp goes`,
		"ramp 5..x for 5s":                       `"x" at 9: give a number`,
		"ramp 0..0 for 5s":                       `"0..0" at 6: a ramp from nothing to nothing`,
		"ramp 1..5":                              `nothing at 10: for TIME is missing behind ramp 1/s..5/s`,
		"ramp 1/999983ns..1/9999991ms for 9999h": `cannot be reckoned exactly`,
		"ramp 1..1000000000 for 1000000h":        `cannot be reckoned exactly`,
		"1 for 2000000h, 1 for 2000000h":         `"1 for 2000000h" at 17: all steps together last longer`,
		long:                                     `a schedule has at most 100 steps`,
		"pause for 5s":                           `no event would ever be due`,
	} {
		s, err := ParseSteps(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseSteps(%.60q) = %v, %v, want an error with %q", text, s, err, want)
		}
	}
}

func BenchmarkSlopeDue(b *testing.B) {
	s, err := ParseSteps("1000 for 60s, ramp 1000..5000 for 1h, ramp 5000..0 for 1h")
	if err != nil {
		b.Fatal(err)
	}
	n := uint64(60_000)
	for b.Loop() {
		if s.Due(n) < 0 {
			b.Fatal("before the start")
		}
		n += 17
	}
}
