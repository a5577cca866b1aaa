package netloop

import (
	"math"
	"sync/atomic"
)

// This file is how the pending output of all connections is bounded together (Config.MaxPendingTotal). What is counted is the memory
// that the buffers of pending output have, not the bytes in them; a connection without pending output counts nothing.
//
// Two marks. At 7/8 of the bound Write refuses whoever has a backlog already. The last eighth is for who has none: the kernel took
// only a part of what was written, and half a message cannot be unsaid. At the bound itself there is no room even for that, and
// who has taken nothing for the longest time is closed. So who does not read cannot crowd out who does.

// total is what all loops of an engine hold together.
type total struct {
	n     *atomic.Int64
	max   int64
	loops int64
	rouse func() // makes every loop take a turn
}

func newTotal(cfg *Config, rouse func()) *total {
	most := cfg.MaxPendingTotal
	if most <= 0 {
		most = math.MaxInt64
	}
	n := cfg.Pending
	if n == nil {
		n = new(atomic.Int64)
	}
	return &total{n: n, max: most, loops: int64(cfg.Loops), rouse: rouse}
}

// tight tells that a backlog must not grow any more.
func (t *total) tight() bool { return t.n.Load() > t.max-t.max/8 }

// over tells that there is more than there may be.
func (t *total) over() bool { return t.n.Load() > t.max }

// holding is what one connection holds of the total.
type holding struct {
	c          Conn
	bytes      int64 // 0: it is in no list
	prev, next *holding
}

// holdings are those of one loop, in a ring: behind the root is who has taken nothing for the longest time. They belong to the loop's turn.
type holdings struct {
	of    *total
	bytes int64
	root  holding
}

func (s *holdings) init(of *total) {
	s.of = of
	s.root.prev, s.root.next = &s.root, &s.root
}

// hold notes that h holds so many bytes from now on. moved says that its peer has taken some.
func (s *holdings) hold(h *holding, bytes int64, moved bool) {
	if (bytes == 0 || moved) && h.bytes != 0 {
		h.prev.next, h.next.prev = h.next, h.prev
	}
	if bytes != 0 && (moved || h.bytes == 0) {
		h.prev, h.next = s.root.prev, &s.root
		h.prev.next, s.root.prev = h, h
	}
	if more := bytes - h.bytes; more != 0 {
		s.bytes += more
		s.of.n.Add(more)
	}
	h.bytes = bytes
}

// shed closes connections while all loops together hold too much and this one has more than its share. If others have, they are
// woken: where the sum is above the bound, at least one share is. It tells whether it closed any.
func (l *core) shed() (any bool) {
	s := &l.held
	for s.of.over() && s.root.next != &s.root {
		if s.bytes <= s.of.max/s.of.loops {
			s.of.rouse()
			break
		}
		any = true
		l.self.Close(s.root.next.c, ErrPending)
	}
	return any
}
