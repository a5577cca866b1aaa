package fleet

import (
	"io"
	"sync"

	"cometctl/flood"
)

// voice is what the flood's goroutine leaves for the worker's to say.
type voice struct {
	news chan struct{} // there is something new; holds one

	mu    sync.Mutex
	phase flood.Phase
	tally []byte
	due   []due // pieces that were not answered yet, in their order
	seq   uint64
}

func newVoice() voice { return voice{news: make(chan struct{}, 1)} }

// note is flood.Config.Tally.
func (v *voice) note(p flood.Phase, t *flood.Tally) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.phase, v.tally = p, t.AppendBinary(v.tally[:0])
	if t.Due() != nil {
		pieces := cutDue(t.Due(), v.seq+1)
		v.seq += uint64(len(pieces))
		v.due = append(v.due, pieces...)
	}
	select {
	case v.news <- struct{}{}:
	default:
	}
}

// say puts what there is into b.
func (v *voice) say(b *beat) {
	v.mu.Lock()
	defer v.mu.Unlock()
	b.Phase, b.Tally = v.phase, append([]byte(nil), v.tally...)
	if len(v.due) > 0 {
		first := v.due[0]
		b.Due, b.More = &first, len(v.due) > 1
	}
}

// heard forgets the piece that was answered.
func (v *voice) heard(seq uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.due) > 0 && v.due[0].Seq == seq {
		v.due = v.due[1:]
	}
}

// owes reports whether there are pieces that were not answered.
func (v *voice) owes() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.due) > 0
}

// pieces reads a share as one text, fetching a piece of it when that before it was read.
type pieces struct {
	targets int
	next    int // first target of the piece to fetch
	fetch   func(from int) ([]byte, error)
	text    []byte
}

// Read implements io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	for len(p.text) == 0 {
		if p.next >= p.targets {
			return 0, io.EOF
		}
		piece, err := p.fetch(p.next)
		if err != nil {
			return 0, err
		}
		if p.next, p.text, err = parsePiece(piece, p.next, p.targets); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.text)
	p.text = p.text[n:]
	return n, nil
}
