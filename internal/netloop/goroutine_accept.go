package netloop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// This file is how the goroutine engine listens, accepts and ends; goroutine.go has its loops and connections.

// Listen implements Engine.
func (e *goEngine) Listen(addr string) (netip.AddrPort, error) {
	lc := net.ListenConfig{Control: listenControl, KeepAlive: -1}
	lc.SetMultipathTCP(false) // Go's default; such a listener does not pass its options on
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return e.listen(ln.(*net.TCPListener))
}

// Inherit implements Engine.
func (e *goEngine) Inherit(f *os.File) (netip.AddrPort, error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen on %s, which was inherited: %w", f.Name(), err)
	}
	tl, ok := ln.(*net.TCPListener)
	if !ok {
		ln.Close()
		return netip.AddrPort{}, fmt.Errorf("listen on %s, which was inherited: it is %s, no TCP socket", f.Name(), ln.Addr().Network())
	}
	raw, err := tl.SyscallConn()
	if err == nil {
		err = listenControl("", "", raw)
	}
	if err != nil {
		tl.Close()
		return netip.AddrPort{}, fmt.Errorf("listen on %s, which was inherited: %w", f.Name(), err)
	}
	return e.listen(tl)
}

// listen accepts what comes to ln, which is the engine's from here on.
func (e *goEngine) listen(tl *net.TCPListener) (netip.AddrPort, error) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		tl.Close()
		return netip.AddrPort{}, ErrClosed
	}
	e.listeners = append(e.listeners, tl)
	e.accepting.Add(1)
	e.mu.Unlock()
	e.all.Go(func() { e.accept(tl) })
	ap := tl.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// accept serves one listener until StopListening has set its deadline and its queue is empty.
func (e *goEngine) accept(ln *net.TCPListener) {
	defer e.accepting.Done()
	defer ln.Close()
	for {
		for e.cfg.Full() {
			if !e.rest() {
				return
			}
		}
		nc, err := ln.AcceptTCP()
		switch {
		case err == nil:
			e.take(nc)
		case errors.Is(err, net.ErrClosed) || isTimeout(err):
			return
		case errors.Is(err, syscall.ECONNABORTED):
		default:
			e.short.failed(err)
			if !e.rest() {
				return
			}
		}
	}
}

// rest waits until accepting is tried again; false: it is not.
func (e *goEngine) rest() bool {
	select {
	case <-time.After(acceptRest):
		return true
	case <-e.stop:
		return false
	}
}

// take makes an established connection one of the next loop's.
func (e *goEngine) take(nc *net.TCPConn) (err error) {
	// Should it fail, nothing but this is missing.
	nc.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: aliveIdle, Interval: aliveAgain, Count: aliveTries})
	l := e.nextLoop()
	l.inTurn(func() {
		if l.closed {
			nc.Close()
			err = ErrClosed
			return
		}
		gc := l.e.incoming(nc)
		l.start(l.adopt(stateOpen, gc), gc)
	})
	return err
}

// Take implements Engine.
func (e *goEngine) Take(fd int) error {
	f := os.NewFile(uintptr(fd), "connection of another process")
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		return err
	}
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		nc.Close()
		return fmt.Errorf("netloop: %s is no TCP connection", f.Name())
	}
	return e.take(tc)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func (e *goEngine) nextLoop() *goLoop {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turnOf++
	return e.loops[e.turnOf%len(e.loops)]
}

// StopListening implements Engine.
func (e *goEngine) StopListening() {
	const empty = 10 * time.Millisecond // how long an accept queue must give nothing to count as empty
	e.mu.Lock()
	for _, ln := range e.listeners {
		ln.SetDeadline(time.Now().Add(empty))
	}
	e.listeners = nil
	if !e.stopped {
		e.stopped = true
		close(e.stop)
	}
	e.mu.Unlock()
	e.accepting.Wait()
}

// Loops implements Engine.
func (e *goEngine) Loops() int { return len(e.loops) }

// PendingTotal implements Engine.
func (e *goEngine) PendingTotal() int64 { return e.total.n.Load() }

// Post implements Engine.
func (e *goEngine) Post(c Conn, b []byte, tag uint64) bool {
	return e.loops[c.Loop()%len(e.loops)].post(c, b, tag)
}

// Flush implements Engine.
func (e *goEngine) Flush() {
	for _, l := range e.loops {
		l.kick()
	}
}

// Do implements Engine.
func (e *goEngine) Do(loop int, f func(Loop)) { e.loops[loop].do(f) }

// Close implements Engine.
func (e *goEngine) Close() error {
	e.once.Do(func() {
		e.mu.Lock()
		e.closed = true
		e.mu.Unlock()
		e.StopListening()
		e.short.close()
		for _, l := range e.loops {
			l.mail.close()
			l.inTurn(func() {
				l.takeTurn() // tells about the last mail
				l.Conns(func(c Conn) bool {
					l.Close(c, ErrClosed)
					return true
				})
				l.closed = true
			})
			l.wakeUp()
		}
		e.all.Wait()
	})
	return nil
}
