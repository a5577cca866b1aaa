package netloop

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// A chain beside a buffer: the same bytes in the same order, the same pieces told, and little more memory than what is in it.
func TestChain(t *testing.T) {
	var s blocks
	var c chain
	var in []byte // pending
	type end struct {
		at  int
		tag uint32
	}
	var ends []end
	var told, want []uint32
	sent, written := 0, 0
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range uint32(20_000) {
		data := make([]byte, rnd.IntN(3)*rnd.IntN(2000))
		for j := range data {
			data[j] = byte(rnd.Uint32())
		}
		c.add(&s, data, i+1, 0)
		in, written = append(in, data...), written+len(data)
		ends = append(ends, end{written, i + 1})
		most := 1 + rnd.IntN(5000)
		got := c.gather(nil, most)
		if len(got) < min(most, len(in)) || !bytes.HasPrefix(in, got) {
			t.Fatalf("gathered %d of %d bytes, not the first ones that are pending, %d", len(got), most, len(in))
		}
		n := min(len(got), rnd.IntN(4000))
		if rnd.IntN(50) == 0 {
			n = len(in)
		}
		c.advance(&s, n, func(tag, _ uint32) { told = append(told, tag) })
		in, sent = in[n:], sent+n
		for len(ends) > 0 && ends[0].at <= sent {
			want, ends = append(want, ends[0].tag), ends[1:]
		}
		if c.pending() != len(in) || !slices.Equal(told, want) {
			t.Fatalf("%d bytes are pending, want %d; told of %d pieces, want %d", c.pending(), len(in), len(told), len(want))
		}
		if c.blocks*blockSize > len(in)*9/8+2*blockSize || len(in) == 0 && c.blocks != 0 {
			t.Fatalf("%d bytes lie in %d blocks", len(in), c.blocks)
		}
		s.rest()
	}
	c.clear(&s)
	if c.pending() != 0 || c.room() != 0 || s.n == 0 {
		t.Errorf("%d bytes are pending in %d, %d blocks are kept", c.pending(), c.room(), s.n)
	}
	for range quietTurns + 1 {
		s.rest()
	}
	if s.n > freeBlocks {
		t.Errorf("%d blocks are kept for nobody", s.n)
	}
}
