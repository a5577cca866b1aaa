package msggen

import "cometctl/internal/wire"

// replies reads the answers of a connection, one behind the other: bytes in, ends of answers out. It knows no socket, and
// what an answer says beside its status does not interest it. The zero value is ready. It does not read
// answers to HEAD or CONNECT, which are framed in their own ways.
type replies struct {
	status int  // of the answer that was read last
	closes bool // the server takes nothing behind it (RFC 9112 section 9.6)

	head  wire.HeadScanner
	part  []byte // a head that was cut
	chunk wire.ChunkDecoder
	left  int64 // of a body with a length
	state replyState
	begun bool // something of a head has come
}

type replyState uint8

const (
	replyHead   replyState = iota
	replyLength            // RFC 9112 section 6.3: a body with a length,
	replyChunks            // in chunks,
	replyClose             // or until the connection is closed
)

// next consumes n bytes of b. With done, an answer ended there: its status and closes are set, and b[n:] is what follows.
// Without, all of b was consumed. An error means that nothing more can be read.
func (a *replies) next(b []byte) (n int, done bool, err error) {
	for n < len(b) {
		switch a.state {
		case replyHead:
			k, whole, err := a.readHead(b[n:])
			n += k
			if err != nil || whole {
				return n, whole, err
			}
		case replyLength:
			k := min(int64(len(b)-n), a.left)
			n += int(k)
			if a.left -= k; a.left == 0 {
				a.state = replyHead
				return n, true, nil
			}
		case replyChunks:
			_, k, what, err := a.chunk.Next(b[n:])
			n += k
			if err != nil {
				return n, false, err
			}
			if what == wire.ChunkEnd {
				a.chunk = wire.ChunkDecoder{}
				a.state = replyHead
				return n, true, nil
			}
		case replyClose:
			return len(b), false, nil
		}
	}
	return n, false, nil
}

// readHead reads a head or a part of it, and tells whether the whole answer ends with it.
func (a *replies) readHead(b []byte) (n int, done bool, err error) {
	a.begun = true
	n, whole, err := a.head.Scan(b, wire.Limits{})
	if err != nil {
		return n, false, err
	}
	head := b[:n]
	if !whole || len(a.part) > 0 {
		a.part = append(a.part, head...)
		head = a.part
	}
	if !whole {
		return n, false, nil
	}
	a.begun = false
	a.part = a.part[:0]
	var r wire.Response
	if err := wire.ParseResponse(head, wire.Limits{}, &r); err != nil {
		return n, false, err
	}
	if r.Status < 200 && r.Status != 101 {
		return n, false, nil // RFC 9110 section 15.2: an interim answer says nothing yet
	}
	a.status, a.closes = r.Status, !r.KeepAlive || r.Status == 101
	switch {
	case r.ContentLength == 0:
		return n, true, nil
	case r.Chunked:
		a.state = replyChunks
	case r.ContentLength > 0:
		a.state, a.left = replyLength, r.ContentLength
	default:
		a.state = replyClose
	}
	return n, false, nil
}

// cut tells whether an answer was being read when the connection ended, and ended whether it ended properly by that.
func (a *replies) cut() (cut, ended bool) {
	return a.begun || a.state != replyHead, a.state == replyClose
}
