package netloop

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
)

// This file is how the goroutine engine dials, holds and aborts; goroutine.go has the rest of what it does with its connections.

// Dial implements Loop.
func (l *goLoop) Dial(to, from netip.AddrPort) (Conn, error) { return l.dial(to, from, nil, 0) }

// DialTLS implements Loop.
func (l *goLoop) DialTLS(to, from netip.AddrPort, cfg *tls.Config) (Conn, error) {
	return l.dial(to, from, cfg, 0)
}

// DialNarrow implements Loop.
func (l *goLoop) DialNarrow(to, from netip.AddrPort, cfg *tls.Config, receive int) (Conn, error) {
	return l.dial(to, from, cfg, receive)
}

// dial starts a connection that speaks TLS as cfg has it, or none where that is nil; receive is its receive buffer, 0 the system's choice.
func (l *goLoop) dial(to, from netip.AddrPort, cfg *tls.Config, receive int) (Conn, error) {
	if l.closed {
		return 0, ErrClosed
	}
	ctx, cancel := context.WithCancel(context.Background())
	gc := &goConn{cancel: cancel}
	c := l.adopt(stateDialing, gc)
	var d net.Dialer
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	if receive > 0 {
		d.Control = narrow(receive)
	}
	l.e.all.Go(func() {
		nc, err := d.DialContext(ctx, "tcp", to.String())
		cancel()
		l.inTurn(func() {
			r := l.live(c)
			switch {
			case r == nil && err == nil:
				nc.Close()
			case r == nil:
			case err != nil:
				l.Close(c, dialError(err))
			default:
				r.state = stateOpen
				gc.outgoing(nc.(*net.TCPConn), cfg)
				l.start(c, gc)
			}
		})
	})
	return c, nil
}

// dialError leaves the system's own words: the caller knows the addresses.
func dialError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// Hold implements Loop.
func (l *goLoop) Hold(c Conn, hold bool) {
	r := l.live(c)
	if r == nil || hold && r.state == stateEnding {
		return
	}
	gc := l.at(c.Slot())
	switch {
	case !hold:
		gc.release()
	case gc.held == nil:
		gc.held = make(chan struct{})
	}
}

// release lets the reader of g go on.
func (g *goConn) release() {
	if g.held != nil {
		close(g.held)
		g.held = nil
	}
}

// pause waits until reading may go on.
func pause(wait <-chan struct{}) {
	if wait != nil {
		<-wait
	}
}

// Abort implements Loop.
func (l *goLoop) Abort(c Conn, err error) {
	if l.live(c) == nil {
		return
	}
	if nc := l.at(c.Slot()).nc; nc != nil {
		_ = nc.SetLinger(0) // or it ends as others do
	}
	l.Close(c, err)
}
