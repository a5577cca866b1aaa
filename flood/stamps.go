package flood

import (
	"time"

	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// stamps finds the stamps in the bodies of one loop's connections, however they were cut. Only while a body ends in what
// may be the beginning of a stamp does its connection hold a slot here.
type stamps struct {
	tails slab.Slab[tail]
	join  [2 * wire.MaxStamp]byte // scratch: a tail and what follows it
}

// tail is the end of what came of a body: the beginning of a stamp, perhaps.
type tail struct {
	n uint8
	b [wire.MaxStamp]byte
}

var _ [255 - wire.MaxStamp]struct{} // tail.n counts to MaxStamp

// next returns the first stamp that ends in b, the next bytes of a body whose tail is kept in *held, and how many bytes
// of b it consumed. Without a stamp it consumes all of b. The stamp's id is good until the next call. Of a corrupt one only its first byte is
// consumed, which may lie in the tail.
func (s *stamps) next(held *slab.Slot, b []byte) (st wire.Stamp, n int, ok bool) {
	if *held != 0 {
		t := s.tails.At(*held)
		kept := int(t.n)
		j := append(s.join[:0], t.b[:kept]...)
		j = append(j, b[:min(len(b), wire.MaxStamp)]...)
		st, n, ok = wire.NextStamp(j)
		if !ok && n < kept && len(j)-n < wire.MaxStamp { // not yet
			t.n = uint8(copy(t.b[:], j[n:]))
			return st, len(b), false
		}
		if n < kept { // a corrupt one, and what follows its first byte
			t.n = uint8(copy(t.b[:], j[n:kept]))
			return st, 0, true
		}
		s.tails.Free(*held)
		*held = 0
		if n -= kept; ok {
			return st, n, true
		}
	}
	st, m, ok := wire.NextStamp(b[n:])
	n += m
	if ok {
		return st, n, true
	}
	if rest := b[n:]; len(rest) > 0 {
		*held = s.tails.Alloc()
		t := s.tails.At(*held)
		t.n = uint8(copy(t.b[:], rest))
	}
	return st, len(b), false
}

// message counts what a stamp on the connection of r says that came at the time now.
func (a *lane) message(r *record, s wire.Stamp, now int64) {
	if s.Corrupt {
		a.tally.corrupt++
		return
	}
	missing := a.tracker.missing
	mine, fresh := a.tracker.note(&r.first, r.since, s)
	if !mine {
		return
	}
	if r.past != 0 {
		a.judge(r, s, fresh, a.tracker.missing-missing)
	}
	took := time.Duration(now - s.Due)
	a.tally.latency.Record(took)
	if s.Lag != wire.NoLag {
		a.tally.lag.Record(s.Lag)
		a.tally.service.Record(took - s.Lag)
	}
	if fresh && a.tally.due != nil {
		a.tally.due.Add(s.Due)
	}
}

// forget gives back the tail of a connection that has ended.
func (s *stamps) forget(held *slab.Slot) {
	if *held != 0 {
		s.tails.Free(*held)
		*held = 0
	}
}
