package netloop

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// This file is how the epoll engine listens, accepts and ends.

// Listen implements Engine: one listening socket a loop, in one SO_REUSEPORT group.
func (e *epollEngine) Listen(addr string) (netip.AddrPort, error) {
	want, err := resolve(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	fds, bound, err := listenGroup(want, len(e.loops))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return bound, e.listen(fds)
}

// listen gives each loop the listening socket of its index.
func (e *epollEngine) listen(fds []int32) (err error) {
	for i, l := range e.loops {
		l.turn.enter()
		if l.closed {
			sysClose(fds[i])
			err = ErrClosed
		} else {
			l.listeners = append(l.listeners, fds[i])
			l.watchListener(len(l.listeners)-1, unix.EPOLL_CTL_ADD)
		}
		l.leave(false)
	}
	return err
}

// Inherit implements Engine: the loops share the one socket.
func (e *epollEngine) Inherit(f *os.File) (netip.AddrPort, error) {
	fds, bound, err := inheritListener(f, len(e.loops))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen on %s, which was inherited: %w", f.Name(), err)
	}
	return bound, e.listen(fds)
}

// Take implements Engine: the loops take turns.
func (e *epollEngine) Take(fd int) (err error) {
	l := e.loops[int(e.taken.Add(1))%len(e.loops)]
	l.turn.enter()
	if l.closed {
		sysClose(int32(fd))
		err = ErrClosed
	} else {
		l.now = l.clock()
		var c Conn
		if c, err = l.adopt(int32(fd), stateOpen); err == nil {
			l.h.Opened(l, c)
			l.borrowed() // what Opened has written leaves, and its deadline is seen
		}
	}
	l.leave(false)
	return err
}

// watchListener asks for one loop's wake-up a connection, where several loops have the same socket.
func (l *eloop) watchListener(i, op int) {
	sysEpollCtl(l.ep, op, l.listeners[i], unix.EPOLLIN|unix.EPOLLEXCLUSIVE, slotListener+uint32(i), 0)
}

// accept takes connections until the queue is empty or others have waited long enough. No error here ends the server:
// a connection that died in the queue is the next one's turn, and a lack of descriptors or memory is waited out.
func (l *eloop) accept(i int) {
	for range acceptBatch {
		if i >= len(l.listeners) || l.listeners[i] < 0 {
			return
		}
		if l.cfg.Full() {
			l.pauseListeners()
			return
		}
		fd, e := sysAccept(int(l.listeners[i]))
		switch e {
		case 0:
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			l.short.failed(e)
			l.pauseListeners()
			return
		default: // EINTR, ECONNABORTED, EPERM of a firewall, network errors pending on the new socket: accept(2)
			continue
		}
		c, err := l.adopt(int32(fd), stateOpen)
		if err != nil {
			l.short.failed(err)
			l.pauseListeners()
			return
		}
		l.h.Opened(l, c)
	}
}

// pauseListeners stops asking for connections for a while: level-triggered, a listener that cannot accept would spin.
func (l *eloop) pauseListeners() {
	for i, fd := range l.listeners {
		if fd >= 0 {
			l.watchListener(i, unix.EPOLL_CTL_DEL)
		}
	}
	l.resume = l.now + acceptRest
}

func (l *eloop) restartListeners() {
	if l.resume == 0 || l.now < l.resume {
		return
	}
	l.resume = 0
	for i, fd := range l.listeners {
		if fd >= 0 {
			l.watchListener(i, unix.EPOLL_CTL_ADD)
		}
	}
}

// StopListening implements Engine.
func (e *epollEngine) StopListening() {
	e.inEach(func(l *eloop) { l.stopListening() })
}

// stopListening empties the accept queue first: a listener that closes resets what waits in it.
func (l *eloop) stopListening() {
	for i := range l.listeners {
		for n := somaxconn(); n > 0 && l.listeners[i] >= 0; n -= acceptBatch {
			l.accept(i)
		}
		if l.listeners[i] >= 0 {
			sysClose(l.listeners[i])
			l.listeners[i] = -1
		}
	}
	l.resume = 0
}

// inEach runs f in a turn of every loop and waits for all.
func (e *epollEngine) inEach(f func(*eloop)) {
	for _, l := range e.loops {
		l.turn.enter()
		if !l.closed {
			l.now = l.clock()
			f(l)
		}
		l.leave(false)
		l.wakeUp()
	}
}

// Loops implements Engine.
func (e *epollEngine) Loops() int { return len(e.loops) }

// PendingTotal implements Engine.
func (e *epollEngine) PendingTotal() int64 { return e.total.n.Load() }

// Post implements Engine.
func (e *epollEngine) Post(c Conn, b []byte, tag uint64) bool {
	return e.loops[c.Loop()%len(e.loops)].post(c, b, tag)
}

// Flush implements Engine.
func (e *epollEngine) Flush() {
	for _, l := range e.loops {
		l.kick()
	}
}

// Do implements Engine.
func (e *epollEngine) Do(loop int, f func(Loop)) { e.loops[loop].do(f) }

// Close implements Engine.
func (e *epollEngine) Close() error {
	e.once.Do(func() {
		e.StopListening()
		e.short.close()
		for _, l := range e.loops {
			l.mail.close()
		}
		e.inEach((*eloop).shut)
		e.done.Wait()
		for _, l := range e.loops {
			l.free()
		}
	})
	return nil
}

// shut delivers the last mail, so that each post is told about once, and ends every connection.
func (l *eloop) shut() {
	l.takeTurn(nil)
	l.Conns(func(c Conn) bool {
		l.Close(c, ErrClosed)
		return true
	})
	l.stage.reset()
	l.closed = true
}
