// Package meter counts how long things take, and how many come at once, while a hot path runs.
//
// Times and Sizes are buckets with fixed bounds, the half decades and the powers of four. They are plain atomics without pointers: their zero value
// is ready, adding to one is two atomic additions, and they may lie in memory that another process sees as well. Anybody may add and read at any
// time. A Histogram is what was read, as JSON and as Prometheus want it. (Package timing has percentiles to three digits, for kilobytes.)
package meter

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// limits are the longest durations that the buckets of Times count. What is longer than the last is in a bucket of its own.
var limits = [...]time.Duration{10 * time.Microsecond, 30 * time.Microsecond, 100 * time.Microsecond, 300 * time.Microsecond,
	time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond,
	time.Second, 3 * time.Second, 10 * time.Second}

// sizes is how many buckets Sizes has. The largest number that one counts is 4 to the power of its index; there is one more bucket for those beyond.
const sizes = 8

// Times counts durations.
type Times struct {
	buckets [len(limits) + 1]atomic.Int64
	sum     atomic.Int64 // in nanoseconds
}

// Add counts a duration; one that is negative counts as none.
func (t *Times) Add(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(limits) && d > limits[i] {
		i++
	}
	t.buckets[i].Add(1)
	t.sum.Add(int64(d))
}

// Read is what was counted, in seconds.
func (t *Times) Read() Histogram {
	return read(t.buckets[:], func(i int) float64 { return limits[i].Seconds() }, float64(t.sum.Load())/float64(time.Second))
}

// Sizes counts numbers of things.
type Sizes struct {
	buckets [sizes + 1]atomic.Int64
	sum     atomic.Int64
}

// Add counts that n came at once.
func (s *Sizes) Add(n int) {
	i := 0
	if n > 1 {
		i = min((bits.Len(uint(n-1))+1)/2, sizes)
	}
	s.buckets[i].Add(1)
	s.sum.Add(int64(n))
}

// Read is what was counted.
func (s *Sizes) Read() Histogram {
	return read(s.buckets[:], func(i int) float64 { return float64(int(1) << (2 * i)) }, float64(s.sum.Load()))
}

// Histogram is a distribution.
type Histogram struct {
	Count   int64    `json:"count"`
	Sum     float64  `json:"sum"`     // of all that was counted: seconds or things
	Buckets []Bucket `json:"buckets"` // by rising bound
}

// Bucket says how many were at most so long or so large.
type Bucket struct {
	LE float64 `json:"le"`
	N  int64   `json:"n"`
}

// read makes of buckets that each count their own such that count those below as well.
func read(buckets []atomic.Int64, bound func(i int) float64, sum float64) Histogram {
	last := len(buckets) - 1
	h := Histogram{Sum: sum, Buckets: make([]Bucket, last)}
	for i := range last {
		h.Count += buckets[i].Load()
		h.Buckets[i] = Bucket{bound(i), h.Count}
	}
	h.Count += buckets[last].Load()
	return h
}

// Add adds what o counts, which must have the same bounds, or nothing at all.
func (h *Histogram) Add(o Histogram) {
	if len(o.Buckets) == 0 {
		return
	}
	sum := make([]Bucket, len(o.Buckets))
	copy(sum, o.Buckets)
	for i, b := range h.Buckets {
		sum[i].N += b.N
	}
	h.Count, h.Sum, h.Buckets = h.Count+o.Count, h.Sum+o.Sum, sum
}
