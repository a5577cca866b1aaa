package meter

import (
	"encoding/json"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"
)

// Each bound belongs to its bucket, and what is a little more to the next one.
func TestTimes(t *testing.T) {
	for i, limit := range limits {
		var at, over Times
		at.Add(limit)
		over.Add(limit + 1)
		for j, b := range at.Read().Buckets {
			if want := int64(1); (b.N == want) != (j >= i) || b.LE != limits[j].Seconds() {
				t.Errorf("%v: bucket %d is %+v", limit, j, b)
			}
		}
		for j, b := range over.Read().Buckets {
			if (b.N == 1) != (j > i) {
				t.Errorf("%v and a bit: bucket %d is %+v", limit, j, b)
			}
		}
	}
	var all Times
	for _, d := range []time.Duration{-time.Hour, 0, time.Millisecond, time.Hour} {
		all.Add(d)
	}
	h := all.Read()
	if want := 3600.001; h.Count != 4 || math.Abs(h.Sum-want) > 1e-9 || h.Buckets[0].N != 2 || h.Buckets[len(h.Buckets)-1].N != 3 {
		t.Errorf("%+v", h)
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		n, bucket int
	}{{0, 0}, {1, 0}, {2, 1}, {4, 1}, {5, 2}, {16, 2}, {17, 3}, {64, 3}, {65, 4}, {1024, 5}, {1025, 6}, {4096, 6}, {16384, 7}, {16385, 8}, {1 << 40, 8}} {
		var s Sizes
		s.Add(c.n)
		h := s.Read()
		if h.Count != 1 || h.Sum != float64(c.n) || len(h.Buckets) != sizes {
			t.Errorf("%d: %+v", c.n, h)
		}
		for j, b := range h.Buckets {
			if (b.N == 1) != (j >= c.bucket) || (float64(c.n) <= b.LE) != (b.N == 1) {
				t.Errorf("%d: bucket %d is %+v", c.n, j, b)
			}
		}
	}
}

// A sum is what one would have counted that had met everything, and what was added stays what it was.
func TestHistogramAdd(t *testing.T) {
	var a, b, both Times
	for i := range 20 {
		d := time.Microsecond << i
		[]*Times{&a, &b}[i%2].Add(d)
		both.Add(d)
	}
	var sum Histogram
	sum.Add(a.Read())
	first := sum
	sum.Add(b.Read())
	sum.Add(Histogram{})
	want := both.Read()
	if math.Abs(sum.Sum-want.Sum) > 1e-9 {
		t.Errorf("the sum is %v, want %v", sum.Sum, want.Sum)
	}
	if sum.Sum = want.Sum; !reflect.DeepEqual(sum, want) {
		t.Errorf("%+v, want %+v", sum, want)
	}
	if got := a.Read(); !reflect.DeepEqual(first, got) {
		t.Errorf("the first part became %+v, was %+v", first, got)
	}
	text, err := json.Marshal(sum)
	var back Histogram
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || !reflect.DeepEqual(back, sum) {
		t.Errorf("%s: %v", text, err)
	}
}

func TestTogether(t *testing.T) {
	var s Sizes
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 1000 {
				s.Add(i)
			}
		})
	}
	all.Wait()
	if h := s.Read(); h.Count != 4000 || h.Sum != 4*999*500 {
		t.Errorf("%+v", h)
	}
}

func BenchmarkTimes(b *testing.B) {
	var t Times
	for i := 0; b.Loop(); i++ {
		t.Add(time.Duration(i&1023) * time.Microsecond)
	}
	if t.Read().Count == 0 {
		b.Fatal("nothing was counted")
	}
}
