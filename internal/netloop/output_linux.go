package netloop

import (
	"unsafe"

	"cometctl/internal/slab"
)

// Output that is written in a turn is staged: the bytes of all connections one after another in one buffer, the pieces of
// one connection chained. At the end of the turn each connection's pieces leave in one system call, and the stage is
// empty again. Only what the kernel did not take becomes a backlog, the connection's own buffer. So an idle connection,
// and one whose reader keeps up, never owns a buffer.
//
// record.out says which it is: 0 nothing, part index + 1 of the last staged part, or backlogBit with a backlog's index.
const backlogBit = 1 << 31

// stage is the output of one turn.
type stage struct {
	bytes []byte
	parts []part
	dirty []slab.Slot // connections with staged parts, in the order of their first write
	quiet int
}

// part is one Write: bytes[off:off+n]. The parts of a connection form a ring, so that its last one also finds the first.
type part struct {
	off, n uint32
	next   uint32 // index of the next part of the connection; the last one's next is the first
	total  uint32 // bytes of the connection up to and with this part
	tag    uint32
	at     uint32 // when its message was posted, see core.stamp; 0: nobody asks
}

// stageFull bounds a stage. It is large, because merging messages for the same connection is what raises throughput when
// there are more messages than the loop can write one by one.
const stageFull = 1 << 20

func (s *stage) full() bool { return len(s.bytes) >= stageFull }

// add appends a part behind the part last (index + 1; 0 for none) and returns its own index + 1.
func (s *stage) add(last uint32, b []byte, tag, at uint32) uint32 {
	i := uint32(len(s.parts))
	p := part{off: uint32(len(s.bytes)), n: uint32(len(b)), next: i, total: uint32(len(b)), tag: tag, at: at}
	if last != 0 {
		l := &s.parts[last-1]
		p.next, l.next = l.next, i
		p.total += l.total
	}
	s.bytes = append(s.bytes, b...)
	s.parts = append(s.parts, p)
	return i + 1
}

// gather returns the staged bytes of a connection in one piece, in *scratch unless they are in one piece already.
func (s *stage) gather(last uint32, scratch *[]byte) []byte {
	p := &s.parts[last-1]
	if p.next == last-1 {
		return s.bytes[p.off : p.off+p.n]
	}
	buf := (*scratch)[:0]
	s.each(last, func(p *part) { buf = append(buf, s.bytes[p.off:p.off+p.n]...) })
	*scratch = buf
	return buf
}

// each calls f for the parts of a connection, first to last.
func (s *stage) each(last uint32, f func(*part)) {
	for i := s.parts[last-1].next; ; i = s.parts[i].next {
		f(&s.parts[i])
		if i == last-1 {
			return
		}
	}
}

// reset empties the stage, and gives a burst's buffer back once it was long not needed.
func (s *stage) reset() {
	if cap(s.bytes) <= keep || len(s.bytes) > cap(s.bytes)/16 {
		s.quiet = 0
	} else if s.quiet++; s.quiet > quietTurns {
		*s = stage{}
		return
	}
	s.bytes, s.parts, s.dirty = s.bytes[:0], s.parts[:0], s.dirty[:0]
}

// heldBacklog is a backlog with what it counts of the total.
type heldBacklog struct {
	chain
	holding
}

// room is the memory that it has.
func (b *heldBacklog) room() int64 { return b.chain.room() + int64(unsafe.Sizeof(*b)) }

// backlogs lends out backlog buffers by number.
type backlogs struct {
	all  []*heldBacklog
	free []uint32
}

func (s *backlogs) get(out uint32) *heldBacklog { return s.all[out&^backlogBit] }

func (s *backlogs) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.all[i] = new(heldBacklog)
		return i | backlogBit
	}
	s.all = append(s.all, new(heldBacklog))
	return uint32(len(s.all)-1) | backlogBit
}

func (s *backlogs) giveBack(out uint32) {
	s.all[out&^backlogBit] = nil
	s.free = append(s.free, out&^backlogBit)
}
