package flood

import (
	crand "crypto/rand"
	"math/rand/v2"

	"cometctl/internal/netloop"
	"cometctl/internal/slab"
	"cometctl/internal/wire"
)

// frameRules are a client's. What a message may hold is for the server to say: a flood keeps none of it.
var frameRules = wire.FrameRules{Client: true, MessageMax: 1 << 30}

// frames keeps what the WebSockets of one loop need beside their records: the nonce of a handshake that is under way, and the
// decoder of a connection that was cut within a message. An idle one has neither.
type frames struct {
	nonces    slab.Slab[nonce]
	cut       slab.Slab[cutFrame]
	protocols string // what -H asks for by Sec-WebSocket-Protocol
}

type nonce [16]byte

// cutFrame is what came of a message, and of a control frame amid it.
type cutFrame struct {
	decoder wire.FrameDecoder
	n       uint8
	control [125]byte // payload of a ping or close that has not come whole
}

// readFrame is next for a WebSocket: pieces of messages, pings, and the server's close.
func (s *stream) readFrame(b []byte, h *heads) (data []byte, n int, ev event, err error) {
	var f cutFrame
	if s.kept != 0 {
		f = *h.frames.cut.At(s.kept)
	}
	for n < len(b) {
		p, k, err := f.decoder.Next(b[n:], frameRules)
		n += k
		switch {
		case err != nil:
			return nil, n, eventMore, causeBad
		case p.Op == wire.OpText || p.Op == wire.OpBinary:
			h.frames.keep(&s.kept, &f)
			if p.End {
				return p.Data, n, eventMessage, nil
			}
			return p.Data, n, eventData, nil
		case p.Op == wire.OpContinuation || p.Op == wire.OpPong && f.n == 0:
			continue
		}
		f.n += uint8(copy(f.control[f.n:], p.Data))
		if !p.End {
			continue
		}
		payload := append(h.control[:0], f.control[:f.n]...)
		f.n = 0
		h.frames.keep(&s.kept, &f)
		switch p.Op {
		case wire.OpPing:
			return payload, n, eventPing, nil
		case wire.OpClose:
			code, _, err := wire.ParseClose(payload)
			if err != nil {
				return nil, n, eventMore, causeBad
			}
			s.phase, s.left = phaseEnd, int64(code)
			return payload, n, eventClose, nil
		}
	}
	h.frames.keep(&s.kept, &f)
	return nil, n, eventMore, nil
}

// hello says what a WebSocket begins with, each a message of its own.
func (a *lane) hello(l netloop.Loop, c netloop.Conn, r *record) {
	if r.stream.dialect != dialectWebSocket {
		return
	}
	for _, text := range a.plan.targets.hello {
		payload := a.plan.targets.appendHello(nil, text, int(r.target))
		l.Write(c, wire.AppendMaskedFrame(a.request[:0], wire.OpText, payload, a.keys.mask()), 0)
	}
}

// keep stores f in *held, or nothing where there is nothing to remember.
func (s *frames) keep(held *slab.Slot, f *cutFrame) {
	if f.n == 0 && f.decoder == (wire.FrameDecoder{}) {
		s.forget(held)
		return
	}
	if *held == 0 {
		*held = s.cut.Alloc()
	}
	*s.cut.At(*held) = *f
}

func (s *frames) forget(held *slab.Slot) {
	if *held != 0 {
		s.cut.Free(*held)
		*held = 0
	}
}

// keys are the random numbers of a loop's WebSockets: nonces of handshakes, and a masking key for each frame (RFC 6455 section 5.3).
type keys struct{ source *rand.ChaCha8 }

func newKeys() keys {
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	return keys{rand.NewChaCha8(seed)}
}

func (k keys) nonce() (n nonce) {
	k.source.Read(n[:]) // never fails
	return n
}

func (k keys) mask() uint32 { return uint32(k.source.Uint64()) }
