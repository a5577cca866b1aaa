package chaos

import (
	"iter"
	"maps"
	"slices"
)

// balance walks over the steps of a slot in which sent and received differ, in order of time: when the step begins, and by how much more was sent.
func balance(f facts) iter.Seq2[int64, int64] {
	diff := map[int64]int64{}
	step := f.received.Step()
	for _, g := range f.generators {
		if g.byDue == nil {
			continue
		}
		for from, n := range g.byDue.All() {
			diff[from] += n
		}
	}
	for from, n := range f.received.All() {
		if f.slot.holds(from, step) {
			diff[from] -= n
		}
	}
	return func(yield func(int64, int64) bool) {
		for _, from := range slices.Sorted(maps.Keys(diff)) {
			if n := diff[from]; n != 0 && !yield(from, n) {
				return
			}
		}
	}
}
