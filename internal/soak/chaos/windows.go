package chaos

import (
	"iter"
	"maps"
	"slices"
	"time"

	"cometctl/report"
)

// windows lays what was sent beside what was received, by due time. Steps of one cause become one window, unless they are further apart than
// mergeGap. A step with more received than sent is a window with a negative count. Where messages are known by number only, everything that is
// missing is one window.
func windows(f facts, missing int64) []report.Window {
	out := []report.Window{}
	if f.received == nil {
		return out
	}
	if f.untimed {
		if missing != 0 {
			out = append(out, report.Window{From: f.slot.from, To: f.slot.to, Missing: missing, Cause: report.Unexplained})
		}
		return out
	}
	step := f.received.Step()
	for from, n := range balance(f) {
		w := report.Window{From: from, To: from + int64(step), Missing: n, Cause: report.Unexplained}
		if f.cover.overlaps(from, step) {
			w.Cause = f.cause
		}
		if k := len(out) - 1; k >= 0 && out[k].Cause == w.Cause && (out[k].Missing < 0) == (n < 0) && from-out[k].To <= int64(mergeGap) {
			out[k].To, out[k].Missing = w.To, out[k].Missing+n
			continue
		}
		out = append(out, w)
	}
	return out
}

// mergeGap is how long a time without a loss may be between two that are told as one. A fault at random ids does not hit in every step.
const mergeGap = 500 * time.Millisecond

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
