package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"cometctl/internal/netloop"
)

// adminPlaces is how many descriptors the admin listener's connections have for themselves: a part of rlimit.Reserve. More
// are borrowed from those that the comet listener does not use just now (the article's hundred generators, each with a
// connection of its own). Who comes when neither is left waits in the accept queue. One that says nothing is cut off after HeadTimeout, an idle one after adminIdle.
const adminPlaces = 48

// maxDirect bounds the publishers' streams that wait on a thread of their own. Each has directFiles more descriptors, so
// that half of the places are left when all of them are there.
const (
	maxDirect   = 8
	directFiles = 2
)

// adminListener hands out adminConns, as many as there are places.
type adminListener struct {
	*net.TCPListener
	places chan struct{}      // holds one for each descriptor in use
	lend   func(n int64) bool // asks for a descriptor of the comet listener's (1), or gives it back (-1)
	full   func()             // told once, when all places are taken
	told   sync.Once
	direct atomic.Int32 // connections that are direct now
	done   chan struct{}
	end    sync.Once
}

func newAdminListener(ln net.Listener, places int, lend func(n int64) bool, full func()) *adminListener {
	return &adminListener{TCPListener: ln.(*net.TCPListener), places: make(chan struct{}, places), lend: lend, full: full,
		done: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *adminListener) Accept() (net.Conn, error) {
	c := &adminConn{ln: l}
	if !l.take(1) {
		if c.borrowed = l.lend(1); !c.borrowed {
			l.told.Do(l.full)
			select {
			case l.places <- struct{}{}:
			case <-l.done:
				return nil, net.ErrClosed
			}
		}
	}
	tc, err := l.AcceptTCP()
	if err != nil {
		c.leavePlace()
		return nil, err
	}
	c.Conn = tc
	return c, nil
}

// take takes n places, or none where so many are not free.
func (l *adminListener) take(n int) bool {
	for i := range n {
		select {
		case l.places <- struct{}{}:
		default:
			l.giveBack(i)
			return false
		}
	}
	return true
}

func (l *adminListener) giveBack(n int) {
	for range n {
		<-l.places
	}
}

// Close implements net.Listener.
func (l *adminListener) Close() error {
	l.end.Do(func() { close(l.done) })
	return l.TCPListener.Close()
}

// adminConn is a connection of the admin listener. net/http speaks on it; once it carries a publisher's stream, it waits
// in another way than net/http's connections do (netloop.Direct), which net/http need not know.
type adminConn struct {
	net.Conn
	ln *adminListener

	mu       sync.Mutex // held while Conn changes, and by Close
	direct   bool
	borrowed bool // its place is one of the comet listener's
	closed   bool
}

func (c *adminConn) leavePlace() {
	if c.borrowed {
		c.ln.lend(-1)
		return
	}
	c.ln.giveBack(1)
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
	if c.ln.direct.Add(1) <= maxDirect && c.ln.take(directFiles) {
		if d, err := netloop.Direct(tc); err == nil {
			c.Conn, c.direct = d, true
			return
		}
		c.ln.giveBack(directFiles)
	}
	c.ln.direct.Add(-1)
}

// Close implements net.Conn.
func (c *adminConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.Conn.Close()
	if c.closed {
		return err
	}
	c.closed = true
	c.leavePlace()
	if c.direct {
		c.ln.direct.Add(-1)
		c.ln.giveBack(directFiles)
	}
	return err
}
