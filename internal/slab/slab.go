// Package slab keeps very many small records of one type, addressed by a 32-bit slot.
//
// A Go map or a slice of pointers costs a connection tens of bytes before it holds anything, and a slice that doubles
// leaves its old half behind as garbage that stays in RSS. A slab grows by fixed chunks that never move, and gives the
// slots that were freed last out first. Its free list is a stack of slots that grows by chunks too: 4 bytes per record
// that is free, nothing per record in use. With a record type that holds no pointers the garbage collector never looks
// inside: a million records cost it nothing. Memory is kept for the next records; it is never given back.
//
// A Slab has no lock: its owner (a loop, a router) lets one goroutine at a time call its methods. At is the exception: it
// may run beside all others for a slot that is in use and was handed over properly (through a lock or a channel), because
// neither chunks nor what is known about them ever change once they are there. The zero value is empty and ready.
package slab

import "sync/atomic"

const (
	chunkBits = 9
	chunkLen  = 1 << chunkBits
	chunkMask = chunkLen - 1
)

// Slot addresses a record in its slab. Slot 0 is never given out, so that a zero Slot means "none".
type Slot = uint32

// Slab is a growing set of records of type T; see the package comment. The zero value is ready to use.
type Slab[T any] struct {
	chunks atomic.Pointer[[]*[chunkLen]T] // replaced by a longer slice, never changed in its length
	free   []*[chunkLen]Slot              // stack of freed slots; the last freed is the first reused, its cache line is warm
	freed  int                            // height of that stack
	next   Slot                           // slots from next on were never used; 0 before the first
	live   int                            // records in use
}

// Alloc returns the slot of a zeroed record. It panics when all 2^32 - 1 slots are in use.
func (s *Slab[T]) Alloc() Slot {
	if s.freed > 0 {
		s.freed--
		s.live++
		return s.free[s.freed>>chunkBits][s.freed&chunkMask]
	}
	if s.next == 0 {
		if s.live > 0 {
			panic("slab: all 2^32 slots are in use")
		}
		s.next = 1
	}
	slot := s.next
	s.next++
	s.live++
	s.grow(slot)
	return slot
}

// Free zeroes the record and gives its slot back. The slot must be in use.
func (s *Slab[T]) Free(slot Slot) {
	var zero T
	*s.At(slot) = zero
	if s.freed>>chunkBits == len(s.free) {
		s.free = append(s.free, new([chunkLen]Slot))
	}
	s.free[s.freed>>chunkBits][s.freed&chunkMask] = slot
	s.freed++
	s.live--
}

// At returns the record of slot, which Alloc or Reach has returned before. The pointer stays good while the slab lives.
func (s *Slab[T]) At(slot Slot) *T { return &(*s.chunks.Load())[slot>>chunkBits][slot&chunkMask] }

// Reach is At for a slab that mirrors another one's slots: it grows as far as slot and never allocates slots itself.
func (s *Slab[T]) Reach(slot Slot) *T {
	s.grow(slot)
	return s.At(slot)
}

// Len is the number of records in use.
func (s *Slab[T]) Len() int { return s.live }

// End is one more than the highest slot ever given out: the bound for a walk over all slots.
func (s *Slab[T]) End() Slot { return s.next }

// grow makes the chunk of slot and those before it. A reader that still holds the shorter slice shares its array with the
// longer one and does not see the places behind its end, the only ones that are written.
func (s *Slab[T]) grow(slot Slot) {
	p := s.chunks.Load()
	if p == nil {
		p = new([]*[chunkLen]T)
	} else if int(slot>>chunkBits) < len(*p) {
		return
	}
	chunks := append(*p, new([chunkLen]T)) // escapes: not before it is known to be needed
	for int(slot>>chunkBits) >= len(chunks) {
		chunks = append(chunks, new([chunkLen]T))
	}
	s.chunks.Store(&chunks)
}
