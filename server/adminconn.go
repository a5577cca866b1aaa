package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"cometctl/internal/netloop"
)

// maxDirect bounds the publishers' streams that wait on a thread of their own.
const maxDirect = 16

// adminListener hands out adminConns.
type adminListener struct {
	*net.TCPListener
	direct atomic.Int32 // connections that are direct now
}

// Accept implements net.Listener.
func (l *adminListener) Accept() (net.Conn, error) {
	tc, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &adminConn{Conn: tc, ln: l}, nil
}

// adminConn is a connection of the admin listener. net/http speaks on it; once it carries a publisher's stream, it waits
// in another way than net/http's connections do (netloop.Direct), which net/http need not know.
type adminConn struct {
	net.Conn
	ln *adminListener

	mu     sync.Mutex // held while Conn changes, and by Close
	direct bool
	closed bool
}

type connKey struct{}

// withConn is http.Server.ConnContext: it lets a handler find its connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// goDirect makes the request's connection direct. Only a handler that has not read its body to the end may call it: until
// then nobody but the handler reads or sets deadlines. Where it cannot be done the connection stays as it is.
func goDirect(r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*adminConn)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tc, ok := c.Conn.(*net.TCPConn)
	if !ok || c.direct || c.closed {
		return
	}
	if c.ln.direct.Add(1) > maxDirect {
		c.ln.direct.Add(-1)
		return
	}
	d, err := netloop.Direct(tc)
	if err != nil {
		c.ln.direct.Add(-1)
		return
	}
	c.Conn, c.direct = d, true
}

// Close implements net.Conn.
func (c *adminConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.direct && !c.closed {
		c.ln.direct.Add(-1)
	}
	c.closed = true
	return c.Conn.Close()
}
