package history

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"cometctl/internal/slab"
)

const (
	unitSize = 64
	roomLen  = unitSize - 4
)

// unit is all that memory is handed out in: a record, or a piece of a record's messages (or of an id that is long).
type unit struct {
	_    [0]uint64 // a record is a unit and holds one
	room [roomLen]byte
	next uint32 // the piece behind this one
}

// memory is the units of all shards, and the order in which records lose theirs. mu guards taking and giving back, and the order; what is in
// a unit that is in use belongs to the lock of its record's shard.
type memory struct {
	mu     sync.Mutex
	units  slab.Slab[unit]
	limit  int    // units that may be in use
	oldest uint32 // record whose last message is oldest
	newest uint32

	ids, messages, index atomic.Int64 // records, messages kept, bytes of indexes
}

// What Config.Total pays for: the indexes' first buckets, and with each unit its place in the slab's stack of free ones and (it may be a
// record) two bytes of index and the rest of its last chunk.
const (
	fixedCost = shards * 512
	unitCost  = unitSize + 4 + 4
	chunkLen  = 512 // of a slab
)

// unitsOf is how many units may be taken for total bytes. The slab takes whole chunks.
func unitsOf(total int64) int {
	return int(max(0, total-fixedCost)) / (chunkLen * unitCost) * chunkLen
}

// record is the unit at slot as a record.
func (m *memory) record(slot uint32) *record { return (*record)(unsafe.Pointer(m.units.At(slot))) }

// Both are 64 bytes without pointers.
var (
	_ [unitSize - unsafe.Sizeof(unit{})]struct{}
	_ [unsafe.Sizeof(unit{}) - unitSize]struct{}
	_ [unitSize - unsafe.Sizeof(record{})]struct{}
	_ [unsafe.Sizeof(record{}) - unitSize]struct{}
)

// take returns a chain of n units, zeroed, or 0 if that would be too many and not beyond the limit is asked for.
func (m *memory) take(n int, beyond bool) (first uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.units.Len()+n > m.limit && !beyond {
		return 0
	}
	last := uint32(0)
	for range n {
		slot := m.units.Alloc()
		if first == 0 {
			first = slot
		} else {
			m.units.At(last).next = slot
		}
		last = slot
	}
	return first
}

// giveBack frees n units of a chain, and returns what is behind them.
func (m *memory) giveBack(first uint32, n int) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		slot := first
		first = m.units.At(slot).next
		m.units.Free(slot)
	}
	return first
}

// drop frees one unit that is no part of a chain.
func (m *memory) drop(slot uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.units.Free(slot)
}

// list makes the record at slot the last to lose its messages, or the first; it must not be listed.
func (m *memory) list(slot uint32, last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.record(slot)
	r.listed = true
	if last {
		r.older, r.newer = m.newest, 0
	} else {
		r.older, r.newer = 0, m.oldest
	}
	m.join(r, slot)
}

// unlist takes a record out of the order, if it is in it.
func (m *memory) unlist(slot uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(slot)
}

func (m *memory) remove(slot uint32) {
	r := m.record(slot)
	if !r.listed {
		return
	}
	if r.older != 0 {
		m.record(r.older).newer = r.newer
	} else {
		m.oldest = r.newer
	}
	if r.newer != 0 {
		m.record(r.newer).older = r.older
	} else {
		m.newest = r.older
	}
	r.older, r.newer, r.listed = 0, 0, false
}

// join makes the neighbours of a record know it.
func (m *memory) join(r *record, slot uint32) {
	if r.older != 0 {
		m.record(r.older).newer = slot
	} else {
		m.oldest = slot
	}
	if r.newer != 0 {
		m.record(r.newer).older = slot
	} else {
		m.newest = slot
	}
}

func (m *memory) stats(st *Stats) {
	st.IDs, st.Messages = m.ids.Load(), m.messages.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	st.Bytes = int64(m.units.Len()) * unitSize
	if end := int64(m.units.End()); end > 0 {
		chunks := (end + chunkLen - 1) / chunkLen
		free := end - 1 - int64(m.units.Len())
		st.Reserved = chunks*chunkLen*unitSize + (free+chunkLen-1)/chunkLen*chunkLen*4
	}
	st.Reserved += m.index.Load()
}

// victims is how many records are looked at for one that can be had now: a shard is locked for as long as its publisher waits for a loop.
const victims = 64

// evict takes from whoever's turn it is. The caller holds the shard own. It returns false if there is nobody, or if all those whose turn
// it is are in use just now.
func (s *Store) evict(own *shard) bool {
	slot, sh := s.choose(own)
	if slot == 0 {
		return false
	}
	if sh != own {
		defer sh.unlock()
	}
	r := s.memory.record(slot)
	s.counts.evicted.Add(int64(r.count))
	if r.joined {
		s.empty(r)
	} else {
		s.forget(sh, slot)
	}
	return true
}

// choose takes a record out of the order, and locks its shard if that is not own.
func (s *Store) choose(own *shard) (slot uint32, sh *shard) {
	m := &s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	slot = m.oldest
	for range victims {
		if slot == 0 {
			return 0, nil
		}
		r := m.record(slot)
		sh = &s.shards[r.hash%shards]
		if sh == own || sh.mu.TryLock() {
			m.remove(slot)
			return slot, sh
		}
		slot = r.newer
	}
	return 0, nil
}
