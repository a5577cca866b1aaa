package timing

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"
)

// TestInterval: the intervals of a histogram, through JSON, add up to the histogram, and each tells of its own time alone.
func TestInterval(t *testing.T) {
	h, sum := New(), New()
	var interval Interval
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		alone := New()
		for range rng.IntN(3) * 500 {
			d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
			if rng.IntN(100) == 0 {
				d *= 10_000
			}
			h.Record(d)
			alone.Record(d)
		}
		text, err := json.Marshal(interval.Next(h))
		if err != nil {
			t.Fatal(err)
		}
		var counts Counts
		if err := json.Unmarshal(text, &counts); err != nil {
			t.Fatal(err)
		}
		back := New()
		back.Add(counts)
		sum.Add(counts)
		got, want := back.Percentiles(), alone.Percentiles()
		if (got == nil) != (want == nil) || got != nil && (got.P50 != want.P50 || got.P99 != want.P99 || got.P999 != want.P999 || got.Max != want.Max) {
			t.Fatalf("interval %d: %+v, want %+v", round, got, want)
		}
	}
	if got, want := sum.Percentiles(), h.Percentiles(); got.P50 != want.P50 || got.P999 != want.P999 || got.Max != want.Max {
		t.Errorf("all intervals: %+v, want %+v", got, want)
	}
	if c := interval.Next(h); len(c) != 0 {
		t.Errorf("nothing was recorded, yet %v", c)
	}
}

func TestAddBeyondItsBounds(t *testing.T) {
	h := New()
	h.Add(Counts{{-5, 1}, {1 << 62, 2}, {7, -3}, {9, 0}})
	if p := h.Percentiles(); p.P50 < p.Max || h.h.TotalCount() != 3 {
		t.Errorf("%+v of %d", p, h.h.TotalCount())
	}
}
