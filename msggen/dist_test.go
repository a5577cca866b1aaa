package msggen

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// draws counts n draws of a distribution over so many ids.
func draws(d Dist, ids uint64, n int) []int {
	c := newChooser(d, ids, stream(1, 0, 0))
	counts := make([]int, ids)
	for i := range n {
		counts[c.draw(uint64(i))]++
	}
	return counts
}

// chiSquare holds counts against probabilities, and returns how many standard deviations chi-square is off its mean. Counts that
// are expected below 10 are put together.
func chiSquare(counts []int, n int, probability func(k int) float64) float64 {
	var chi, expected, got float64
	bins := -1.0
	for k, c := range counts {
		expected += probability(k) * float64(n)
		got += float64(c)
		if expected >= 10 {
			chi += (got - expected) * (got - expected) / expected
			bins++
			expected, got = 0, 0
		}
	}
	return (chi - bins) / math.Sqrt(2*bins)
}

// TestDistributions draws with a fixed seed and holds the counts against the probabilities.
func TestDistributions(t *testing.T) {
	zipf := func(ids uint64, s float64) func(int) float64 {
		var sum float64
		for k := ids; k >= 1; k-- {
			sum += math.Pow(float64(k), -s)
		}
		return func(k int) float64 { return math.Pow(float64(k+1), -s) / sum }
	}
	const n = 400_000
	tests := []struct {
		dist        Dist
		ids         uint64
		probability func(k int) float64
	}{
		{Dist{}, 1000, func(int) float64 { return 1e-3 }},
		{Dist{Kind: DistZipf}, 1000, zipf(1000, 1.1)},
		{Dist{Kind: DistZipf, Zipf: 1}, 1000, zipf(1000, 1)},
		{Dist{Kind: DistZipf, Zipf: 0.2}, 1000, zipf(1000, 0.2)},
		{Dist{Kind: DistZipf, Zipf: 0.99}, 1_000_000, zipf(1_000_000, 0.99)},
		{Dist{Kind: DistZipf, Zipf: 1.1}, 1_000_000, zipf(1_000_000, 1.1)},
		{Dist{Kind: DistZipf, Zipf: 3}, 50, zipf(50, 3)},
		{Dist{Kind: DistZipf, Zipf: 1.5}, 2, zipf(2, 1.5)},
		{Dist{Kind: DistHot}, 1000, func(k int) float64 {
			if k < 10 {
				return 0.9 / 10
			}
			return 0.1 / 990
		}},
		{Dist{Kind: DistHot, Hot: Hot{hotWhole / 2, hotWhole / 4}}, 3, func(k int) float64 { // 1.5 ids are 2
			if k < 2 {
				return 0.25 / 2
			}
			return 0.75
		}},
	}
	for _, tt := range tests {
		if off := chiSquare(draws(tt.dist, tt.ids, n), n, tt.probability); math.Abs(off) > 4 {
			t.Errorf("%v over %d ids: chi-square is %.1f standard deviations off", tt.dist, tt.ids, off)
		}
	}
	for k, c := range draws(Dist{Kind: DistSequential}, 1000, n) {
		if c != n/1000 {
			t.Fatalf("sequential: id %d has %d of %d messages", k+1, c, n)
		}
	}
	if counts := draws(Dist{Kind: DistZipf}, 1, 100); counts[0] != 100 {
		t.Errorf("zipf over one id: %v", counts)
	}
}

func TestDrawAllocatesNothing(t *testing.T) {
	for _, kind := range []DistKind{DistUniform, DistZipf, DistSequential, DistHot} {
		c := newChooser(Dist{Kind: kind}, 1_000_000, stream(1, 0, 0))
		n := uint64(0)
		if a := testing.AllocsPerRun(1000, func() { n++; c.draw(n) }); a != 0 {
			t.Errorf("%s: %v allocations a draw", kind, a)
		}
	}
}

func TestParseHot(t *testing.T) {
	for text, want := range map[string]Hot{
		"1%:90%":         {10_000_000, 900_000_000},
		"0.01%:99.9999%": {100_000, 999_999_000},
		"99%:1%":         {990_000_000, 10_000_000},
	} {
		if got, err := ParseHot(text); err != nil || got != want || got.String() != text {
			t.Errorf("ParseHot(%q) = %+v (%v), %v", text, got, got, err)
		}
	}
	for text, want := range map[string]string{
		"":               `"": give a share of the ids, a colon`,
		"1%":             `"1%": give a share`,
		"1%:90":          `"90" at 4 is no share`,
		"0%:90%":         `"0%" at 1 is no share`,
		"100%:90%":       `"100%" at 1 is no share`,
		"1%:-5%":         `"-5%" at 4 is no share`,
		"1%:1.%":         `"1.%" at 4 is no share`,
		"1%:.5%":         `".5%" at 4 is no share`,
		"1%:0.00000001%": `at 4 is no share`,
		"1%:90%:5%":      `"90%:5%" at 4 is no share`,
		"one%:ninety%":   `"one%" at 1 is no share`,
		"1%:90%\n":       `at 4 is no share`,
		"+1%:90%":        `"+1%" at 1 is no share`,
	} {
		if got, err := ParseHot(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseHot(%q) = %+v, %v, want an error with %q", text, got, err, want)
		}
	}
}

func FuzzParseHot(f *testing.F) {
	f.Add("1%:90%")
	f.Add("0.0000001%:99.9999999%")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHot(text)
		if err != nil {
			return
		}
		if again, err := ParseHot(h.String()); err != nil || again != h {
			t.Errorf("ParseHot(%q) = %+v, but its String %q reads as %+v, %v", text, h, h.String(), again, err)
		}
		if err := (Dist{Kind: DistHot, Hot: h}).check(2); err != nil {
			t.Errorf("ParseHot(%q) = %+v, which cannot be used: %v", text, h, err)
		}
	})
}

func TestDistCheck(t *testing.T) {
	for _, tt := range []struct {
		dist Dist
		ids  int
		want string
	}{
		{Dist{Kind: "normal"}, 10, `--dist "normal" is no distribution of ids; there are uniform`},
		{Dist{Kind: DistZipf, Zipf: -1}, 10, `--zipf -1: the exponent must be above 0`},
		{Dist{Kind: DistZipf, Zipf: math.NaN()}, 10, `--zipf NaN`},
		{Dist{Kind: DistZipf, Zipf: math.Inf(1)}, 10, `--zipf +Inf`},
		{Dist{Kind: DistHot}, 1, `--hot 1%:90% with --ids 1`},
		{Dist{Kind: DistHot, Hot: Hot{IDs: hotWhole, Messages: 5}}, 10, `--hot 100%:`},
	} {
		if err := tt.dist.check(tt.ids); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v over %d ids: %v, want an error with %q", tt.dist, tt.ids, err, tt.want)
		}
	}
}

func BenchmarkDraw(b *testing.B) {
	for _, kind := range []DistKind{DistUniform, DistZipf, DistSequential, DistHot} {
		for _, ids := range []uint64{100, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d", kind, ids), func(b *testing.B) {
				c := newChooser(Dist{Kind: kind}, ids, stream(1, 0, 0))
				n := uint64(0)
				for b.Loop() {
					n++
					c.draw(n)
				}
			})
		}
	}
}
