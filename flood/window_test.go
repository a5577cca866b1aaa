package flood

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"cometctl/internal/wire"
)

func span(from, to uint32) (s []uint32) {
	for n := from; n <= to; n++ {
		s = append(s, n)
	}
	return s
}

func TestWindow(t *testing.T) {
	for _, tc := range []struct {
		name                           string
		fromOne                        bool
		come                           []uint32
		missing                        int64
		reordered, duplicated, message uint64
	}{
		{"in order", true, []uint32{1, 2, 3}, 0, 0, 0, 3},
		{"a gap", true, []uint32{1, 2, 5}, 2, 0, 0, 3},
		{"a gap at the beginning", true, []uint32{4}, 3, 0, 0, 1},
		{"we came later", false, []uint32{4, 5}, 0, 0, 0, 2},
		{"late", true, []uint32{1, 3, 2}, 0, 1, 0, 3},
		{"repeated", true, []uint32{1, 1, 2, 1}, 0, 0, 2, 2},
		{"late, then repeated", true, []uint32{1, 3, 2, 2}, 0, 1, 1, 3},
		{"overtaken at the beginning", false, []uint32{5, 3, 4, 4}, 0, 2, 1, 3},
		{"overtaken, with a gap", false, []uint32{5, 3}, 1, 1, 0, 2},
		{"late by 63", true, append(span(2, 64), 1), 0, 1, 0, 64},
		{"late by 64", true, append(span(2, 65), 1), 0, 1, 0, 65},
		{"late by 1000", true, append(span(2, 1001), 1), 0, 1, 0, 1001},
		{"repeated by 64", true, append(span(1, 65), 1), 0, 0, 1, 65},
		{"repeated by 1000, a young gap", true, append(span(1, 1000), 1002, 1), 1, 0, 1, 1001},
		{"leap of 63", true, []uint32{1, 64, 1}, 62, 0, 1, 2},
		{"leap of 64", true, []uint32{1, 65, 2}, 62, 1, 0, 3},
		{"leap of 1000", true, []uint32{1, 1001, 1000, 1000}, 998, 1, 1, 3},
		{"far below the beginning", false, []uint32{500, 100}, 399, 1, 0, 2},
		{"the highest", true, []uint32{1<<32 - 1}, 1<<32 - 2, 0, 0, 1},
	} {
		since := testStart
		if !tc.fromOne {
			since = testRun.Start().UnixNano() + 1
		}
		var (
			tr tracker
			w  window
		)
		for _, n := range tc.come {
			tr.note(&w, since, wire.Stamp{Run: testRun, ID: []byte("1"), Seq: uint64(n)})
		}
		if tr.missing != tc.missing || tr.reordered != tc.reordered || tr.duplicated != tc.duplicated || tr.messages != tc.message {
			t.Errorf("%s: missing %d, reordered %d, duplicated %d, messages %d; want %d, %d, %d, %d", tc.name,
				tr.missing, tr.reordered, tr.duplicated, tr.messages, tc.missing, tc.reordered, tc.duplicated, tc.message)
		}
	}
}

// model judges a sequence with all the memory it likes.
type model struct {
	seen            map[uint64]bool
	low, top        uint64
	late, duplicate uint64
}

func (m *model) note(n uint64, fromOne bool) {
	if m.seen == nil {
		m.seen = map[uint64]bool{}
		if m.low = n; fromOne {
			m.low = 1
		}
	}
	switch {
	case m.seen[n]:
		m.duplicate++
		return
	case n < m.top:
		m.late++
	}
	m.seen[n] = true
	m.low, m.top = min(m.low, n), max(m.top, n)
}

// missingBelow counts the missing among the numbers that are so far below the highest.
func (m *model) missingBelow(back uint64) (n int) {
	for i := m.low; i+back <= m.top; i++ {
		if !m.seen[i] {
			n++
		}
	}
	return n
}

func (m *model) missing() int64 { return int64(m.top-m.low+1) - int64(len(m.seen)) }

// Several sequences share a connection; each loses, repeats and reorders within the window's reach. The tracker must
// agree with the model after every message, and give everything back at the end.
func TestTrackerAgreesWithModel(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var (
			tr tracker
			w  window
		)
		since := testRun.Start().UnixNano() + int64(rnd.IntN(2)) // opened before or after the run began
		fromOne := since == testRun.Start().UnixNano()
		models := map[[2]uint64]*model{}
		last := map[[2]uint64]uint64{}
		for range 400 {
			key := [2]uint64{rnd.Uint64N(3), rnd.Uint64N(2)}
			m := models[key]
			if m == nil {
				m = &model{}
				models[key] = m
			}
			n := last[key] + 1 + rnd.Uint64N(2)*rnd.Uint64N(3)
			if rnd.IntN(3) == 0 && n > 20 {
				n -= 1 + rnd.Uint64N(20)
			}
			last[key] = max(last[key], n)
			m.note(n, fromOne)
			tr.note(&w, since, wire.Stamp{Run: testRun + wire.RunTag(key[0]), ID: []byte{'a' + byte(key[1])}, Seq: n})

			var messages, late, duplicate uint64
			var missing int64
			for _, m := range models {
				messages += uint64(len(m.seen))
				late += m.late
				duplicate += m.duplicate
				missing += m.missing()
			}
			if tr.messages != messages || tr.reordered != late || tr.duplicated != duplicate || tr.missing != missing {
				t.Fatalf("seed %d: messages %d reordered %d duplicated %d missing %d, the model says %d %d %d %d",
					seed, tr.messages, tr.reordered, tr.duplicated, tr.missing, messages, late, duplicate, missing)
			}
		}
		want := -1 // the first is not in the slab
		for _, m := range models {
			if want++; m.missingBelow(reach) > 0 {
				want++
			}
		}
		if tr.more.Len() != want {
			t.Fatalf("seed %d: %d slots in the slab for %d sequences, want %d", seed, tr.more.Len(), len(models), want)
		}
		if tr.forget(&w); tr.more.Len() != 0 || w != (window{}) {
			t.Fatalf("seed %d: %d windows left", seed, tr.more.Len())
		}
	}
}

func TestTrackerOddNumbers(t *testing.T) {
	var (
		tr tracker
		w  window
	)
	for _, seq := range []uint64{0, 1 << 32, 1<<64 - 1} {
		tr.note(&w, testStart, wire.Stamp{Run: testRun, ID: []byte("1"), Seq: seq})
	}
	if tr.messages != 3 || tr.missing != 0 || w != (window{}) {
		t.Errorf("numbers that no run has: %d messages, %d missing, window %+v", tr.messages, tr.missing, w)
	}
}

func BenchmarkTracker(b *testing.B) {
	var (
		tr tracker
		w  window
	)
	s := wire.Stamp{Run: testRun, ID: []byte("12345")}
	for b.Loop() {
		s.Seq = s.Seq%(1<<31) + 1
		tr.note(&w, testStart, s)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stamps/s")
}

// roomy is a window as plainly as it can be written: how many numbers are missing, and the lowest that is expected, are kept as they are.
type roomy struct {
	seen            uint64
	low, top, holes uint32
}

func (w *roomy) note(n uint32) (order, int64) {
	if n > w.top {
		ahead := n - w.top
		w.seen = w.seen<<ahead | 1
		w.top = n
		w.holes += ahead - 1
		return inOrder, int64(ahead - 1)
	}
	if back := w.top - n; back < reach {
		if w.seen>>back&1 == 1 {
			return repeated, 0
		}
		w.seen |= 1 << back
	} else if n >= w.low {
		span := min(uint64(w.top)-uint64(w.low)+1, reach)
		if w.holes == uint32(span)-uint32(bits.OnesCount64(w.seen&(math.MaxUint64>>(reach-span)))) {
			return repeated, 0
		}
	}
	if n < w.low {
		more := w.low - 1 - n
		w.low = n
		w.holes += more
		return late, int64(more)
	}
	w.holes--
	return late, -1
}

// Whatever comes, in whatever order, 24 bytes (48 while something is missing for long) say the same as a window that spares nothing.
func TestWindowSaysWhatARoomyOneDoes(t *testing.T) {
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var tr tracker
		var first window
		other := wire.Stamp{Run: testRun + 1, ID: []byte("1"), Seq: 5}
		tr.note(&first, testStart, other) // the one that we follow hangs behind it, or stands in front
		since, fromOne := testStart, seed%2 == 0
		n := uint32(1)
		if !fromOne {
			since, n = testRun.Start().UnixNano()+1, 1+rnd.Uint32N(1<<30)
		}
		if seed%3 == 0 {
			tr.forget(&first)
			tr = tracker{}
		}
		w := roomy{low: n, top: n - 1}
		if fromOne {
			w = roomy{low: 1}
		}
		want := tr.runSums
		step := []uint32{2, 100, 30_000}[seed/4%3]
		for range 300 {
			how, missing := w.note(n)
			want.missing += missing
			switch how {
			case repeated:
				want.duplicated++
				want.messages--
			case late:
				want.reordered++
			}
			want.messages++
			tr.note(&first, since, wire.Stamp{Run: testRun, ID: []byte("1"), Seq: uint64(n)})
			if tr.runSums != want {
				t.Fatalf("seed %d, number %d: %+v, want %+v", seed, n, tr.runSums, want)
			}
			switch rnd.IntN(4) {
			case 0:
				n = w.top + 1 + rnd.Uint32N(step)
			case 1:
				n = max(w.top, 70) - rnd.Uint32N(70)
			case 2:
				n = max(w.top, step) - rnd.Uint32N(step) // perhaps below the beginning
			default:
				n = w.top + 1
			}
			if n = max(n, 1); !fromOne && w.top-min(w.low, n) >= far {
				break // below the beginning of such a sequence, 24 bytes do not know that it is
			}
		}
		if tr.forget(&first); tr.more.Len() != 0 {
			t.Fatalf("seed %d: %d slots were not given back", seed, tr.more.Len())
		}
	}
}
