package flood

import (
	"math"

	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// tracker counts what the windows of one loop's connections find, run by run. A connection keeps its first window in its own record;
// the windows of further runs, ids and workers hang behind it in the tracker's slab. Which run a window follows is a number in it: the
// tracker knows the tags. It belongs to its lane.
type tracker struct {
	more     slab.Slab[window]
	sources  []source               // who sends; the first is nobody
	numbers  map[wire.RunTag]uint16 // of the sources
	runs     []runCount             // in the order in which they were first heard of
	wanted   Runs
	runSums       // of the runs that are wanted
	draining bool // what comes now is late
}

// source is a worker of a run.
type source struct {
	tag wire.RunTag
	run int32 // index in runs
}

// maxSources is how many workers of runs are told apart. The messages of more are counted, and nothing is said of their order: only
// somebody who makes tags up has so many.
const maxSources = math.MaxUint16

// note takes the stamp s, received on the connection whose first window is w and whose target has been open since the given
// time (ns since the epoch). It reports whether the message is of a run that is wanted, and whether it is a new one.
func (t *tracker) note(w *window, since int64, s wire.Stamp) (mine, fresh bool) {
	number, known := w.run, w.run != 0 && t.sources[w.run].tag == s.Run
	if !known {
		number, known = t.number(s.Run)
	}
	index := t.sources[number].run
	if !known {
		index = t.run(s.Run)
	}
	var change runSums
	if n := uint32(s.Seq); known && uint64(n) == s.Seq && n != 0 {
		at := t.find(w, since, n, number, s)
		older := int64(0)
		if at.old(n) {
			older = t.older(at)
		}
		how, missing, past := at.note(n, older)
		if past != 0 {
			t.addOlder(at, past)
		}
		change.missing = missing
		switch how {
		case repeated:
			change.duplicated = 1
		case late:
			change.reordered = 1
		}
	} // otherwise no sequence that msggen would write; it is a message all the same
	if fresh = change.duplicated == 0; fresh {
		change.messages = 1
		if t.draining {
			change.late = 1
		}
	}
	run := &t.runs[index]
	run.add(change)
	if run.mine {
		t.runSums.add(change)
	}
	return run.mine, fresh
}

// number returns the number of the source with this tag, a new one where it was not heard of before; known is false where there are too many.
func (t *tracker) number(tag wire.RunTag) (number uint16, known bool) {
	if number, known = t.numbers[tag]; known {
		return number, true
	}
	if t.numbers == nil {
		t.numbers = map[wire.RunTag]uint16{}
		t.sources = append(t.sources, source{})
	}
	if len(t.sources) > maxSources {
		return 0, false
	}
	number = uint16(len(t.sources))
	t.sources = append(t.sources, source{tag, t.run(tag)})
	t.numbers[tag] = number
	return number, true
}

// find returns the window of the sequence of s, a new one where n is its first number.
func (t *tracker) find(first *window, since int64, n uint32, run uint16, s wire.Stamp) *window {
	id := hash(s.ID)
	if first.run == run && first.id == id {
		return first
	}
	w := first
	if first.run != 0 {
		last := first
		for slot := first.next; slot != 0; slot = w.next {
			if w = t.more.At(slot); w.run == run && w.id == id {
				return w
			}
			if w.run == 0 && last == first {
				last = w // what is missing of the first one stays behind it
			}
		}
		slot := t.more.Alloc()
		w = t.more.At(slot)
		w.next, last.next = last.next, slot
	}
	w.run, w.id = run, id
	// A run tag holds whole milliseconds: the run began in the one that follows.
	w.begin(n, since <= s.Run.Start().UnixNano())
	return w
}

// older is how many numbers are missing of w that are older than what it covers. They stand in a slot of their own behind w, of no run, whose
// seen counts them; nearly always there is none.
func (t *tracker) older(w *window) int64 {
	if w.next != 0 {
		if past := t.more.At(w.next); past.run == 0 {
			return int64(past.seen)
		}
	}
	return 0
}

// addOlder changes what older returns.
func (t *tracker) addOlder(w *window, change int64) {
	older := t.older(w)
	if older == 0 {
		slot := t.more.Alloc()
		t.more.At(slot).next, w.next = w.next, slot
	}
	past := t.more.At(w.next)
	past.seen = uint64(older + change)
	if past.seen == 0 {
		slot := w.next
		w.next = past.next
		t.more.Free(slot)
	}
}

// forget gives back the windows of a connection that has ended. What they counted stays counted.
func (t *tracker) forget(first *window) {
	for slot := first.next; slot != 0; {
		next := t.more.At(slot).next
		t.more.Free(slot)
		slot = next
	}
	*first = window{}
}

// hash is FNV-1a, 32 bits. Two ids on one connection that share their hash, one in four thousand million pairs, would be
// followed as one.
func hash(id []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range id {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}
