package history

import "bytes"

// idLen is how much of an id has room in its record: most decimal ones have. The rest of a longer one is in units of its own.
const idLen = 10

// textUnits is how many units the rest of an id of n bytes takes.
func textUnits(n int) int { return (max(0, n-idLen) + roomLen - 1) / roomLen }

// record is what is known of an id. It belongs to its shard's lock but for older, newer and listed, which belong to memory's; hash does not
// change while it is chained.
type record struct {
	last         uint64 // number of the last message
	hash         uint32
	link         uint32 // the next record of the bucket
	older, newer uint32 // neighbours by the age of the last message
	head, tail   uint32 // units of its messages; 0: none are kept
	count        uint32 // messages kept
	size         uint32 // bytes that they take
	seen         uint32 // when somebody last held or resumed it, as far as is known; ms
	text         uint32 // units with the rest of the id; 0: there is none
	from, to     uint8  // where in head and tail the oldest message begins and the newest ends
	torn         torn   //
	listed       bool   // it has neighbours: it can lose something
	joined       bool   // its numbers were shown, and its id was held when Sweep looked last, or since; it is not to be forgotten
	idLen        uint8
	id           [idLen]byte
}

// torn is whether the last number of a record stands for messages that were missed.
type torn uint8

const (
	tornNot   torn = iota // it is a message's
	tornNew               // nobody was told it
	tornShown             // who has resumed since knows it, and who was there before does not
)

// first is the number of the oldest message that is kept, or will be.
func (r *record) first() uint64 { return r.last - uint64(r.count) + 1 }

func (s *Store) isID(r *record, id []byte) bool {
	if int(r.idLen) != len(id) {
		return false
	}
	if r.text == 0 {
		return bytes.Equal(r.id[:r.idLen], id)
	}
	if !bytes.Equal(r.id[:], id[:idLen]) {
		return false
	}
	rest := id[idLen:]
	for slot := r.text; len(rest) > 0; {
		u := s.memory.units.At(slot)
		n := min(len(rest), roomLen)
		if !bytes.Equal(u.room[:n], rest[:n]) {
			return false
		}
		slot, rest = u.next, rest[n:]
	}
	return true
}

// appendID appends the id of a record.
func (s *Store) appendID(dst []byte, r *record) []byte {
	dst = append(dst, r.id[:min(int(r.idLen), idLen)]...)
	slot := r.text
	for left := int(r.idLen) - idLen; left > 0; left -= roomLen {
		u := s.memory.units.At(slot)
		dst = append(dst, u.room[:min(left, roomLen)]...)
		slot = u.next
	}
	return dst
}

// find returns the record of id, 0 if there is none. The caller holds the shard, for all below too.
func (s *Store) find(sh *shard, hash uint32, id []byte) uint32 {
	p := sh.index.Head(hash >> shardBits)
	if p == nil {
		return 0
	}
	for slot := *p; slot != 0; {
		r := s.memory.record(slot)
		if r.hash == hash && s.isID(r, id) {
			return slot
		}
		slot = r.link
	}
	return 0
}

// create makes the record of an id that has none. It returns 0 if there is no memory for it, and makes room beyond the limit where that
// is asked for: then the id has a session, which costs more than its record.
func (s *Store) create(sh *shard, hash uint32, id []byte, beyond bool) uint32 {
	m := &s.memory
	slot := s.room(sh, 1+textUnits(len(id)), beyond)
	if slot == 0 {
		return 0
	}
	text := m.units.At(slot).next
	rest := id[min(len(id), idLen):]
	for at := text; len(rest) > 0; {
		u := m.units.At(at)
		rest = rest[copy(u.room[:], rest):]
		at = u.next
	}
	r := m.record(slot)
	*r = record{last: s.start(), hash: hash, idLen: uint8(len(id)), text: text, seen: s.millis()}
	copy(r.id[:], id)
	s.chain(sh, slot, r)
	m.ids.Add(1)
	s.active.Add(1)
	return slot
}

// room takes units, from listed records if there are none.
func (s *Store) room(sh *shard, units int, beyond bool) (first uint32) {
	for {
		if first = s.memory.take(units, false); first != 0 {
			return first
		}
		if !s.evict(sh) {
			break
		}
	}
	if beyond {
		return s.memory.take(units, true)
	}
	return 0
}

// chain puts a record into the index.
func (s *Store) chain(sh *shard, slot uint32, r *record) {
	before := sh.index.Bytes()
	if from, to := sh.index.Grow(); from != to {
		rest := *sh.index.Place(from)
		*sh.index.Place(from) = 0
		for rest != 0 {
			l := s.memory.record(rest)
			p := sh.index.Head(l.hash >> shardBits)
			*p, l.link, rest = rest, *p, l.link
		}
	}
	s.memory.index.Add(int64(sh.index.Bytes() - before))
	p := sh.index.Head(r.hash >> shardBits)
	r.link = *p
	*p = slot
}

// forget ends a record and all that it has.
func (s *Store) forget(sh *shard, slot uint32) {
	m := &s.memory
	r := m.record(slot)
	m.unlist(slot)
	s.empty(r)
	p := sh.index.Head(r.hash >> shardBits)
	for *p != slot {
		p = &m.record(*p).link
	}
	*p = r.link
	sh.index.Unchained()
	if s.forgot != nil {
		s.forgot(string(s.appendID(nil, r)))
	}
	if r.text != 0 {
		m.giveBack(r.text, textUnits(int(r.idLen)))
	}
	m.drop(slot)
	m.ids.Add(-1)
	s.active.Add(-1)
}
