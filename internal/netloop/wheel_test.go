package netloop

import (
	"math/rand/v2"
	"testing"
	"time"

	"cometctl/internal/slab"
)

// TestWheelModel does the same random things to a wheel and to a map of deadlines. A deadline is met in the first pop at or
// after its tick, never before, however many rounds of the wheel lie between.
func TestWheelModel(t *testing.T) {
	for seed := range uint64(20) {
		var (
			rnd   = rand.New(rand.NewPCG(seed, 0))
			w     wheel
			recs  slab.Slab[record]
			model = map[slab.Slot]time.Duration{} // deadline by slot
			slots []slab.Slot
			now   = time.Duration(rnd.Int64N(int64(time.Hour)))
		)
		for range 100 {
			slots = append(slots, recs.Alloc())
		}
		w.pop(&recs, now)
		met := func(at time.Duration) time.Duration { return time.Duration(ticks(at)) * tick }
		for step := range 2000 {
			slot := slots[rnd.IntN(len(slots))]
			switch rnd.IntN(4) {
			case 0, 1:
				w.remove(&recs, slot)
				at := now + 1 + time.Duration(rnd.Int64N(int64([]time.Duration{tick, time.Second, time.Minute, 5 * time.Minute}[rnd.IntN(4)])))
				w.insert(&recs, slot, at)
				model[slot] = at
			case 2:
				w.remove(&recs, slot)
				delete(model, slot)
			case 3:
				now += time.Duration(rnd.Int64N(int64([]time.Duration{tick / 2, time.Second, 100 * time.Second}[rnd.IntN(3)])))
				for {
					slot := w.pop(&recs, now)
					if slot == 0 {
						break
					}
					if at, ok := model[slot]; !ok || at > now {
						t.Fatalf("seed %d step %d: slot %d was popped at %v, its deadline is %v (%t)", seed, step, slot, now, at, ok)
					}
					delete(model, slot)
				}
				for slot, at := range model {
					if met(at) <= now {
						t.Fatalf("seed %d step %d: slot %d with deadline %v is still there at %v", seed, step, slot, at, now)
					}
				}
			}
			next, ok := w.next()
			if ok != (len(model) > 0) || w.n != len(model) {
				t.Fatalf("seed %d step %d: next says %t and n is %d with %d deadlines", seed, step, ok, w.n, len(model))
			}
			for slot, at := range model {
				if next > met(at) {
					t.Fatalf("seed %d step %d: next is %v, slot %d is due at %v", seed, step, next, slot, met(at))
				}
			}
		}
		// Who sleeps until next each time meets all of them, and is woken once a round for nothing at most.
		for wakeups := 0; len(model) > 0; wakeups++ {
			now, _ = w.next()
			for slot := w.pop(&recs, now); slot != 0; slot = w.pop(&recs, now) {
				if at := met(model[slot]); at != now {
					t.Fatalf("seed %d: slot %d, due at %v, was popped at %v", seed, slot, at, now)
				}
				delete(model, slot)
			}
			if wakeups > 100*6 {
				t.Fatalf("seed %d: %d wake-ups for 100 deadlines within 5 minutes", seed, wakeups)
			}
		}
		if _, ok := w.next(); ok || w.some != [len(w.some)]uint64{} || w.bucket != [wheelLen]slab.Slot{} {
			t.Fatalf("seed %d: the empty wheel is not empty", seed)
		}
	}
}

// A deadline set while the wheel is behind, or for a time that has passed, is met in the next tick.
func TestWheelPast(t *testing.T) {
	var w wheel
	var recs slab.Slab[record]
	slot := recs.Alloc()
	w.pop(&recs, time.Minute)
	w.insert(&recs, slot, time.Second)
	if got := w.pop(&recs, time.Minute+tick); got != slot {
		t.Errorf("popped %d, want %d", got, slot)
	}
	if w.remove(&recs, slot); w.n != 0 {
		t.Errorf("removing what is not there leaves n = %d", w.n)
	}
}

func BenchmarkDeadline(b *testing.B) {
	const n = 100_000
	var w wheel
	var recs slab.Slab[record]
	for range n {
		w.insert(&recs, recs.Alloc(), 10*time.Second)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		slot := slab.Slot(1 + i%n)
		w.remove(&recs, slot)
		w.insert(&recs, slot, 10*time.Second+time.Duration(i))
	}
}
