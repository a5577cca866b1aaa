package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is a Store beside what it should be: all messages that each id ever had, and what of them the bounds leave.
type world struct {
	t    *testing.T
	s    *Store
	now  time.Duration
	next uint64 // where the numbers of the next record begin
	tied bool   // it hears of what is forgotten
	told []string
	ids  map[string]*truth
	held map[string]bool
}

// truth is a record as slices have it.
type truth struct {
	last uint64
	all  []message // with their numbers, of this record
	kept []message
	seen time.Duration
	torn bool // since when nobody was told it
	owed bool // to who was there
}

type message struct {
	n    uint64
	text string
	gap  bool
	at   time.Duration
}

func (m message) String() string {
	if m.gap {
		return fmt.Sprintf("gap to %d", m.n)
	}
	return fmt.Sprintf("%d %q", m.n, m.text)
}

func newWorld(t *testing.T, cfg Config, tied bool) *world {
	w := &world{t: t, tied: tied, next: 1e11, ids: map[string]*truth{}, held: map[string]bool{}}
	w.s = New(cfg, func() time.Duration { return w.now })
	w.s.start = func() uint64 { w.next += 1e6; return w.next }
	if tied {
		w.s.OnForget(func(id string) { w.told = append(w.told, id) })
	}
	return w
}

// publish sends a message, as router.Local does.
func (w *world) publish(id, text string) {
	w.t.Helper()
	r := w.ids[id]
	active := w.s.Active()
	staged, tag, ticket := w.s.Enter([]byte(id), []byte(text), 7)
	defer w.s.Leave(ticket)
	if (ticket != 0) != active {
		w.t.Fatalf("active %v, ticket %d", active, ticket)
	}
	if r == nil && (w.s.cfg.Messages == 0 || tag == 7 && w.s.memory.units.Len()+1+textUnits(len(id)) > w.s.memory.limit) { // or no room for one
		if string(staged) != text || tag != 7 {
			w.t.Fatalf("without a record: %q, tag %x", staged, tag)
		}
		return
	}
	if r == nil {
		r = &truth{last: w.next, seen: w.now}
		w.ids[id] = r
	}
	r.last++
	want := uint64(7 | TagNumbered)
	if r.owed {
		want |= TagTorn
	}
	if tag != want {
		w.t.Fatalf("tag %x", tag)
	}
	if n, gotID, got := Cut(staged); n != r.last || string(gotID) != id || string(got) != text {
		w.t.Fatalf("message %q of %q number %d came out as %q of %q number %d", text, id, r.last, got, gotID, n)
	}
	r.torn, r.owed = false, false
	w.add(r, message{n: r.last, text: text, at: w.now})
}

// add makes m the newest of a record.
func (w *world) add(r *truth, m message) {
	r.all = append(r.all, m)
	if w.s.cfg.Messages == 0 || m.gap && len(r.kept) == 0 {
		return
	}
	r.kept = append(r.kept, m)
	for len(r.kept) > w.s.cfg.Messages || size(r.kept) > w.s.cfg.Bytes {
		r.kept = r.kept[1:]
	}
}

// missed has the store miss messages.
func (w *world) missed() {
	w.s.Missed()
	for _, r := range w.ids {
		if !r.torn {
			r.last++
			r.torn, r.owed = true, true
			w.add(r, message{n: r.last, gap: true, at: w.now})
		}
	}
}

func size(all []message) (n int) {
	for _, m := range all {
		n += headLen + len(m.text)
	}
	return n
}

// resume does what a front does, and compares what is told with the truth. exact says that nothing is lost for want of memory.
func (w *world) resume(id string, since uint64, known, exact bool) {
	w.t.Helper()
	var got []message
	at, whole, busy, err := w.s.TryResume([]byte(id), since, known, func() error { return nil }, func(n uint64, msg []byte) {
		got = append(got, message{n: n, text: string(msg), gap: msg == nil})
	})
	if busy || err != nil {
		w.t.Fatalf("busy %v, error %v", busy, err)
	}
	r := w.ids[id]
	if r == nil {
		r = &truth{last: w.next}
		w.ids[id] = r
	}
	r.seen, r.torn, w.held[id] = w.now, false, true
	if at != r.last {
		w.t.Fatalf("%q stands at %d, want %d", id, at, r.last)
	}
	if !known {
		if len(got) > 0 || !whole {
			w.t.Fatalf("a fresh client is told %v, whole %v", got, whole)
		}
		return
	}
	if err := r.fits(since, at, whole, got); err != nil {
		w.t.Fatalf("%q since %d of up to %d: %v: whole %v, %v", id, since, r.last, err, whole, got)
	}
	if !exact {
		return
	}
	w.expire(r)
	var want []message
	mine := since+1 >= r.first() && since <= r.last
	if !mine && since != 0 {
		want = append(want, message{n: r.first() - 1, gap: true})
	}
	for _, m := range r.kept {
		if !mine || m.n > since {
			want = append(want, m)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Fatalf("%q since %d: told %v, want %v", id, since, got, want)
	}
}

// fits checks what holds whatever was lost: everything behind since was told or is in a gap that was told.
func (r *truth) fits(since, at uint64, whole bool, got []message) error {
	next, gaps := since+1, 0
	for i, m := range got {
		known := r.last - m.n
		switch {
		case m.gap && i == 0:
			gaps++
		case i == 0 && since == 0:
		case m.n != next:
			return fmt.Errorf("%d follows %d", m.n, next-1)
		case m.gap:
			gaps++
		}
		if known < uint64(len(r.all)) && !(m.gap && i == 0) {
			if is := r.all[uint64(len(r.all))-1-known]; is.text != m.text || is.gap != m.gap {
				return fmt.Errorf("it is %v", is)
			}
		}
		next = m.n + 1
	}
	switch {
	case next != at+1 && (since != 0 || len(got) > 0):
		return errors.New("the end is missing")
	case whole != (gaps == 0):
		return errors.New("gaps or not")
	case whole && since != 0 && r.last-since > uint64(len(r.all)):
		return errors.New("that is no number of this record")
	}
	return nil
}

func (r *truth) first() uint64 { return r.last - uint64(len(r.kept)) + 1 }

func (w *world) expire(r *truth) {
	for len(r.kept) > 0 && w.now-r.kept[0].at >= w.s.cfg.TTL {
		r.kept = r.kept[1:]
	}
}

func (w *world) sweep(exact bool) {
	w.t.Helper()
	w.told = nil
	w.s.Sweep(w.now, func(id []byte) bool { return w.held[string(id)] })
	var gone []string
	for id, r := range w.ids {
		w.expire(r)
		if w.held[id] {
			r.seen = w.now
			continue
		}
		if w.now-r.seen >= w.s.cfg.TTL && (len(r.kept) == 0 || w.tied) {
			gone = append(gone, id)
			delete(w.ids, id)
		}
	}
	if w.tied && exact {
		slices.Sort(gone)
		slices.Sort(w.told)
		if !slices.Equal(gone, w.told) {
			w.t.Fatalf("forgotten are %q, want %q", w.told, gone)
		}
	}
}

// check walks everything that the Store holds, and compares it with the truth where that is exact.
func (w *world) check(exact bool) {
	w.t.Helper()
	s := w.s
	m := &s.memory
	units, ids, messages, listed := 0, 0, 0, 0
	for i := range s.shards {
		sh := &s.shards[i]
		for b := range sh.index.Buckets() {
			for slot := *sh.index.Place(b); slot != 0; slot = m.record(slot).link {
				r := m.record(slot)
				if r.hash%shards != uint32(i) || sh.index.Bucket(r.hash>>shardBits) != b {
					w.t.Fatalf("record %d is in the wrong chain", slot)
				}
				ids++
				units++
				for at := r.text; at != 0; at = m.units.At(at).next {
					units++
				}
				if r.listed {
					listed++
				} else if r.count > 0 || !r.joined {
					w.t.Fatalf("record %q has %d messages, joined %v, and is not listed", s.appendID(nil, r), r.count, r.joined)
				}
				n := w.walk(r)
				units += n
				messages += int(r.count)
				id := string(s.appendID(nil, r))
				if tr := w.ids[id]; exact && (tr == nil || tr.last != r.last || len(tr.kept) != int(r.count) || size(tr.kept) != int(r.size)) {
					w.t.Fatalf("record of %q: last %d, %d messages; want %+v", id, r.last, r.count, tr)
				}
			}
		}
	}
	st := s.Stats()
	if units != m.units.Len() || int(st.IDs) != ids || int(st.Messages) != messages || st.Bytes != int64(units*unitSize) {
		w.t.Fatalf("found %d units, %d ids, %d messages; counted %d units, %+v", units, ids, messages, m.units.Len(), st)
	}
	if exact && ids != len(w.ids) {
		w.t.Fatalf("%d ids, want %d", ids, len(w.ids))
	}
	before := uint32(0)
	for slot := m.oldest; slot != 0; before, slot = slot, m.record(slot).newer {
		if m.record(slot).older != before {
			w.t.Fatal("the order is broken")
		}
		listed--
	}
	if listed != 0 || m.newest != before {
		w.t.Fatalf("%d records are listed and not in order", listed)
	}
}

// walk counts the units of a record's messages.
func (w *world) walk(r *record) (units int) {
	m := &w.s.memory
	if (r.head == 0) != (r.count == 0) || (r.tail == 0) != (r.count == 0) {
		w.t.Fatalf("%d messages from unit %d to %d", r.count, r.head, r.tail)
	}
	p := place{r.head, int(r.from)}
	for range r.count {
		length, _, _, _ := m.head(&p)
		m.skip(&p, length)
	}
	if p.slot != r.tail || r.count > 0 && p.at != int(r.to) {
		w.t.Fatalf("the messages end at %+v, want %d, %d", p, r.tail, r.to)
	}
	for slot := r.head; slot != 0; slot = m.units.At(slot).next {
		units++
	}
	return units
}

var modelIDs = []string{"1", "12", "a", "b.c", strings.Repeat("x", 10), strings.Repeat("x", 11), strings.Repeat("x", 70), strings.Repeat("x", 71), strings.Repeat("x", 128), "~"}

// step does something that rnd chooses.
func (w *world) step(rnd *rand.Rand, exact bool) {
	id := modelIDs[rnd.IntN(len(modelIDs))]
	switch op := rnd.IntN(20); {
	case op < 10:
		n := rnd.IntN(60)
		if rnd.IntN(4) == 0 {
			n = rnd.IntN(400)
		}
		w.publish(id, strings.Repeat(fmt.Sprint(op), n))
	case op < 14:
		since := uint64(0)
		if r := w.ids[id]; r != nil {
			since = r.last - min(r.last, uint64(rnd.IntN(14)-1)) // once in a while one from the future
		}
		if rnd.IntN(10) == 0 {
			since = []uint64{0, 1, 5e11, 1<<64 - 1}[rnd.IntN(4)]
		}
		w.resume(id, since, rnd.IntN(4) > 0, exact)
	case op < 16:
		w.held[id] = false
	case op < 17:
		w.missed()
	case op < 19:
		w.now += time.Duration(rnd.IntN(4)) * time.Second
	default:
		w.sweep(exact)
	}
}

func TestModel(t *testing.T) {
	seeds := 1000
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(1, uint64(seed)))
		w := newWorld(t, Config{Messages: rnd.IntN(12), Bytes: 256 + rnd.IntN(800), TTL: 10 * time.Second}, seed%2 == 1)
		for range 300 {
			w.step(rnd, true)
		}
		w.check(true)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// With too little memory nobody can say what is left. What is told must be true all the same.
func TestModelWithoutMemory(t *testing.T) {
	for seed := range 300 {
		rnd := rand.New(rand.NewPCG(2, uint64(seed)))
		w := newWorld(t, Config{Messages: 1 + rnd.IntN(12), Bytes: 256 + rnd.IntN(800), TTL: 10 * time.Second}, true)
		w.s.memory.limit = 4 + rnd.IntN(40)
		for range 300 {
			w.told = nil
			w.step(rnd, false)
			for _, id := range w.told {
				delete(w.ids, id)
			}
			if most := w.s.memory.limit + 3*len(modelIDs); w.s.memory.units.Len() > most {
				t.Fatalf("seed %d: %d units, at most %d", seed, w.s.memory.units.Len(), most)
			}
		}
		w.check(false)
	}
}
