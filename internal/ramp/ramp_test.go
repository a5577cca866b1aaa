package ramp

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"cometctl/internal/pace"
)

func parse(t testing.TB, s string) Ramp {
	t.Helper()
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func plan(t testing.TB, s string, seed uint64) *Plan {
	t.Helper()
	p, err := parse(t, s).Plan(seed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// drain returns the due times of all events, openings and closings apart.
func drain(p *Plan) (opens, closes []time.Duration) {
	for e := p.Events(); ; {
		ev, ok := e.Next()
		switch {
		case !ok:
			return opens, closes
		case ev.Open:
			opens = append(opens, ev.Due)
		default:
			closes = append(closes, ev.Due)
		}
	}
}

const ms = time.Millisecond

func TestEvents(t *testing.T) {
	for _, tt := range []struct {
		ramp          string
		opens, closes []time.Duration
		peak, wanted  int
		length        time.Duration
	}{
		{"0..4 in 1s", []time.Duration{0, 250 * ms, 500 * ms, 750 * ms}, nil, 4, 4, time.Second},
		{"0..3 in 1s", []time.Duration{0, 333333333, 666666666}, nil, 3, 3, time.Second},
		{"2..4 in 1s", []time.Duration{0, 0, 0, 500 * ms}, nil, 4, 4, time.Second},
		{"step 2; hold 1s; to 0 in 1s", []time.Duration{0, 0}, []time.Duration{1000 * ms, 1500 * ms}, 2, 0, 2 * time.Second},
		{"0..2 in 1s; spike 2 in 100ms; step 1", []time.Duration{0, 500 * ms, 1000 * ms, 1050 * ms},
			[]time.Duration{1100 * ms, 1100 * ms, 1100 * ms}, 4, 1, 1100 * ms},
		{"0..2 in 1s; 0..2 in 1s", []time.Duration{0, 500 * ms, 1000 * ms, 1500 * ms}, []time.Duration{1000 * ms, 1000 * ms}, 2, 2, 2 * time.Second},
		{"exp 1..8 in 3s", []time.Duration{0, 0, time.Second, time.Duration(math.Log2(3) * 1e9), 2 * time.Second,
			time.Duration(math.Log2(5) * 1e9), time.Duration(math.Log2(6) * 1e9), time.Duration(math.Log2(7) * 1e9)}, nil, 8, 8, 3 * time.Second},
		{"exp 4..1 in 2s", []time.Duration{0, 0, 0, 0}, []time.Duration{0, time.Duration((2 - math.Log2(3)) * 1e9), time.Second}, 4, 1, 2 * time.Second},
		{"exp 5..5 in 2s", make([]time.Duration, 5), nil, 5, 5, 2 * time.Second},
		{"to 0 in 1s", nil, nil, 0, 0, time.Second},
		{"hold 1s", nil, nil, 0, 0, time.Second},
	} {
		p := plan(t, tt.ramp, 1)
		opens, closes := drain(p)
		near := func(a, b time.Duration) bool { return (a - b).Abs() <= 2 } // logarithms differ in their last digit from one processor to another
		if !slices.EqualFunc(opens, tt.opens, near) || !slices.EqualFunc(closes, tt.closes, near) {
			t.Errorf("%s: opens %v, closes %v; want %v, %v", tt.ramp, opens, closes, tt.opens, tt.closes)
		}
		if p.Peak() != tt.peak || p.Wanted() != tt.wanted || p.Length() != tt.length || p.Opens() != len(tt.opens) {
			t.Errorf("%s: peak %d, wanted %d, length %v, %d opens; want %d, %d, %v", tt.ramp, p.Peak(), p.Wanted(), p.Length(), p.Opens(),
				tt.peak, tt.wanted, tt.length)
		}
	}
}

func TestStages(t *testing.T) {
	p := plan(t, "0..100 in 10s; hold 5s; 50..20 in 1s; spike 7 in 1s; step 1; poisson 100/s for 2s", 3)
	came := p.Wanted() - 1
	want := []Stage{
		{"0..100 in 10s", 0, 10 * time.Second, 0, 100, 100, 0, 10},
		{"hold 5s", 10 * time.Second, 5 * time.Second, 100, 100, 0, 0, 0},
		{"50..20 in 1s", 15 * time.Second, time.Second, 100, 20, 0, 80, 30},
		{"spike 7 in 1s", 16 * time.Second, time.Second, 20, 27, 7, 0, 7},
		{"step 1", 17 * time.Second, 0, 27, 1, 0, 26, 0},
		{"poisson 100/s for 2s", 17 * time.Second, 2 * time.Second, 1, 1 + came, came, 0, 100},
	}
	if !slices.Equal(p.Stages(), want) {
		t.Errorf("stages %+v\nwant %+v", p.Stages(), want)
	}
	for at, stage := range map[time.Duration]int{-1: 0, 0: 0, 10 * time.Second: 1, 17*time.Second - 1: 3, 17 * time.Second: 5, time.Hour: 5} {
		if got := p.At(at); got != stage {
			t.Errorf("stage %d after %v, want %d", got, at, stage)
		}
	}
	if none, err := (Ramp{}).Plan(1); err != nil || none.At(0) != 0 || none.Wanted() != 0 || !(Ramp{}).None() {
		t.Errorf("no ramp: %+v, %v", none, err)
	}
}

// A Poisson process is one by its own laws: the number in a time has its mean for its variance, and so have the gaps theirs.
func TestPoisson(t *testing.T) {
	const runs, mean = 400, 200.0
	var sum, squares float64
	for seed := range uint64(runs) {
		p := plan(t, "poisson 100/s for 2s", seed)
		opens, _ := drain(p)
		if len(opens) != p.Opens() || !slices.IsSorted(opens) || opens[len(opens)-1] >= 2*time.Second {
			t.Fatalf("seed %d: %d of %d openings, sorted %v", seed, len(opens), p.Opens(), slices.IsSorted(opens))
		}
		n := float64(len(opens))
		sum += n
		squares += n * n
	}
	average := sum / runs
	variance := squares/runs - average*average
	if math.Abs(average-mean) > 3 || math.Abs(variance-mean) > 45 { // four times the standard error and three times
		t.Errorf("mean %.1f, variance %.1f, want both near %v", average, variance, mean)
	}
	a, _ := drain(plan(t, "poisson 100/s for 2s", 5))
	b, _ := drain(plan(t, "poisson 100/s for 2s", 5))
	c, _ := drain(plan(t, "poisson 100/s for 2s", 6))
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("a seed must give the same again, and another one something else")
	}
}

func TestArrivals(t *testing.T) {
	rate, _ := pace.Parse("1000/s")
	p, err := Arrivals(rate).Plan(1)
	if err != nil || p.Length() != Endless || p.Peak() != 0 || p.Opens() != 0 || p.Stages()[0].PerSecond != 1000 {
		t.Fatalf("%+v, %v", p, err)
	}
	e := p.Events()
	last := time.Duration(0)
	for n := range 100_000 {
		ev, ok := e.Next()
		if !ok || !ev.Open || ev.Due < last {
			t.Fatalf("event %d is %+v, %v", n, ev, ok)
		}
		last = ev.Due
	}
	if s := last.Seconds(); math.Abs(s-100) > 2 {
		t.Errorf("100,000 events take %.1f s, want 100", s)
	}
	slow, _ := pace.Parse("1/876000h")
	p, _ = Arrivals(slow).Plan(1)
	e = p.Events()
	for n := 0; ; n++ {
		if _, ok := e.Next(); !ok {
			break
		}
		if n > 1000 {
			t.Fatal("no end, though 292 years have one")
		}
	}
}

func TestParse(t *testing.T) {
	for _, in := range []string{"0..10000 in 30s; hold 1m0s; spike 5000 in 1s", "to 5 in 1h0m0s", "step 0", "exp 1..100 in 1.5s",
		"poisson 100/s for 30s; hold 1s", "100..0 in 1s"} {
		r := parse(t, in)
		if got := r.String(); got != in {
			t.Errorf("%q reads as %q", in, got)
		}
	}
	if got := parse(t, "  0..10\tin 60s ;hold 90s;step   3 ").String(); got != "0..10 in 1m0s; hold 1m30s; step 3" {
		t.Errorf("reads as %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"0..x in 30s":              `"0..x in 30s": "x" at 4 is no number of connections`,
		"x..5 in 30s":              `"x" at 1 is no number`,
		"..5 in 30s":               `"" at 1 is no number`,
		"0.. in 30s":               `"" at 4 is no number`,
		"0..-5 in 30s":             `"-5" at 4 is no number`,
		"0..268435456 in 1s":       `"268435456" at 4 is no number of connections; give one from 0 to 268435455`,
		"0..99999999999999999 in":  `at 4 is no number`,
		"":                         `at 1 stands nothing more, and a stage`,
		"0..5 in 30s;":             `at 13 stands nothing more, and a stage`,
		"0..5 in 30s; ; hold 1s":   `at 13 stands nothing more`,
		"0..5":                     `at 5 stands nothing more, and "in TIME"`,
		"0..5 in":                  `at 8 stands nothing more, and a time`,
		"0..5 for 30s":             `"for" at 6 should be "in"`,
		"0..5 in 30":               `"30" at 9 is no time`,
		"0..5 in 0s":               `"0s" at 9 is no time`,
		"0..5 in -1s":              `"-1s" at 9 is no time`,
		"0..5 in 30s hold 5s":      `"hold" at 13 is too much here`,
		"ö; hold 5s":               `"ö" at 1 begins no stage`,
		"hold ö; x":                `"ö" at 6 is no time`,
		"hold 1s; jump 5":          `"jump" at 10 begins no stage`,
		"0...5 in 1s":              `".5" at 4 is no number`,
		"hold":                     `at 5 stands nothing more, and a time`,
		"exp 5 in 1s":              `"5" at 5 is no A..B`,
		"exp 0..5 in 1s":           `"0..5" at 5 has a 0`,
		"exp 5..0 in 1s":           `"5..0" at 5 has a 0`,
		"poisson 0 for 1s":         `"0" at 9 is no rate`,
		"poisson x for 1s":         `"x" at 9 is no rate`,
		"poisson 100/s in 1s":      `"in" at 15 should be "for"`,
		"poisson 1000000/s for 1m": `"poisson" at 1 brings more than 10000000`,
		"step":                     `at 5 stands nothing more`,
		"spike 5":                  `at 8 stands nothing more`,
		"hold 8760h; hold 1s":      `longer than a year`,
		strings.Repeat("step 1;", 1000) + "step 2": `more than 1000 stages`,
	} {
		if r, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.60q) = %v, %v; want an error with %s", in, r, err, want)
		}
	}
	if _, err := parse(t, "step 268435455; spike 1 in 1s").Plan(1); err == nil || !strings.Contains(err.Error(), `"spike 1 in 1s"`) {
		t.Errorf("more than can be: %v", err)
	}
}

// FuzzParse holds a plan to what it says of itself: its stages' counts are its events', which come in order.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0..100 in 30s; hold 60s; spike 50 in 1s", "step 7; to 3 in 1ns; exp 1..9 in 1s; exp 9..2 in 1s", "poisson 100/s for 1s; 5..0 in 1h",
		"exp 1..1 in 1s", "0..x in 30s", ";;", "hold ±"} {
		f.Add(s, uint64(1))
	}
	f.Fuzz(func(t *testing.T, s string, seed uint64) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(r.String()); err != nil || again.String() != r.String() {
			t.Fatalf("%q reads as %q, %v", r.String(), again, err)
		}
		for _, st := range r.stages {
			if st.kind == poisson && st.rate.PerSecond()*st.length.Seconds() > 1e5 {
				return // takes too long here
			}
		}
		p, err := r.Plan(seed)
		if err != nil {
			return
		}
		opens, closes := make([]int, len(p.Stages())), make([]int, len(p.Stages()))
		level, last := 0, time.Duration(0)
		e := p.Events()
		for range 100_000 {
			ev, ok := e.Next()
			if !ok {
				for i, st := range p.Stages() {
					if opens[i] != st.Opens || closes[i] != st.Closes {
						t.Errorf("%q, stage %d: %d opened, %d closed, and %+v", s, i, opens[i], closes[i], st)
					}
				}
				return
			}
			if ev.Due < last || ev.Due < p.Stages()[ev.Stage].Begin || ev.Due > p.Stages()[ev.Stage].Begin+p.Stages()[ev.Stage].Length {
				t.Fatalf("%q: %+v after %v", s, ev, last)
			}
			last = ev.Due
			if ev.Open {
				opens[ev.Stage]++
				level++
			} else {
				closes[ev.Stage]++
				level--
			}
			if level < 0 || level > p.Peak() {
				t.Fatalf("%q: %d connections wanted, of 0 to %d", s, level, p.Peak())
			}
		}
	})
}

func TestLifetime(t *testing.T) {
	for in, want := range map[string]Lifetime{"60s": {time.Minute, 0}, "1m0s±20s": {time.Minute, 20 * time.Second}, "60s+-20s": {time.Minute, 20 * time.Second},
		"1s±1s": {time.Second, time.Second}, "1s±0s": {time.Second, 0}} {
		l, err := ParseLifetime(in)
		if err != nil || l != want {
			t.Errorf("%q: %v, %v; want %v", in, l, err, want)
		}
		if again, err := ParseLifetime(l.String()); err != nil || again != l {
			t.Errorf("%q: %v, %v after String", in, again, err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		low, high := time.Duration(math.MaxInt64), time.Duration(0)
		for range 1000 {
			d := l.Draw(random)
			low, high = min(low, d), max(high, d)
		}
		if spread := l.Spread; low < max(l.Mean-spread, 1) || high > l.Mean+spread || high-low < spread*19/10 {
			t.Errorf("%q: drawn from %v to %v", in, low, high)
		}
	}
	for in, want := range map[string]string{"": `"" at 1`, "60": `"60" at 1`, "0s": `at 1`, "-1s": `at 1`, "60s±": `"" at 5`, "60s±x": `"x" at 5`,
		"60s±-1s": `"-1s" at 5`, "60s±61s": `"61s" at 5 is more than`, "60s+-x": `"x" at 6`, "9999999h": `at 1`} {
		if l, err := ParseLifetime(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %s", in, l, err, want)
		}
	}
	if l := (Lifetime{}); !l.None() || l.String() != "" {
		t.Errorf("no lifetime is %q", l)
	}
}

func FuzzParseLifetime(f *testing.F) {
	for _, s := range []string{"60s", "60s±20s", "60s+-20s", "±", "1ns±1ns", "1h±+-1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLifetime(s)
		if err != nil {
			return
		}
		if again, err := ParseLifetime(l.String()); err != nil || again != l {
			t.Errorf("%q: %v, then %v, %v", s, l, again, err)
		}
		if d := l.Draw(rand.New(rand.NewPCG(1, 1))); d < 1 || d > 2*l.Mean {
			t.Errorf("%q: drawn %v", s, d)
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	p := plan(b, "0..1000000 in 30s", 1)
	e := p.Events()
	for b.Loop() {
		if _, ok := e.Next(); !ok {
			e = p.Events()
		}
	}
}
