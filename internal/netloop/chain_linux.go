package netloop

import "unsafe"

// chain is a backlog in blocks. Blocks are never moved to larger memory, so what a backlog grows by is all that it costs: buffers that
// were outgrown would lie about until the collector comes, which is as much again just when there is much.
type chain struct {
	first, last *block
	from        int    // in first, where what is pending begins
	to          int    // in last, where it ends
	bytes       int    // pending
	blocks      int    //
	ends        pieces // of what is pending
}

// blockSize is the memory of a block: of Go's size classes, and with the word that the allocator puts before objects with pointers.
const blockSize = 1024

type block struct {
	next  *block
	bytes [blockSize - 2*unsafe.Sizeof(uintptr(0))]byte
}

// blocks lends out blocks, and keeps those that come back: as many as ever were out at once, until they were not needed for long. So when
// connections are closed for others, what these take is what those had.
type blocks struct {
	free  *block
	n     int
	quiet int // turns since one was taken
}

// freeBlocks is how many are kept for ever: a reader that is slow and reads takes one for each that it gives back.
const freeBlocks = 64

func (s *blocks) take() *block {
	s.quiet = 0
	b := s.free
	if b == nil {
		return new(block)
	}
	s.free, b.next = b.next, nil
	s.n--
	return b
}

func (s *blocks) giveBack(b *block) {
	b.next, s.free = s.free, b
	s.n++
}

// rest ends a turn.
func (s *blocks) rest() {
	if s.n <= freeBlocks {
		return
	}
	if s.quiet++; s.quiet > quietTurns {
		*s = blocks{}
	}
}

func (c *chain) pending() int { return c.bytes }

// room is the memory that it has.
func (c *chain) room() int64 { return int64(c.blocks)*blockSize + c.ends.room() }

func (c *chain) add(s *blocks, data []byte, tag, at uint32) {
	c.ends = append(c.ends, piece{uint32(len(data)), tag, at})
	c.bytes += len(data)
	for len(data) > 0 {
		if c.last == nil || c.to == len(c.last.bytes) {
			b := s.take()
			if c.last == nil {
				c.first = b
			} else {
				c.last.next = b
			}
			c.last, c.to = b, 0
			c.blocks++
		}
		n := copy(c.last.bytes[c.to:], data)
		data, c.to = data[n:], c.to+n
	}
}

// gather appends the first bytes that are pending, about most of them.
func (c *chain) gather(dst []byte, most int) []byte {
	from := c.from
	for b := c.first; b != nil && len(dst) < most; b = b.next {
		end := len(b.bytes)
		if b == c.last {
			end = c.to
		}
		dst, from = append(dst, b.bytes[from:end]...), 0
	}
	return dst
}

// advance takes n written bytes off and calls whole for each piece that has left whole by that.
func (c *chain) advance(s *blocks, n int, whole func(tag, at uint32)) {
	c.bytes -= n
	for left := n + c.from; c.first != nil; {
		if c.bytes > 0 && left < len(c.first.bytes) {
			c.from = left
			break
		}
		left -= len(c.first.bytes)
		c.drop(s)
	}
	c.ends.left(n, whole)
}

// clear drops everything.
func (c *chain) clear(s *blocks) {
	for c.first != nil {
		c.drop(s)
	}
	*c = chain{}
}

// drop gives the first block back.
func (c *chain) drop(s *blocks) {
	b := c.first
	c.first, c.from = b.next, 0
	if c.blocks--; c.first == nil {
		c.last, c.to = nil, 0
	}
	s.giveBack(b)
}
