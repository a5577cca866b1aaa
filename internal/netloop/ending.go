package netloop

import (
	"io"

	"cometctl/internal/slab"
)

// This file is how a connection comes to its end in order, which is the same in both engines: what is pending leaves, our
// direction is shut, the peer's is read to its end, and a deadline bounds all of it.

// ending is what an engine does of that. All slots are those of live connections.
type ending interface {
	sendLast(slot slab.Slot, b []byte) // queues b behind what is pending, whatever the bound
	pendingAt(slot slab.Slot) int      // bytes that have not left
	halfClose(slot slab.Slot) bool     // shuts our direction; false if the peer is gone already
}

// End implements Loop.
func (l *core) End(c Conn, last []byte) {
	r := l.live(c)
	if r == nil || r.state == stateEnding {
		return
	}
	if r.state == stateDialing {
		l.self.Close(c, ErrClosed)
		return
	}
	l.self.Hold(c, false)
	l.setDeadline(c.Slot(), l.linger)
	r.state = stateEnding
	if len(last) > 0 {
		l.engine.sendLast(c.Slot(), last)
	}
	l.settle(c)
}

// settle half-closes an ending connection once its output has left.
func (l *core) settle(c Conn) {
	r := l.live(c)
	if r == nil || r.state != stateEnding || r.flags&flagHalfShut != 0 || l.engine.pendingAt(c.Slot()) > 0 {
		return
	}
	if r.flags&flagPeerEOF != 0 {
		l.self.Close(c, io.EOF)
		return
	}
	r.flags |= flagHalfShut
	if !l.engine.halfClose(c.Slot()) {
		l.self.Close(c, io.EOF)
	}
}

// expired ends a connection whose End took too long, and tells the handler about all other deadlines.
func (l *core) expired(slot slab.Slot) {
	c := l.conn(slot)
	if l.recs.At(slot).state == stateEnding {
		l.self.Close(c, ErrLinger)
		return
	}
	l.h.Expired(l.self, c)
}
