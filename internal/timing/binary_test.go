package timing

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Every bucket's value goes into that bucket, and none is beyond those that we number.
func TestValueOf(t *testing.T) {
	counts := len(New().h.Export().Counts)
	if counts > buckets {
		t.Fatalf("a histogram has %d buckets, we know of %d", counts, buckets)
	}
	for i := 0; i < counts && valueOf(i) <= int64(Max/time.Microsecond); i++ {
		h := New()
		if err := h.h.RecordValues(valueOf(i), 1); err != nil || h.h.Export().Counts[i] != 1 {
			t.Fatalf("bucket %d: its value %d lies elsewhere (%v)", i, valueOf(i), err)
		}
		if i > 5000 {
			i += 100
		}
	}
}

// Three histograms that went over a wire are one that has recorded everything.
func TestBinarySum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	all, sum := New(), New()
	for range 3 {
		part := New()
		for range 5000 {
			d := time.Duration(math.Exp(rnd.NormFloat64()*4+14) * 1) // from a microsecond to minutes
			part.Record(d)
			all.Record(d)
		}
		part.Record(0)
		all.Record(0)
		part.Record(2 * Max)
		all.Record(2 * Max)
		b := part.AppendBinary([]byte("x"))
		rest, err := sum.AddBinary(append(b[1:], "rest"...))
		if err != nil || string(rest) != "rest" {
			t.Fatalf("rest %q, %v", rest, err)
		}
	}
	if !sum.h.Equals(all.h) || *sum.Percentiles() != *all.Percentiles() {
		t.Errorf("the sum differs: %+v, want %+v", *sum.Percentiles(), *all.Percentiles())
	}
	if rest, err := sum.AddBinary(New().AppendBinary(nil)); err != nil || len(rest) != 0 || !sum.h.Equals(all.h) {
		t.Errorf("an empty one: rest %q, %v", rest, err)
	}
}

// What is cut, or was never ours, changes nothing.
func TestBinaryRefuses(t *testing.T) {
	h := New()
	h.Record(time.Second)
	h.Record(time.Minute)
	whole := h.AppendBinary(nil)
	bad := [][]byte{
		{1, 0, 0},             // a count of 0
		{2, 5, 1, 0, 1},       // the same bucket twice
		{1, 0xff, 0xff, 3, 1}, // no such bucket
		append([]byte{2, 1, 1, 1}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), // more than can be counted
		bytes.Repeat([]byte{0xff}, 20),
	}
	for i := range whole {
		bad = append(bad, whole[:i])
	}
	for _, b := range bad {
		to := New()
		to.Record(time.Second)
		before := to.AppendBinary(nil)
		if _, err := to.AddBinary(b); !errors.Is(err, ErrBinary) || !bytes.Equal(to.AppendBinary(nil), before) {
			t.Errorf("%v: error %v, %d values", b, err, to.h.TotalCount())
		}
	}
}

func FuzzAddBinary(f *testing.F) {
	h := New()
	for i := range 100 {
		h.Record(time.Duration(i*i) * time.Millisecond)
	}
	f.Add(h.AppendBinary(nil))
	f.Add([]byte{0})
	f.Add([]byte{1, 0xff, 0xff, 3, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h := New()
		rest, err := h.AddBinary(b)
		if err != nil {
			if h.h.TotalCount() != 0 {
				t.Fatal("refused, and recorded all the same")
			}
			return
		}
		again, other := h.AppendBinary(nil), New()
		if _, err := other.AddBinary(again); err != nil || !other.h.Equals(h.h) {
			t.Fatalf("%v -> %v: %v", b[:len(b)-len(rest)], again, err)
		}
	})
}
