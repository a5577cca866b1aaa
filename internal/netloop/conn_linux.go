package netloop

import (
	"io"
	"net/netip"
	"os"
	"syscall"

	"cometctl/internal/slab"
	"golang.org/x/sys/unix"
)

// This file is what an epoll loop does with its connections; epoll_linux.go has the loop itself.

const (
	readable = unix.EPOLLIN | broken
	broken   = unix.EPOLLHUP | unix.EPOLLERR
)

// event handles one readiness event. The slot may have been freed, or serve another connection, since the kernel queued
// the event: the generation tells.
func (l *eloop) event(ev *unix.EpollEvent) {
	slot, gen := uint32(ev.Fd), uint32(ev.Pad)
	switch {
	case slot >= slotListener:
		l.accept(int(slot - slotListener))
		return
	case slot == slotWake:
		var b [8]byte
		sysRead(int32(l.evfd), b[:])
		return
	}
	r := l.recs.At(slot)
	if r.gen != gen || r.state == stateFree {
		return
	}
	if r.state == stateDialing {
		if !l.connected(slot, r) {
			return
		}
	}
	// Writing first would shorten nothing: reading can only add output. Reading comes before hang-up is judged, because
	// the peer's last bytes may stand in the queue behind it.
	switch {
	case ev.Events&readable == 0:
	case r.flags&flagHeld == 0:
		l.read(slot)
	case ev.Events&broken != 0: // it cannot be asked for otherwise, nor not asked for
		l.Close(l.conn(slot), heldError(r.fd))
	}
	if r.gen == gen && ev.Events&unix.EPOLLOUT != 0 && r.out&backlogBit != 0 {
		l.drain(slot)
	}
}

// connected ends the dial of a connection: true when it stands.
func (l *eloop) connected(slot slab.Slot, r *record) bool {
	if e := socketError(r.fd); e != 0 {
		l.Close(l.conn(slot), os.NewSyscallError("connect", e))
		return false
	}
	l.watch(slot, unix.EPOLLIN)
	r.state = stateOpen
	c := l.conn(slot)
	l.h.Opened(l, c)
	return l.live(c) != nil
}

// openFresh tells about the dials that stood at once. Their handlers may dial again.
func (l *eloop) openFresh() {
	for i := 0; i < len(l.fresh); i++ {
		if l.live(l.fresh[i]) != nil {
			l.h.Opened(l, l.fresh[i])
		}
	}
	l.fresh = l.fresh[:0]
}

func (l *eloop) watch(slot slab.Slot, events uint32) {
	r := l.recs.At(slot)
	if r.flags&flagHeld != 0 {
		events &^= unix.EPOLLIN
	}
	sysEpollCtl(l.ep, unix.EPOLL_CTL_MOD, r.fd, events, slot, r.gen)
}

// read takes what has arrived, once: with level-triggered events the rest comes in the next turn, after the others.
func (l *eloop) read(slot slab.Slot) {
	r := l.recs.At(slot)
	n, e := sysRead(r.fd, l.buf)
	c := l.conn(slot)
	if e == 0 {
		l.in += n
	}
	switch {
	case e == unix.EAGAIN || e == unix.EINTR:
	case e != 0:
		l.Close(c, os.NewSyscallError("read", e))
	case n == 0 && r.state == stateEnding && r.out != 0:
		r.flags |= flagPeerEOF // it may still read; an end of file stays readable, so do not ask for it again
		l.watch(slot, unix.EPOLLOUT)
	case n == 0:
		l.Close(c, io.EOF)
	case r.state == stateOpen:
		l.h.Readable(l, c, l.buf[:n])
	}
}

// adopt gives a socket a record and puts it into the epoll set.
func (l *eloop) adopt(fd int32, st state) (Conn, error) {
	slot := l.alloc(st)
	r := l.recs.At(slot)
	r.fd = fd
	if e := sysEpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN, slot, r.gen); e != 0 {
		l.release(slot)
		sysClose(fd)
		return 0, os.NewSyscallError("epoll_ctl", e) // ENOSPC: fs.epoll.max_user_watches; ENOMEM
	}
	return l.conn(slot), nil
}

// Write implements Loop.
func (l *eloop) Write(c Conn, b []byte, tag uint32) bool {
	r := l.live(c)
	if r == nil || r.state != stateOpen {
		return false
	}
	if l.full(r, len(b)) {
		// What is pending may be so only because the turn is not over: give the kernel its chance before refusing.
		if l.pushNow(c.Slot(), r) != 0 || l.full(r, len(b)) {
			return false
		}
	}
	l.queue(r, c.Slot(), b, tag)
	return true
}

// full tells that n bytes more would be too many, for the connection or for all of them together.
func (l *eloop) full(r *record, n int) bool {
	pending := l.pending(r)
	return pending > 0 && pending+n > l.cfg.MaxPending || r.out&backlogBit != 0 && l.held.of.tight()
}

// queue puts output behind what is pending.
func (l *eloop) queue(r *record, slot slab.Slot, b []byte, tag uint32) {
	if r.out&backlogBit != 0 {
		g := l.backlogs.get(r.out)
		g.add(&l.blocks, b, tag, l.takeStamp(tag))
		l.held.hold(&g.holding, g.room(), false)
		return
	}
	if r.out == 0 {
		l.stage.dirty = append(l.stage.dirty, slot)
	}
	r.out = l.stage.add(r.out, b, tag, l.takeStamp(tag))
}

// Peer implements Loop.
func (l *eloop) Peer(c Conn) netip.AddrPort {
	if r := l.live(c); r != nil {
		return sysPeer(r.fd)
	}
	return netip.AddrPort{}
}

// Pending implements Loop.
func (l *eloop) Pending(c Conn) int {
	if r := l.live(c); r != nil {
		return l.pending(r)
	}
	return 0
}

func (l *eloop) pending(r *record) int {
	switch {
	case r.out == 0:
		return 0
	case r.out&backlogBit != 0:
		return l.backlogs.get(r.out).pending()
	}
	return int(l.stage.parts[r.out-1].total)
}

// flush writes what the turn has staged: one system call for each connection. Handlers that are told so may write again.
func (l *eloop) flush() {
	l.tell(0)
	for i := 0; i < len(l.stage.dirty); i++ {
		slot := l.stage.dirty[i]
		r := l.recs.At(slot)
		if r.out == 0 || r.out&backlogBit != 0 {
			continue // closed, or written early
		}
		c := l.conn(slot)
		if e := l.push(slot); e != 0 {
			l.Close(c, os.NewSyscallError("write", e))
		}
		l.tell(0)
		l.settle(c)
	}
	l.stage.reset()
}

// push writes a connection's staged bytes, makes what the kernel did not take its backlog, and notes the tags of the
// writes that left whole. On an error everything stays staged.
func (l *eloop) push(slot slab.Slot) syscall.Errno {
	r := l.recs.At(slot)
	buf := l.stage.gather(r.out, &l.scratch)
	n, e := sysSend(r.fd, buf)
	if e == unix.EAGAIN || e == unix.EINTR {
		n, e = 0, 0
	}
	if e != 0 {
		return e
	}
	l.out += n
	c, staged := l.conn(slot), r.out
	r.out = 0
	var b *heldBacklog
	l.stage.each(staged, func(p *part) {
		if n >= int(p.n) && b == nil {
			n -= int(p.n)
			l.wrote(c, p.tag, p.at)
			return
		}
		if b == nil {
			r.out = l.backlogs.take()
			b = l.backlogs.get(r.out)
			b.c = c
		}
		b.add(&l.blocks, l.stage.bytes[p.off+uint32(n):p.off+p.n], p.tag, p.at)
		n = 0
	})
	if b != nil {
		l.held.hold(&b.holding, b.room(), false)
		l.watch(slot, unix.EPOLLIN|unix.EPOLLOUT)
	}
	return 0
}

// pushNow writes what is pending of a connection, whatever it is, without telling anybody. Who has a backlog has not read for a while: a block
// tells whether it does now.
func (l *eloop) pushNow(slot slab.Slot, r *record) syscall.Errno {
	if r.out&backlogBit != 0 {
		return l.pushBacklog(slot, 1)
	}
	return l.push(slot)
}

// backlogSend is how much of a backlog is offered at once: more than the kernel takes of who has one, mostly.
const backlogSend = 64 << 10

// pushBacklog goes on with a backlog, whose first bytes it offers: mostly so many, or a block. On an error what has not left stays.
func (l *eloop) pushBacklog(slot slab.Slot, mostly int) syscall.Errno {
	r := l.recs.At(slot)
	b, c := l.backlogs.get(r.out), l.conn(slot)
	n := 0
	for b.pending() > 0 {
		l.scratch = b.gather(l.scratch[:0], mostly)
		k, e := sysSend(r.fd, l.scratch)
		if e == unix.EAGAIN || e == unix.EINTR {
			break
		}
		if e != 0 {
			return e
		}
		n, l.out = n+k, l.out+k
		b.advance(&l.blocks, k, func(tag, at uint32) { l.wrote(c, tag, at) })
		if k < len(l.scratch) {
			break
		}
		mostly = backlogSend
	}
	if b.pending() == 0 {
		l.held.hold(&b.holding, 0, false)
		l.backlogs.giveBack(r.out)
		r.out = 0
		l.watch(slot, unix.EPOLLIN)
	} else if n > 0 {
		l.held.hold(&b.holding, b.room(), true)
	}
	return 0
}

// drain goes on with a backlog when the kernel says that it takes more.
func (l *eloop) drain(slot slab.Slot) {
	c := l.conn(slot)
	if e := l.pushBacklog(slot, backlogSend); e != 0 {
		l.Close(c, os.NewSyscallError("write", e))
		return
	}
	l.tell(0)
	l.settle(c)
}

// sendLast, pendingAt and halfClose are how this engine does what ending.go decides.
func (l *eloop) sendLast(slot slab.Slot, b []byte) { l.queue(l.recs.At(slot), slot, b, 0) }

func (l *eloop) pendingAt(slot slab.Slot) int { return l.pending(l.recs.At(slot)) }

func (l *eloop) halfClose(slot slab.Slot) bool {
	sysShutdown(l.recs.At(slot).fd)
	return true // of a peer that is gone the next read tells
}

// Close implements Loop.
func (l *eloop) Close(c Conn, err error) {
	if l.live(c) == nil {
		return
	}
	l.tell(c)
	r := l.live(c)
	if r == nil {
		return
	}
	unsent := l.unsent[:0]
	l.unsent = nil // the handler may close another connection meanwhile
	switch {
	case r.out&backlogBit != 0:
		b := l.backlogs.get(r.out)
		for _, p := range b.ends {
			unsent = append(unsent, p.tag)
		}
		l.held.hold(&b.holding, 0, false)
		b.clear(&l.blocks)
		l.backlogs.giveBack(r.out)
	case r.out != 0:
		l.stage.each(r.out, func(p *part) { unsent = append(unsent, p.tag) })
	}
	sysClose(r.fd) // leaves the epoll set with it
	l.release(c.Slot())
	l.end(c, err, unsent)
	l.unsent = unsent
}
