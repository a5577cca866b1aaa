package findmax

import (
	"math"
	"math/rand/v2"
	"testing"
)

// search runs a search against a server that is given as a function.
func search(t *testing.T, p Plan, server func(rate uint64) Outcome) ([]Point, Summary) {
	t.Helper()
	var trials []Point
	for {
		rate, done := p.Next(trials)
		if done {
			return trials, p.Sum(trials)
		}
		if len(trials) == 500 {
			t.Fatalf("%+v: no end after %d trials: %+v", p, len(trials), trials[400:])
		}
		trials = append(trials, Point{rate, server(rate)})
	}
}

var usual = Plan{From: 1000, Precision: 0.05, Repeats: 5}

func TestSearchFindsTheLimit(t *testing.T) {
	for _, limit := range []uint64{1, 2, 3, 7, 100, 999, 1000, 1001, 23_456, 1_000_000, 999_999_999} {
		for _, beyond := range []Outcome{Broke, Limited} {
			trials, s := search(t, usual, func(rate uint64) Outcome {
				if rate <= limit {
					return Held
				}
				return beyond
			})
			if s.Rate > limit || s.Beyond <= limit || s.Beyond-s.Rate > 1 && float64(s.Beyond) > 1.05*float64(s.Rate) {
				t.Errorf("limit %d: %+v", limit, s)
			}
			if s.Held != s.Repeats || s.Repeats != 5 || s.BeyondFailed != 2 || s.BeyondRepeats != 2 || s.ClientsLimit != (beyond == Limited) || math.Abs(s.Surely-math.Pow(0.05, 0.2)) > 1e-9 {
				t.Errorf("limit %d: %+v", limit, s)
			}
			if len(trials) > 60 {
				t.Errorf("limit %d: %d trials", limit, len(trials))
			}
		}
	}
}

func TestSearchSteps(t *testing.T) {
	p := Plan{From: 100, Precision: 0.5, Repeats: 2}
	trials, s := search(t, p, func(rate uint64) Outcome {
		if rate < 300 {
			return Held
		}
		return Broke
	})
	want := []uint64{100, 200, 400, 400, 283, 283}
	for i, rate := range want {
		if i >= len(trials) || trials[i].Rate != rate {
			t.Fatalf("trials %+v, want rates %v", trials, want)
		}
	}
	if len(trials) != len(want) || s.Rate != 283 || s.Beyond != 400 {
		t.Errorf("%+v after %d trials", s, len(trials))
	}
}

func TestSearchEnds(t *testing.T) {
	never := func(uint64) Outcome { return Broke }
	if trials, s := search(t, usual, never); s.Rate != 0 || s.Surely != 0 || s.Beyond != 1 || len(trials) > 25 {
		t.Errorf("nothing holds: %+v after %d trials", s, len(trials))
	}
	always := func(uint64) Outcome { return Held }
	if _, s := search(t, usual, always); s.Rate != fastest || s.Beyond != 0 || s.Repeats != 5 {
		t.Errorf("all holds: %+v", s)
	}
	p := usual
	p.To = 5000
	if _, s := search(t, p, always); s.Rate != 5000 || s.Beyond != 0 || s.Repeats != 5 {
		t.Errorf("all holds up to 5000: %+v", s)
	}
	p.From = 10_000
	if trials, _ := search(t, p, always); trials[0].Rate != 5000 {
		t.Errorf("begins at %d beyond its end", trials[0].Rate)
	}
}

// TestSearchAmongNoise: a server that breaks by chance below its limit, and holds by chance above it, does not make the search go on for ever, and
// what it tells is what its trials were.
func TestSearchAmongNoise(t *testing.T) {
	near := 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		trials, s := search(t, usual, func(rate uint64) Outcome {
			if (rate <= 20_000) != (rng.Float64() < 0.1) {
				return Held
			}
			return Broke
		})
		held := 0
		for _, x := range trials {
			if x.Rate == s.Rate && x.Outcome == Held {
				held++
			}
		}
		if held != s.Held || 2*s.Held <= s.Repeats || s.Repeats < 5 {
			t.Fatalf("seed %d: %+v of %d trials that held", seed, s, held)
		}
		if s.Rate > 17_000 && s.Rate < 23_000 {
			near++
		}
	}
	if near < 160 {
		t.Errorf("%d of 200 searches ended near the limit of 20000", near)
	}
}

func TestWhoseLimit(t *testing.T) {
	for _, tt := range []struct {
		beyond []Outcome
		want   bool
	}{{[]Outcome{Broke, Broke}, false}, {[]Outcome{Broke, Limited}, true}, {[]Outcome{Broke, Limited, Broke}, false}, {[]Outcome{Limited, Limited}, true}} {
		trials := []Point{{100, Held}}
		for _, o := range tt.beyond {
			trials = append(trials, Point{200, o})
		}
		if s := usual.Sum(trials); s.ClientsLimit != tt.want || s.Rate != 100 || s.Beyond != 200 {
			t.Errorf("%v: %+v", tt.beyond, s)
		}
	}
}

// TestOneMoreTryForChance: a single trial that did not hold decides nothing, and a rate that fails in its repeats is left.
func TestOneMoreTryForChance(t *testing.T) {
	p := Plan{From: 100, To: 100, Precision: 0.05, Repeats: 3}
	for _, tt := range []struct {
		trials []Point
		rate   uint64
		done   bool
	}{
		{[]Point{{100, Broke}}, 100, false},
		{[]Point{{100, Broke}, {100, Held}}, 100, false},
		{[]Point{{100, Broke}, {100, Held}, {100, Held}}, 100, true},
		{[]Point{{100, Broke}, {100, Held}, {100, Limited}}, 50, false},
		{[]Point{{100, Broke}, {100, Broke}}, 50, false},
		{[]Point{{100, Held}, {100, Held}}, 100, false},
		{[]Point{{100, Held}, {100, Broke}, {100, Held}, {100, Broke}, {100, Held}, {100, Broke}}, 50, false},
	} {
		if rate, done := p.Next(tt.trials); !done && rate != tt.rate || done != tt.done {
			t.Errorf("after %v: %d, %v, want %d, %v", tt.trials, rate, done, tt.rate, tt.done)
		}
	}
}

// TestSurely holds the bound against tables of Clopper and Pearson's (one-sided, 95 %).
func TestSurely(t *testing.T) {
	for _, tt := range []struct {
		k, n int
		want float64
	}{{1, 1, 0.05}, {3, 3, 0.3684}, {5, 5, 0.5493}, {4, 5, 0.3426}, {10, 10, 0.7411}, {9, 10, 0.6058}, {1, 10, 0.0051}, {0, 5, 0}} {
		if got := surely(tt.k, tt.n); math.Abs(got-tt.want) > 1e-4 {
			t.Errorf("%d of %d: %.4f, want %.4f", tt.k, tt.n, got, tt.want)
		}
	}
}
