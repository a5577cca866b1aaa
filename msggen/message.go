package msggen

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"

	"cometctl/internal/wire"
)

// composer makes one worker's messages. It allocates nothing once its scratch has grown.
type composer struct {
	tag   wire.RunTag // run and worker, in every stamp
	rng   *rand.Rand  // the worker's own stream
	ids   uint64      // messages go to 1..ids
	size  int         // bytes of a message; 0: no padding
	seqs  sequences   // by id
	id    []byte      // scratch: the id in decimal
	stamp []byte      // scratch: the stamp of a padded message
}

// newComposer makes the composer of a worker, whose tag is set when the run starts.
func newComposer(worker uint64, seed uint64, ids, size int) composer {
	// ChaCha8 takes a whole key: workers whose keys differ in one bit have streams that nothing connects.
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], worker)
	return composer{
		rng:  rand.New(rand.NewChaCha8(key)),
		ids:  uint64(ids),
		size: size,
		seqs: sequences{low: make([]uint32, ids)},
	}
}

// appendLine appends message number num, due at due (ns since the epoch), to a random id: `id<TAB>message\n`.
func (c *composer) appendLine(dst []byte, num uint64, due int64) []byte {
	id := c.draw()
	c.id = appendID(c.id[:0], id+1)
	dst = append(dst, c.id...)
	dst = append(dst, '\t')
	dst = c.appendMessage(dst, c.id, num, c.seqs.next(id), due)
	return append(dst, '\n')
}

// draw chooses whom the next message goes to: the id that is one more.
func (c *composer) draw() uint64 { return c.rng.Uint64N(c.ids) }

func appendID(dst []byte, id uint64) []byte { return strconv.AppendUint(dst, id, 10) }

// appendMessage appends `Fake message Num = 42 ~RUN.ID.SEQ.DUE~`. Padding stands in front of the stamp: who has seen the
// stamp has seen the whole message.
func (c *composer) appendMessage(dst, id []byte, num, seq uint64, due int64) []byte {
	begin := len(dst)
	dst = append(dst, "Fake message Num = "...)
	dst = strconv.AppendUint(dst, num, 10)
	dst = append(dst, ' ')
	if c.size == 0 {
		return wire.AppendStamp(dst, c.tag, id, seq, due)
	}
	c.stamp = wire.AppendStamp(c.stamp[:0], c.tag, id, seq, due)
	for pad := c.size - (len(dst) - begin) - len(c.stamp); pad > 0; {
		n := min(pad, len(padding))
		dst = append(dst, padding[:n]...)
		pad -= n
	}
	return append(dst, c.stamp...)
}

const padding = "................................................................"

// sequences counts the messages to each id, from 1. Four bytes an id carry four billion of them; the few ids that need
// more keep the rest in a map that is empty until then.
type sequences struct {
	low  []uint32
	high map[uint64]uint32
}

func (s *sequences) next(i uint64) uint64 {
	s.low[i]++
	if s.low[i] == 0 {
		if s.high == nil {
			s.high = map[uint64]uint32{}
		}
		s.high[i]++
	}
	seq := uint64(s.low[i])
	if len(s.high) > 0 {
		seq |= uint64(s.high[i]) << 32
	}
	return seq
}
