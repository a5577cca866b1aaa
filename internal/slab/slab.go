// Package slab keeps very many small records of one type, addressed by a 32-bit slot.
//
// A Go map or a slice of pointers costs a connection tens of bytes before it holds anything, and a slice that doubles
// leaves its old half behind as garbage that stays in RSS. A slab grows by fixed chunks that never move, reuses the
// slots that were freed last, and keeps its free list inside the free records' own slots. With a record type that holds
// no pointers the garbage collector never looks inside: a million records cost it nothing.
//
// A Slab has no lock: its owner (a loop, a router shard) is the only one to touch it. The zero value is empty and ready.
package slab

const (
	chunkBits = 9
	chunkLen  = 1 << chunkBits
	chunkMask = chunkLen - 1
)

// Slot addresses a record in its slab. Slot 0 is never given out, so that a zero Slot means "none".
type Slot = uint32

// Slab is a growing set of records of type T; see the package comment. The zero value is ready to use.
type Slab[T any] struct {
	chunks []*[chunkLen]T
	free   []Slot // stack of freed slots; the last freed is the first reused, its cache line is warm
	next   Slot   // slots from next on were never used
	live   int    // records in use
}

// Alloc returns the slot of a zeroed record.
func (s *Slab[T]) Alloc() Slot {
	s.live++
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot
	}
	if s.next == 0 {
		s.next = 1
	}
	slot := s.next
	s.next++
	s.grow(slot)
	return slot
}

// Free zeroes the record and gives its slot back. The slot must be in use.
func (s *Slab[T]) Free(slot Slot) {
	var zero T
	*s.At(slot) = zero
	s.free = append(s.free, slot)
	s.live--
}

// At returns the record of slot, which Alloc or Reach has returned before. The pointer stays good while the slab lives.
func (s *Slab[T]) At(slot Slot) *T { return &s.chunks[slot>>chunkBits][slot&chunkMask] }

// Reach is At for a slab that mirrors another one's slots: it grows as far as slot and never allocates slots itself.
func (s *Slab[T]) Reach(slot Slot) *T {
	s.grow(slot)
	return s.At(slot)
}

// Len is the number of records in use.
func (s *Slab[T]) Len() int { return s.live }

// End is one more than the highest slot ever given out: the bound for a walk over all slots.
func (s *Slab[T]) End() Slot { return s.next }

func (s *Slab[T]) grow(slot Slot) {
	for int(slot>>chunkBits) >= len(s.chunks) {
		s.chunks = append(s.chunks, new([chunkLen]T))
	}
}
