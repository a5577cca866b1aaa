package netloop

import "unsafe"

// backlog is the output of a connection of the goroutine engine, whose writer wants it in one piece.
type backlog struct {
	buf  []byte
	off  int    // buf[off:] is pending
	ends pieces // of buf[off:]
}

// pieces are the writes of pending output, in order; the first may have lost its head.
type pieces []piece

// room is the memory that they have.
func (p pieces) room() int64 { return int64(cap(p)) * int64(unsafe.Sizeof(piece{})) }

// left takes n written bytes off and calls whole for each piece that has left whole by that.
func (p *pieces) left(n int, whole func(tag, at uint32)) {
	all, i := *p, 0
	for ; i < len(all) && n >= int(all[i].n); i++ {
		n -= int(all[i].n)
		whole(all[i].tag, all[i].at)
	}
	if *p = all[:copy(all, all[i:])]; len(*p) > 0 {
		all[0].n -= uint32(n)
	}
}

// piece is what remains of one Write in a backlog; at is its part.at.
type piece struct{ n, tag, at uint32 }

func (b *backlog) pending() int { return len(b.buf) - b.off }

// room is the memory that it has.
func (b *backlog) room() int64 {
	return int64(cap(b.buf)) + b.ends.room()
}

func (b *backlog) add(data []byte, tag, at uint32) {
	if b.off > len(b.buf)/2 {
		b.buf = b.buf[:copy(b.buf, b.buf[b.off:])]
		b.off = 0
	}
	if need := len(b.buf) + len(data); need > cap(b.buf) {
		// append would double it, and what is bounded is the memory, not what is in it.
		b.buf = append(make([]byte, 0, need+max(need/8, 256)), b.buf...)
	}
	b.buf = append(b.buf, data...)
	b.ends = append(b.ends, piece{uint32(len(data)), tag, at})
}

// advance takes n written bytes off and calls whole for each piece that has left whole by that.
func (b *backlog) advance(n int, whole func(tag, at uint32)) {
	b.off += n
	b.ends.left(n, whole)
}
