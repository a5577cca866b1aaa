package netloop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
)

// This file is what TLS adds to a connection of the goroutine engine: a handshake before it, a word at its end. Neither is done in a
// turn, since both may wait for the peer.

// incoming is a connection that was accepted.
func (e *goEngine) incoming(nc *net.TCPConn) *goConn {
	gc := &goConn{nc: nc}
	if e.cfg.TLS != nil {
		gc.tls, gc.shaking = tls.Server(nc, e.cfg.TLS), true
	}
	return gc
}

// outgoing makes g a connection that was dialled.
func (g *goConn) outgoing(nc *net.TCPConn, cfg *tls.Config) {
	g.nc = nc
	if cfg != nil {
		g.tls, g.shaking = tls.Client(nc, cfg), true
	}
}

func (g *goConn) dialled() bool { return g.cancel != nil }

// tlsRead is the size of a read buffer beside crypto/tls's own.
const tlsRead = 1 << 10

// readBuffer is the size of g's read buffer.
func (e *goEngine) readBuffer(g *goConn) int {
	if g.tls != nil && g.dialled() {
		return min(e.cfg.ReadBuffer, tlsRead)
	}
	return e.cfg.ReadBuffer
}

// wire is what is read and written.
func (g *goConn) wire() io.ReadWriter {
	if g.tls != nil {
		return g.tls
	}
	return g.nc
}

// shake does the handshake, and lets what was written meanwhile leave. It has a goroutine of its own: a handshake makes the stack twice as large as
// a reader needs it, and so it would stay. Who ends the connection, a deadline say, ends the handshake.
func (l *goLoop) shake(c Conn, gc *goConn) {
	err := gc.tls.Handshake()
	l.inTurn(func() {
		if l.live(c) == nil {
			return
		}
		gc.shaking = false
		if err != nil && !l.plain(c, gc, err) {
			return
		}
		if told, ok := l.h.(Shaker); ok && err == nil {
			told.Shaken(l, c, gc.tls.ConnectionState())
			if l.live(c) == nil {
				return
			}
		}
		if gc.queued.pending() > 0 || gc.bye {
			l.write(c, gc)
		}
		wait := gc.held
		l.e.all.Go(func() { l.reader(c, gc, gc.wire(), wait) })
	})
}

// plain ends a connection whose handshake has failed, except where its peer does not speak TLS at all and the handler has something
// to tell it.
func (l *goLoop) plain(c Conn, gc *goConn, err error) bool {
	var bad tls.RecordHeaderError
	if !gc.dialled() && errors.As(err, &bad) && bad.Conn != nil && l.e.cfg.NotTLS != nil {
		gc.tls = nil
		l.e.cfg.NotTLS(l, c, bad.RecordHeader)
		if r := l.live(c); r == nil || r.state == stateEnding {
			return r != nil
		}
	}
	if err != io.EOF { // nobody said a word
		err = fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	l.Close(c, err)
	return false
}

// sayBye ends our direction of TLS, so that the peer knows that nothing was cut off, and then the socket's. For a peer that takes nothing more
// crypto/tls waits for some seconds; Config.Linger may end that.
func (g *goConn) sayBye() {
	if g.tls != nil {
		g.tls.CloseWrite()
	}
	g.nc.CloseWrite()
}
