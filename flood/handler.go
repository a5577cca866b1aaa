package flood

import "cometctl/internal/netloop"

// handler gives each loop's events to its lane.
type handler []*lane

func (h handler) Opened(l netloop.Loop, c netloop.Conn) { h.laneOf(l, c).opened(l, c) }

func (h handler) Readable(l netloop.Loop, c netloop.Conn, b []byte) {
	if a := h.laneOf(l, c); a.manner == Behaves {
		a.readable(l, c, b)
	} else {
		a.misread(l, c, b)
	}
}

// Expired is of a handshake, of a connection that has lived, or of who misbehaves.
func (h handler) Expired(l netloop.Loop, c netloop.Conn) {
	switch a := h.laneOf(l, c); {
	case a.recs.At(c.Slot()).stage != stageOpen:
		l.Close(c, causeTimeout)
	case a.manner != Behaves:
		a.misexpired(l, c)
	default:
		a.lived(l, c)
	}
}

func (h handler) Wrote(netloop.Loop, netloop.Conn, uint32)  {}
func (h handler) Unsent(netloop.Loop, netloop.Conn, uint32) {}

func (h handler) Posted(netloop.Loop, netloop.Conn, []byte, uint64, bool) {}

func (h handler) Closed(l netloop.Loop, c netloop.Conn, err error) {
	h.laneOf(l, c).closed(l, c, err)
}
