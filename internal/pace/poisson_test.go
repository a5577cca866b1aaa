package pace

import (
	"math"
	"testing"
	"time"
)

// TestPoissonIsPoisson looks at 200,000 arrivals of a fixed seed: mean and variance of the gaps, the variance of the counts in
// windows, and that gaps that follow each other know nothing of each other.
func TestPoissonIsPoisson(t *testing.T) {
	const n = 200_000
	p := NewPoisson(OfRate(Rate{1000, time.Second}), 1, forever)
	var last time.Duration
	gaps := make([]float64, n)
	for i := range gaps {
		due := p.Due(uint64(i))
		if due < last {
			t.Fatalf("event %d is due at %v, before the one in front of it (%v)", i, due, last)
		}
		gaps[i], last = (due-last).Seconds()*1000, due
	}
	var sum, squares, product float64
	short := 0
	for i, g := range gaps {
		sum += g
		squares += (g - 1) * (g - 1)
		product += (g - 1) * (gaps[(i+1)%n] - 1)
		if g < math.Ln2 { // the median of an exponential distribution
			short++
		}
	}
	// Each figure within five of its standard deviations: 1, sqrt(8), 1 and 1/2 over sqrt(n).
	near := func(name string, got, want, deviation float64) {
		if math.Abs(got-want) > 5*deviation/math.Sqrt(n) {
			t.Errorf("%s: %.4f, want %.4f", name, got, want)
		}
	}
	near("mean gap", sum/n, 1, 1)
	near("variance", squares/n, 1, math.Sqrt(8))
	near("covariance with the next gap", product/n, 0, 1)
	near("share below the median", float64(short)/n, 0.5, 0.5)

	const windows = 1800
	var off float64
	for i := range windows {
		in := p.DueBy(time.Duration(i+1)*100*time.Millisecond-1) - p.DueBy(time.Duration(i)*100*time.Millisecond-1)
		off += (float64(in) - 100) * (float64(in) - 100) / 100
	}
	if off /= windows; math.Abs(off-1) > 5*math.Sqrt(2.0/windows) {
		t.Errorf("counts of 100 in windows: variance %.3f of the mean, want 1", off)
	}
}

// TestPoissonViews: any order of questions, from any view, has the same answers; DueBy and Due agree.
func TestPoissonViews(t *testing.T) {
	rates, err := ParseSteps("ramp 0..2000 for 2s, pause for 1s, 500 for 2s, ramp 1000..0 for 2s")
	if err != nil {
		t.Fatal(err)
	}
	for _, burst := range []uint64{1, 7} {
		p := NewPoisson(rates.InBursts(burst), 9, 6*time.Second)
		all := p.DueBy(time.Hour)
		if mean := 2000 + 1000 + 750.0; math.Abs(float64(all)-mean) > 5*math.Sqrt(mean*float64(burst)) {
			t.Errorf("bursts of %d: %d events, about %v expected", burst, all, mean)
		}
		if p.Due(all) != forever || p.Due(all+10_000) != forever || p.Due(math.MaxUint64) != forever || p.Due(all-1) >= 6*time.Second {
			t.Errorf("bursts of %d: the last is due at %v, behind it %v", burst, p.Due(all-1), p.Due(all))
		}
		again := NewPoisson(rates.InBursts(burst), 9, 6*time.Second)
		view := again.View()
		for i := range all {
			n := all - 1 - i // backwards
			due := view.Due(n)
			if due != p.Due(n) {
				t.Fatalf("bursts of %d: event %d is due at %v and at %v", burst, n, due, p.Due(n))
			}
			if step := rates.All()[rates.At(due)]; step.Text == "pause" {
				t.Fatalf("event %d is due at %v, in a pause", n, due)
			}
			if by, before := again.DueBy(due), again.DueBy(due-1); by <= n || before > n {
				t.Fatalf("bursts of %d: event %d is due at %v; %d are by then, %d before", burst, n, due, by, before)
			}
		}
	}
	if a, b := NewPoisson(rates, 1, forever).Due(5), NewPoisson(rates, 2, forever).Due(5); a == b {
		t.Errorf("seeds 1 and 2 have event 5 at %v", a)
	}
}

func TestPoissonAllocatesNothing(t *testing.T) {
	p := NewPoisson(OfRate(Rate{1000, time.Second}), 1, forever)
	p.Due(1 << 20)
	n := uint64(0)
	if a := testing.AllocsPerRun(1000, func() { n += 100; p.Due(n) }); a != 0 {
		t.Errorf("%v allocations a question", a)
	}
}

func BenchmarkPoissonDue(b *testing.B) {
	p, n := NewPoisson(OfRate(Rate{1000, time.Second}), 1, forever), uint64(0)
	for b.Loop() {
		if p.Due(n) < 0 {
			b.Fatal("before the start")
		}
		n++
	}
}
