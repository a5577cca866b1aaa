package flood

import (
	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// stream reads the responses of a connection: bytes in, events out. It knows no socket, no clock and no loop. What it must
// remember between two reads is in it; only a head that was cut lies in a buffer of heads, and where to go on polling in a mark.
// It holds no pointer, and the zero stream is ready for the first byte of an endless response.
type stream struct {
	head    wire.HeadScanner
	kept    slab.Slot // poll: of marks, where the next request goes on; SSE: of places, the same; WebSocket: of nonces, then of cut frames; 0 is none
	chunk   wire.ChunkDecoder
	left    int64  // identity coding: bytes that are still to come; untilClose: as many as there are; WebSocket: code of the server's close
	part    uint32 // the head that was cut, see heads; 0 is none
	phase   phase
	dialect dialect
	refused uint8 // the place in heads.refusals of the way in which the answer was refused, from 1, while its body is read; 0: it was not
	last    bool  // poll: the server ends the connection behind this response
}

const untilClose = -1

type phase uint8

const (
	phaseHead    phase = iota
	phaseChunked       // RFC 9112 section 7.1
	phasePlain         // RFC 9112 section 6.3: a length, or until the connection closes
	phaseFrames        // RFC 6455 section 5
	phaseEnd
)

// event is what a piece of a response was.
type event uint8

const (
	eventMore    event = iota // nothing whole yet: all was consumed
	eventHead                 // the head of a good response ended here
	eventData                 // a piece of the body, or of a WebSocket's message
	eventMessage              // a piece that a WebSocket's message ends with
	eventPing                 // a WebSocket's; data is to come back in a pong, and lent until the next call
	eventClose                // the last frame of a WebSocket; data is its payload, lent likewise
	eventEnd                  // the body ended in order
)

// next consumes n bytes of b and says what they were; data is a piece of the body, a slice of b. Call it again with b[n:]
// until it says eventMore. An error is a cause: the response cannot be read on.
func (s *stream) next(b []byte, h *heads) (data []byte, n int, ev event, err error) {
	if s.refused > 0 {
		n, err = s.readRefusal(b, h)
		return nil, n, eventMore, err
	}
	return s.step(b, h)
}

func (s *stream) step(b []byte, h *heads) (data []byte, n int, ev event, err error) {
	switch s.phase {
	case phaseHead:
		return s.readHead(b, h)
	case phaseChunked:
		return s.readChunk(b)
	case phaseFrames:
		return s.readFrame(b, h)
	case phasePlain:
		if s.left == 0 {
			s.phase = phaseEnd
			return nil, 0, eventEnd, nil
		}
		if len(b) == 0 {
			return nil, 0, eventMore, nil
		}
		n = len(b)
		if s.left != untilClose {
			n = int(min(int64(n), s.left))
			s.left -= int64(n)
		}
		return b[:n], n, eventData, nil
	}
	return nil, len(b), eventMore, nil
}

func (s *stream) readChunk(b []byte) (data []byte, n int, ev event, err error) {
	for n < len(b) {
		data, m, what, err := s.chunk.Next(b[n:])
		n += m
		switch {
		case err != nil:
			return nil, n, eventMore, causeBad
		case what == wire.ChunkEnd:
			s.phase = phaseEnd
			return nil, n, eventEnd, nil
		case len(data) > 0:
			return data, n, eventData, nil
		case m == 0:
			return nil, n, eventMore, nil
		}
	}
	return nil, n, eventMore, nil
}

// readHead consumes the head and decides what body follows it.
func (s *stream) readHead(b []byte, h *heads) (data []byte, n int, ev event, err error) {
	n, done, err := s.head.Scan(b, wire.Limits{})
	if err != nil {
		return nil, n, eventMore, causeBad
	}
	if !done {
		s.part = h.keep(s.part, b[:n])
		return nil, n, eventMore, nil
	}
	head := b[:n]
	if s.part != 0 {
		s.part = h.keep(s.part, head)
		head = h.buffers[s.part-1]
	}
	var r wire.Response
	err = wire.ParseResponse(head, wire.Limits{}, &r)
	interim := r.Status/100 == 1 && r.Status != 101 // RFC 9110 section 15.2: the next head counts
	if err == nil && !interim {
		err = s.judge(&r, h) // before its bytes are gone
	}
	h.forget(&s.part)
	if s.refused > 0 {
		m, err := s.readRefusal(b[n:], h)
		return nil, n + m, eventMore, err
	}
	if _, known := err.(cause); known {
		return nil, n, eventMore, err
	}
	switch {
	case err != nil:
		return nil, n, eventMore, causeBad
	case interim:
		s.head = wire.HeadScanner{}
		return s.skip(b, n, h)
	case r.Status == 101:
		s.phase = phaseFrames
	case r.Chunked:
		s.phase = phaseChunked
	default:
		s.phase, s.left = phasePlain, r.ContentLength
	}
	s.last = !r.KeepAlive
	return nil, n, eventHead, nil
}

// judge tells whether r is a good answer in the stream's dialect, and takes from it what is needed after it.
func (s *stream) judge(r *wire.Response, h *heads) error {
	if s.dialect == dialectWebSocket && r.Status == 101 {
		nonce := h.frames.nonces.At(s.kept)
		err := wire.CheckUpgraded(r, *nonce, h.frames.protocols)
		h.forgetKept(s)
		if err != nil {
			return causeNoWebSocket
		}
		return nil
	}
	if err := s.dialect.check(r); err != nil {
		h.places.refused(s, r)
		return h.refuse(s, r, err)
	}
	h.places.begin(s, r)
	if s.dialect == dialectPoll {
		return h.marks.note(&s.kept, r)
	}
	return nil
}

// skip reads on behind an interim response.
func (s *stream) skip(b []byte, n int, h *heads) ([]byte, int, event, error) {
	data, m, ev, err := s.readHead(b[n:], h)
	return data, n + m, ev, err
}

// again makes s ready for the answer to the next poll.
func (s *stream) again() { *s = stream{dialect: s.dialect, kept: s.kept} }

// closed says what the end of the connection means for a response that was being read: its proper end, or a cut.
func (s *stream) closed() cause {
	if s.phase == phaseEnd && s.dialect == dialectWebSocket && s.left != wire.CloseNoCode {
		return closeCause(s.left)
	}
	if s.phase == phaseEnd || s.phase == phasePlain && s.left == untilClose {
		return causeEnded
	}
	return causeEOF
}

// heads keeps the heads that came in several reads, one buffer each, for one loop's connections, and what heads say that is
// needed after them.
type heads struct {
	buffers  [][]byte
	free     []uint32
	marks    marks
	refusals refusals // the first of each kind
	places   places
	frames   frames
	control  [125]byte // scratch: payload of a control frame
}

// read takes from a piece of a body what is needed after it.
func (h *heads) read(s *stream, data []byte) {
	if s.dialect == dialectPoll {
		h.marks.cursors.body(s.kept, data)
	}
}

// forgetKept gives back what is kept for s beside its record.
func (h *heads) forgetKept(s *stream) {
	switch {
	case s.dialect == dialectPoll:
		h.marks.forget(&s.kept)
	case s.dialect == dialectSSE:
		h.places.forget(&s.kept)
	case s.kept != 0 && s.phase == phaseHead:
		h.frames.nonces.Free(s.kept)
		s.kept = 0
	default:
		h.frames.forget(&s.kept)
	}
}

// keep appends b to the buffer with number part, or to a new one where part is 0, and returns the number.
func (h *heads) keep(part uint32, b []byte) uint32 {
	if part == 0 {
		if len(b) == 0 {
			return 0
		}
		if k := len(h.free); k > 0 {
			part, h.free = h.free[k-1], h.free[:k-1]
		} else {
			h.buffers = append(h.buffers, nil)
			part = uint32(len(h.buffers))
		}
	}
	h.buffers[part-1] = append(h.buffers[part-1], b...)
	return part
}

// forget gives a buffer back.
func (h *heads) forget(part *uint32) {
	if *part != 0 {
		h.buffers[*part-1] = h.buffers[*part-1][:0]
		h.free = append(h.free, *part)
		*part = 0
	}
}
