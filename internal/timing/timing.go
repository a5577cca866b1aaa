// Package timing keeps distributions of durations, and sums them up in the percentiles that every result of cometctl shows; and
// counts by due time, which tell when something was sent and when it got lost (Buckets).
//
// It is HdrHistogram with the bounds and the units that flood and msggen share, so that their figures can be laid side by
// side. A Histogram belongs to one goroutine or lock; those of several are merged. A Buckets is no different.
package timing

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Percentiles sums a distribution up, in milliseconds.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// Max is the longest duration that a Histogram tells from longer ones: a soak may run for weeks, and its server stand still.
const Max = 30 * 24 * time.Hour

// Histogram is a distribution of durations up to Max, to the microsecond and with three digits. Make it with New.
type Histogram struct{ h *hdrhistogram.Histogram }

// New returns an empty Histogram. It takes about 260 KB, however much is recorded.
func New() Histogram { return Histogram{hdrhistogram.New(1, int64(Max/time.Microsecond), 3)} }

// Record counts d. One below zero, as between two machines whose clocks differ, counts as zero, one above Max as Max.
func (h Histogram) Record(d time.Duration) {
	// The value is within the histogram's bounds, which is all that RecordValue could complain about.
	_ = h.h.RecordValue(int64(min(max(d, 0), Max) / time.Microsecond))
}

// Merge adds what o has recorded.
func (h Histogram) Merge(o Histogram) { h.h.Merge(o.h) }

// Reset forgets everything and keeps the memory.
func (h Histogram) Reset() { h.h.Reset() }

// Percentiles returns nil where nothing was recorded.
func (h Histogram) Percentiles() *Percentiles {
	if h.h.TotalCount() == 0 {
		return nil
	}
	v := h.h.ValueAtPercentilesSlice([]float64{50, 90, 99, 99.9})
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return &Percentiles{ms(v[0]), ms(v[1]), ms(v[2]), ms(v[3]), ms(h.h.Max()), math.Round(h.h.Mean()) / 1000}
}
