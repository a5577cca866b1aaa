package msggen

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"time"

	"cometctl/internal/wire"
)

// composer makes one worker's messages. It allocates nothing once its scratch has grown.
type composer struct {
	tag    wire.RunTag // run and worker, in every stamp
	choose chooser     // of ids, with the worker's own random stream
	size   int         // bytes of a message; 0: no padding
	sizeTo int         // where above size, the largest of messages whose sizes are drawn
	sizes  *rand.Rand  // draws them: ids do not depend on sizes
	lines  *Lines      // what messages say in front of their stamp; nil: their number
	seqs   sequences   // by id
	id     []byte      // scratch: the id in decimal
	stamp  []byte      // scratch: the stamp of a padded message
}

// newComposer makes the composer of a worker, whose tag is set when the run starts.
func newComposer(worker uint64, cfg *Config) composer {
	c := composer{
		choose: newChooser(cfg.Dist, uint64(cfg.IDs), stream(cfg.Seed, worker, 0)),
		size:   cfg.Size, sizeTo: cfg.SizeTo, lines: cfg.Lines,
		seqs: sequences{low: make([]uint32, cfg.IDs)},
	}
	if c.sizeTo > c.size {
		c.sizes = stream(cfg.Seed, worker, 1)
	}
	return c
}

// stream is a worker's random stream of a kind. ChaCha8 takes a whole key: streams whose keys differ in one bit have nothing
// that connects them.
func stream(seed, worker uint64, kind byte) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], worker)
	key[16] = kind
	return rand.New(rand.NewChaCha8(key))
}

// appendLine appends message number num, due at due (ns since the epoch) and written so long after it, to an id: `id<TAB>message\n`.
func (c *composer) appendLine(dst []byte, num uint64, due int64, lag time.Duration) []byte {
	id := c.choose.draw(num - 1)
	c.id = appendID(c.id[:0], id+1)
	dst = append(dst, c.id...)
	dst = append(dst, '\t')
	dst = c.appendMessage(dst, c.id, num, c.seqs.next(id), due, lag)
	return append(dst, '\n')
}

func appendID(dst []byte, id uint64) []byte { return strconv.AppendUint(dst, id, 10) }

// appendMessage appends `Fake message Num = 42 ~RUN.ID.SEQ.DUE.LAG.SUM~`, or a line of a file in front of its stamp. Padding stands in
// front of the stamp: who has seen the stamp has seen the whole message.
func (c *composer) appendMessage(dst, id []byte, num, seq uint64, due int64, lag time.Duration) []byte {
	begin := len(dst)
	if c.lines != nil {
		dst = append(dst, c.lines.of(num-1)...)
	} else {
		dst = append(dst, "Fake message Num = "...)
		dst = strconv.AppendUint(dst, num, 10)
	}
	dst = append(dst, ' ')
	if c.size == 0 {
		return wire.AppendStamp(dst, c.tag, id, seq, due, lag)
	}
	size := c.size
	if c.sizes != nil {
		size += c.sizes.IntN(c.sizeTo - c.size + 1)
	}
	c.stamp = wire.AppendStamp(c.stamp[:0], c.tag, id, seq, due, lag)
	for pad := size - (len(dst) - begin) - len(c.stamp); pad > 0; {
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
