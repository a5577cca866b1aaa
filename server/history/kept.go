package history

import (
	"encoding/binary"
	"math"
)

// headLen is what stands before each message that is kept: 4 bytes of length, 4 of time. The length missing is that of a number which stands for
// messages that were missed, and of which nothing is kept.
const (
	headLen = 8
	missing = 1<<32 - 1
)

// place is a position in a chain of units.
type place struct {
	slot uint32
	at   int
}

// keep makes msg the newest that is kept of a record, whose number it has already, and lets go of the oldest as the bounds say. A
// message that there is no room for leaves nothing: what was kept before it is no use without it.
func (s *Store) keep(sh *shard, slot uint32, length uint32, msg []byte) {
	m := &s.memory
	now := s.millis()
	r := m.record(slot)
	m.unlist(slot)
	defer m.list(slot, true)
	need := headLen + len(msg)
	if need > s.cfg.Bytes {
		s.empty(r)
		return
	}
	s.dropOldest(r, bounds{s.cfg.Messages - 1, s.cfg.Bytes - need, now, math.MaxUint32})
	if !s.reach(sh, slot, need) {
		s.counts.evicted.Add(int64(r.count) + 1)
		s.empty(r)
		return
	}
	var head [headLen]byte
	binary.LittleEndian.PutUint32(head[:], length)
	binary.LittleEndian.PutUint32(head[4:], now)
	p := place{r.tail, int(r.to)}
	m.write(&p, head[:])
	m.write(&p, msg)
	r.tail, r.to = p.slot, uint8(p.at)
	r.count++
	r.size += uint32(need)
	m.messages.Add(1)
}

// reach makes room for need bytes behind the newest message.
func (s *Store) reach(sh *shard, slot uint32, need int) bool {
	m := &s.memory
	r := m.record(slot)
	free := 0
	if r.tail != 0 {
		free = roomLen - int(r.to)
	}
	if need <= free {
		return true
	}
	first := s.room(sh, (need-free+roomLen-1)/roomLen, false)
	if first == 0 {
		return false
	}
	if r.tail == 0 {
		r.head, r.tail, r.from, r.to = first, first, 0, 0
	} else {
		m.units.At(r.tail).next = first
	}
	return true
}

// bounds are what a record's messages must keep within: so many, of so many bytes, and none as old as ttl at the time now.
type bounds struct {
	count, size int
	now, ttl    uint32 // ms
}

// dropOldest drops messages until the rest is within bounds, and returns how many.
func (s *Store) dropOldest(r *record, b bounds) int {
	m := &s.memory
	count, size := int(r.count), int(r.size)
	p := place{r.head, int(r.from)}
	passed := 0
	for count > 0 {
		q := p
		length, sent, _, over := m.head(&q)
		if count <= b.count && size <= b.size && b.now-sent < b.ttl {
			break
		}
		passed += over + m.skip(&q, length)
		p = q
		count--
		size -= headLen + length
	}
	dropped := int(r.count) - count
	if count == 0 {
		s.empty(r)
		return dropped
	}
	if dropped > 0 {
		r.head, r.from = m.giveBack(r.head, passed), uint8(p.at)
		r.count, r.size = uint32(count), uint32(size)
		m.messages.Add(int64(-dropped))
	}
	return dropped
}

// empty drops all messages of a record.
func (s *Store) empty(r *record) {
	if r.head == 0 {
		return
	}
	m := &s.memory
	n := 1
	for slot := r.head; slot != r.tail; slot = m.units.At(slot).next {
		n++
	}
	m.giveBack(r.head, n)
	m.messages.Add(-int64(r.count))
	r.head, r.tail, r.from, r.to, r.count, r.size = 0, 0, 0, 0, 0, 0
}

// expire drops what is older than Config.TTL.
func (s *Store) expire(r *record, now uint32) {
	n := s.dropOldest(r, bounds{MaxMessages, math.MaxInt, now, uint32(s.cfg.TTL.Milliseconds())})
	s.counts.expired.Add(int64(n))
}

// write copies b to p and on, through units that are there.
func (m *memory) write(p *place, b []byte) {
	for len(b) > 0 {
		m.settle(p)
		n := copy(m.units.At(p.slot).room[p.at:], b)
		b = b[n:]
		p.at += n
	}
}

// read copies from p and on, and returns how many units it has left behind.
func (m *memory) read(p *place, b []byte) (passed int) {
	for len(b) > 0 {
		passed += m.settle(p)
		n := copy(b, m.units.At(p.slot).room[p.at:])
		b = b[n:]
		p.at += n
	}
	return passed
}

// skip goes n bytes on.
func (m *memory) skip(p *place, n int) (passed int) {
	for n > 0 {
		passed += m.settle(p)
		step := min(n, roomLen-p.at)
		n -= step
		p.at += step
	}
	return passed
}

// settle leaves a unit that is at its end.
func (m *memory) settle(p *place) (passed int) {
	if p.at < roomLen {
		return 0
	}
	p.slot, p.at = m.units.At(p.slot).next, 0
	return 1
}

// head reads what stands before a message.
func (m *memory) head(p *place) (length int, sent uint32, gap bool, passed int) {
	var head [headLen]byte
	passed = m.read(p, head[:])
	n := binary.LittleEndian.Uint32(head[:])
	if gap = n == missing; gap {
		n = 0
	}
	return int(n), binary.LittleEndian.Uint32(head[4:]), gap, passed
}
