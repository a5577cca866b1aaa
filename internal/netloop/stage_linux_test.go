package netloop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Pieces of many connections, staged in any order, come out by connection and in order.
func TestStage(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var s stage
	var scratch []byte
	for range 50 {
		last := make([]uint32, 5)
		want := make([]bytes.Buffer, len(last))
		tags := make([]int, len(last))
		for i := range 1 + rnd.IntN(60) {
			c := rnd.IntN(len(last))
			b := bytes.Repeat([]byte(fmt.Sprint(i)), rnd.IntN(4))
			want[c].Write(b)
			tags[c]++
			last[c] = s.add(last[c], b, uint32(tags[c]), 0)
			if total := s.parts[last[c]-1].total; int(total) != want[c].Len() {
				t.Fatalf("%d bytes are staged, total says %d", want[c].Len(), total)
			}
		}
		for c, l := range last {
			if l == 0 {
				continue
			}
			if got := s.gather(l, &scratch); !bytes.Equal(got, want[c].Bytes()) {
				t.Fatalf("gathered %q, want %q", got, want[c].Bytes())
			}
			n := 0
			s.each(l, func(p *part) {
				if n++; p.tag != uint32(n) {
					t.Fatalf("tag %d is number %d", p.tag, n)
				}
			})
			if n != tags[c] {
				t.Fatalf("%d parts, want %d", n, tags[c])
			}
		}
		s.reset()
	}
	s.add(0, make([]byte, stageFull), 0, 0)
	if !s.full() {
		t.Error("not full")
	}
	for range 2*quietTurns + 10 {
		s.reset()
	}
	if cap(s.bytes) > keep {
		t.Errorf("%d bytes are kept after a burst", cap(s.bytes))
	}
}

// Backlogs are lent out by number; a number that came back is given out again.
func TestBacklogNumbers(t *testing.T) {
	var s backlogs
	a, b := s.take(), s.take()
	if a == b || a&backlogBit == 0 || s.get(a) == s.get(b) {
		t.Errorf("numbers %x and %x", a, b)
	}
	s.get(a).add(new(blocks), []byte("x"), 1, 0)
	s.giveBack(a)
	if c := s.take(); c != a || s.get(c).pending() != 0 {
		t.Errorf("number %x with %d bytes", c, s.get(c).pending())
	}
}
