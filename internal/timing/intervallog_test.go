package timing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What has grown, added up, is all that was recorded, bucket by bucket.
func TestGrowth(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	h, sum := New(), New()
	var g growth
	part := int64(0)
	add := func(from, to, count int64) {
		part += count
		if !h.h.ValuesAreEquivalent(from, to) || h.h.ValuesAreEquivalent(to, to+1) {
			t.Errorf("a bucket from %d to %d", from, to)
		}
		_ = sum.h.RecordValues(from, count)
	}
	for range 5 {
		n := rnd.IntN(1000)
		for range n {
			h.Record(time.Duration(rnd.Int64N(int64(Max)) >> rnd.IntN(50)))
		}
		h.Record(Max)
		part = 0
		if g.each(h.Snapshot(), add); part != int64(n+1) {
			t.Errorf("grown by %d, want %d", part, n+1)
		}
	}
	if !slices.Equal(sum.Snapshot(), h.Snapshot()) {
		t.Error("the sum of what has grown is not what there is")
	}
	part = 0
	if g.each(h.Snapshot(), add); part != 0 {
		t.Error("it grew without a value")
	}
}

// logged writes a log of three intervals of 1 s, 1.5 s and nothing at all, and returns what it holds by tag and interval.
func logged(t *testing.T, w io.Writer) map[string][]string {
	t.Helper()
	begin := time.UnixMilli(1_700_000_000_250)
	l, err := NewIntervalLog(w, begin, "latency", "service", "lag")
	if err != nil {
		t.Fatal(err)
	}
	latency, service, lag := New(), New(), New()
	for us := range 1000 {
		latency.Record(time.Duration(us) * time.Microsecond)
	}
	for i, at := range []time.Duration{time.Second, 2500 * time.Millisecond, 2500 * time.Millisecond, 4 * time.Second} {
		if i == 1 {
			service.Record(3 * time.Second)
			latency.Record(Max)
			latency.Record(0)
		}
		if err := l.Write(begin.Add(at), latency.Snapshot(), service.Snapshot(), lag.Snapshot()); err != nil {
			t.Fatal(err)
		}
	}
	return map[string][]string{"latency": {"0 1000 1000", "1000 1500 2", "2500 0 0", "2500 1500 0"}, "service": {"1000 1500 1", "2500 0 0", "2500 1500 0"}}
}

// HdrHistogram's own reader finds the intervals, their times and values.
func TestIntervalLog(t *testing.T) {
	var text bytes.Buffer
	want := logged(t, &text)
	const head = "#[BaseTime: 1700000000.250 (seconds since epoch)]\n#[StartTime: 1700000000.250 (seconds since epoch), Tue Nov 14 22:13:20 UTC 2023]\n"
	if !strings.Contains(text.String(), head) || !strings.Contains(text.String(), "#[Histogram log format version 1.3]\n") {
		t.Errorf("head: %.300s", text.String())
	}
	got := map[string][]string{}
	var first, second *hdrhistogram.Histogram
	for r := hdrhistogram.NewHistogramLogReader(&text); ; {
		h, err := r.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		from := h.StartTimeMs() - 1_700_000_000_250
		got[h.Tag()] = append(got[h.Tag()], fmt.Sprint(from, " ", h.EndTimeMs()-h.StartTimeMs(), " ", h.TotalCount()))
		if h.Tag() == "latency" && first == nil {
			first = h
		} else if h.Tag() == "latency" && second == nil {
			second = h
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("intervals %v, want %v", got, want)
	}
	if near := func(ns int64, want float64) bool { return math.Abs(float64(ns)-want) < want/1000 }; !near(first.ValueAtPercentile(50), 499.5e3) ||
		!near(first.Max(), 999.5e3) || !near(second.Max(), float64(Max)) || second.Min() > 1000 {
		t.Errorf("p50 %d, max %d; then %d to %d ns", first.ValueAtPercentile(50), first.Max(), second.Min(), second.Max())
	}
}

// An interval leaves in one write, so that no reader of a growing log, and no crash of ours, finds half a line.
func TestIntervalLogWrites(t *testing.T) {
	w := &countingWriter{}
	logged(t, w)
	if w.writes != 1+4 || w.torn {
		t.Errorf("%d writes, torn %v; want the head and four intervals, each of whole lines", w.writes, w.torn)
	}
	w.err = os.ErrClosed
	if _, err := NewIntervalLog(w, time.Now(), "latency"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if err := (&IntervalLog{w: w}).Write(time.Now()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

type countingWriter struct {
	writes int
	torn   bool
	err    error
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.writes++
	w.torn = w.torn || len(b) > 0 && b[len(b)-1] != '\n'
	return len(b), w.err
}
