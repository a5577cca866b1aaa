package slab

import (
	"math/rand/v2"
	"sync"
	"testing"
)

type record struct{ a, b uint64 }

// TestSlab does random things to a slab and to a map.
func TestSlab(t *testing.T) {
	var s Slab[record]
	rnd := rand.New(rand.NewPCG(3, 4))
	model := map[Slot]record{}
	var slots []Slot
	for i := range 50_000 {
		if shrink := i / 10_000 % 2; len(slots) > 0 && rnd.IntN(3) < 1+shrink {
			k := rnd.IntN(len(slots))
			slot := slots[k]
			slots[k] = slots[len(slots)-1]
			slots = slots[:len(slots)-1]
			if *s.At(slot) != model[slot] {
				t.Fatalf("slot %d holds %v, want %v", slot, *s.At(slot), model[slot])
			}
			delete(model, slot)
			s.Free(slot)
			continue
		}
		slot := s.Alloc()
		if _, used := model[slot]; used || slot == 0 {
			t.Fatalf("slot %d was given out twice, or is none", slot)
		}
		if *s.At(slot) != (record{}) {
			t.Fatalf("slot %d was not zeroed: %v", slot, *s.At(slot))
		}
		r := record{rnd.Uint64(), uint64(slot)}
		*s.At(slot), model[slot] = r, r
		slots = append(slots, slot)
		if s.Len() != len(model) || slot >= s.End() {
			t.Fatalf("%d in use of %d below %d", s.Len(), len(model), s.End())
		}
	}
	for slot, r := range model {
		if *s.At(slot) != r {
			t.Errorf("slot %d holds %v, want %v", slot, *s.At(slot), r)
		}
	}
}

func TestZeroValue(t *testing.T) {
	var s Slab[record]
	if s.Len() != 0 || s.End() != 0 {
		t.Errorf("an empty slab has %d records below %d", s.Len(), s.End())
	}
	if slot := s.Alloc(); slot != 1 || s.Len() != 1 || s.End() != 2 {
		t.Errorf("first slot %d, %d records below %d", slot, s.Len(), s.End())
	}
}

// TestLastFreedFirst: a slot that is still in the cache is the next one to be used, and none is used before its time.
func TestLastFreedFirst(t *testing.T) {
	var s Slab[record]
	const n = 3*chunkLen + 5
	for range n {
		s.Alloc()
	}
	for slot := Slot(1); slot <= n; slot++ {
		s.Free(slot)
	}
	if s.Len() != 0 {
		t.Errorf("%d in use after all were freed", s.Len())
	}
	for slot := Slot(n); slot >= 1; slot-- {
		if got := s.Alloc(); got != slot {
			t.Fatalf("got slot %d, want %d", got, slot)
		}
	}
	if got := s.Alloc(); got != n+1 {
		t.Errorf("got slot %d, want the first unused, %d", got, n+1)
	}
}

func TestPointersStay(t *testing.T) {
	var s Slab[record]
	slot := s.Alloc()
	r := s.At(slot)
	for range 10 * chunkLen {
		s.Alloc()
	}
	if s.At(slot) != r {
		t.Error("a record has moved")
	}
}

func TestReach(t *testing.T) {
	var s Slab[record]
	r := s.Reach(5000)
	r.a = 7
	if s.At(5000).a != 7 || s.Reach(5000) != r || s.Reach(1).a != 0 {
		t.Error("Reach does not return the record of its slot")
	}
	if s.Len() != 0 || s.End() != 0 {
		t.Errorf("Reach has allocated: %d in use below %d", s.Len(), s.End())
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	var s Slab[record]
	s.Free(s.Alloc())
	if n := testing.AllocsPerRun(1000, func() { s.Free(s.Alloc()) }); n != 0 {
		t.Errorf("Alloc and Free allocate %v times", n)
	}
	if n := testing.AllocsPerRun(chunkLen/2, func() { s.Alloc() }); n != 0 {
		t.Errorf("Alloc of a slot that was never used allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { s.Reach(s.End() - 1) }); n != 0 {
		t.Errorf("Reach allocates %v times", n)
	}
}

// TestAtBesideAlloc is for the race detector: a reader uses what was handed over to it while the owner goes on.
func TestAtBesideAlloc(t *testing.T) {
	var s Slab[record]
	handed := make(chan Slot, 16)
	var reader sync.WaitGroup
	reader.Go(func() {
		for slot := range handed {
			if got := s.At(slot).a; got != uint64(slot) {
				t.Errorf("slot %d holds %d", slot, got)
			}
		}
	})
	for range 20 * chunkLen {
		slot := s.Alloc()
		s.At(slot).a = uint64(slot)
		handed <- slot
		s.Free(s.Alloc())
	}
	close(handed)
	reader.Wait()
}

func BenchmarkAt(b *testing.B) {
	var s Slab[record]
	const n = 1 << 16
	for range n {
		s.Alloc()
	}
	var i, sum uint64
	for b.Loop() {
		i++
		sum += s.At(Slot(1 + i*7919%(n-1))).a
	}
	_ = sum
}
