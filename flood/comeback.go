package flood

import (
	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// comeback is a connection that is open again: what tells whether a message on it was missed, or recovered, by the cut before it.
type comeback struct {
	at    int64     // ns since the epoch: its head
	cut   uint32    // which lost the one before it; 0: there was none
	seq   uint32    // key of the first sequence that it has received of; 0: of none
	more  slab.Slot // further ones, of seqs
	waits uint8     // polls, until the first answer has come: how often its target had waited
}

// seq is a sequence, and the next in its list.
type seq struct {
	key  uint32
	next slab.Slot
}

// comebacks are those of a lane. They cost nothing before something was lost.
type comebacks struct {
	slab slab.Slab[comeback]
	seqs slab.Slab[seq]
}

// begin makes a connection whose target has waited at p an open one again.
func (b *comebacks) begin(p *parked, now int64) slab.Slot {
	slot := b.slab.Alloc()
	*b.slab.At(slot) = comeback{at: now, cut: p.cut, waits: p.waits}
	return slot
}

// forget gives it back when it has ended.
func (b *comebacks) forget(slot slab.Slot) {
	for s := b.slab.At(slot).more; s != 0; {
		next := b.seqs.At(s).next
		b.seqs.Free(s)
		s = next
	}
	b.slab.Free(slot)
}

// first reports whether s is the first message of its sequence since the connection is open again.
func (b *comebacks) first(c *comeback, s wire.Stamp) bool {
	key := max(hash(s.ID)^uint32(s.Run)^uint32(s.Run>>32), 1)
	if c.seq == 0 {
		c.seq = key
		return true
	}
	if c.seq == key {
		return false
	}
	for slot := c.more; slot != 0; slot = b.seqs.At(slot).next {
		if b.seqs.At(slot).key == key {
			return false
		}
	}
	slot := b.seqs.Alloc()
	*b.seqs.At(slot) = seq{key, c.more}
	c.more = slot
	return true
}

// judge tells the cut before the connection of r what the stamp s on it means. It was fresh, or a repeated one, and has changed the number of missing
// messages by gaps. What was written while nobody was there is recovered, or duplicated where it had come; what a sequence is missing at its first message
// is missed, unless its run began later. What is filled in afterwards was not. A generator that could not write either, and did when the server was
// there again, has only been late: a stamp that says how late is taken at its word.
func (a *lane) judge(r *record, s wire.Stamp, fresh bool, gaps int64) {
	c := a.backs.slab.At(r.past)
	cut := a.tally.cuts.find(c.cut)
	if cut == nil {
		return
	}
	written := s.Due
	if s.Lag != wire.NoLag {
		written += int64(s.Lag)
	}
	before, first := written < c.at, a.backs.first(c, s)
	switch {
	case before && fresh:
		cut.recovered++
	case before:
		cut.duplicated++
	}
	if before || first && gaps > 0 && s.Run.Start().UnixNano() < c.at {
		cut.missed += gaps
	}
}
