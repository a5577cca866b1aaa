package msggen

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// pipe carries requests of one message each: up to depth of them wait for their answers on a connection that is kept, and
// replaced when it ends. All of it belongs to its publisher's goroutine, but for the attempts to connect.
type pipe struct {
	run  *run
	w    *worker
	quit context.Context // ends attempts to connect
	news chan struct{}   // the publisher's
	most int             // requests without an answer, at most
	x    *exchange       // nil while there is no connection

	queue   []request // made and not answered, oldest first
	written int       // of those, how many x has
	taken   uint64    // answers of x that are booked here
	buf     []byte    // buf[start:] are the bytes of queue: kept until the answer, as they may have to be written again
	start   int
	once    bool // the server ends each connection after one answer

	dialing bool
	dialed  chan dialed
	dialers sync.WaitGroup
	backoff time.Duration // before the next attempt to connect
	broke   error         // why there is no connection, unless the last one ended in order
}

// request is one message on its way.
type request struct {
	id   uint64
	due  time.Duration
	end  int  // where its bytes end in the pipe's buf
	sent bool // its last byte was written, and it was counted
}

// dialed is what became of an attempt to connect.
type dialed struct {
	conn net.Conn
	err  error
}

// depth is how many requests may wait for their answers at this time.
func (p *pipe) depth() int {
	if p.once {
		return 1
	}
	return p.most
}

// room tells whether another request would be written at once.
func (p *pipe) room() bool { return p.x != nil && len(p.queue) < p.depth() }

// holds tells whether a message to the id waits for its answer here: another one must go the same way to keep its place.
func (p *pipe) holds(id uint64) bool {
	for i := range p.queue {
		if p.queue[i].id == id {
			return true
		}
	}
	return false
}

// ready tells whether there is something to write and leave to write it.
func (p *pipe) ready() bool { return p.x != nil && p.written < min(len(p.queue), p.depth()) }

// stuck tells whether requests wait for leave to be written.
func (p *pipe) stuck() bool { return p.written < len(p.queue) }

// write writes what there is leave for, in one write. What did not leave whole stays; all else counts as sent, as the
// server may have it.
func (p *pipe) write() {
	last := min(len(p.queue), p.depth())
	from := p.offset(p.written)
	p.x.asked.Store(p.taken + uint64(last))
	before := p.run.elapsed()
	n, err := p.x.conn.Write(p.buf[from:p.offset(last)])
	p.w.hinder(p.run.elapsed() - before)
	whole := p.written
	for whole < last && p.queue[whole].end <= from+n {
		whole++
	}
	p.left(whole)
	if err != nil {
		p.lose(err)
	}
}

// offset is where request i of the queue begins in buf.
func (p *pipe) offset(i int) int {
	if i == 0 {
		return p.start
	}
	return p.queue[i-1].end
}

// left notes that the requests before the given one have left just now, and counts those that had not before.
func (p *pipe) left(before int) {
	if before > p.written {
		p.w.last = p.run.elapsed()
		p.run.sentRequests(p.queue[p.written:before], p.w.last)
		p.written = before
	}
}

// tend books the answers that have come and looks after the connection; needed tells that there will be more to send.
func (p *pipe) tend(needed bool) {
	if p.x != nil {
		ended := p.x.ended() // first: no answer comes after it
		p.book()
		if ended {
			p.lose(nil)
		}
	}
	if p.x != nil || !needed && len(p.queue) == 0 {
		return
	}
	if !p.dialing {
		p.dial()
		return
	}
	select {
	case d := <-p.dialed:
		p.dialing = false
		if p.broke = d.err; d.err != nil {
			p.run.broke(d.err)
			p.backoff = longer(p.backoff)
			p.dial()
			return
		}
		p.take(d.conn)
		p.run.reconnects.Add(1)
	default:
	}
}

// take goes on with a new connection.
func (p *pipe) take(conn net.Conn) {
	p.x, p.taken, p.written = newExchange(p.run, conn, p.news), 0, 0
}

// book takes the requests that were answered from the queue.
func (p *pipe) book() {
	n := int(p.x.answered.Load() - p.taken)
	if n == 0 {
		return
	}
	p.taken += uint64(n)
	if p.taken > 1 {
		p.once = false
	}
	p.left(max(n, p.written)) // a server may answer what has not left whole
	p.drop(n)
}

// drop takes the first n requests from the queue, and their bytes from buf where that is worth it.
func (p *pipe) drop(n int) {
	if n == 0 {
		return
	}
	p.start = p.queue[n-1].end
	p.queue = p.queue[:copy(p.queue, p.queue[n:])]
	p.written -= n
	if p.start > len(p.buf)/2 {
		p.buf = p.buf[:copy(p.buf, p.buf[p.start:])]
		for i := range p.queue {
			p.queue[i].end -= p.start
		}
		p.start = 0
	}
}

// lastWords is how long what a server may have said before it hung up is waited for.
const lastWords = 50 * time.Millisecond

// lose takes leave of the connection; err is what writing to it said, nil where its reader has ended. The reader goes
// first: answers may lie in front of the end that the writer has found.
//
// A server that announces the end of a connection takes nothing behind the answer that said so (RFC 9112 section 9.6):
// what was written there is written again, once there is another connection. After any other end, what was written and
// not answered is not sent again: the server may have acted on it.
func (p *pipe) lose(err error) {
	x := p.x
	_ = x.conn.SetReadDeadline(time.Now().Add(lastWords)) // a connection that is closed already has ended its reader
	<-x.done
	p.book()
	if err == nil || !errors.Is(x.err, os.ErrDeadlineExceeded) {
		err = x.err
	}
	if p.run.hard.Err() != nil {
		err = context.Cause(p.run.hard)
	}
	orderly := x.announced || p.taken > 0 && err == errHungUp && p.written == 0
	switch {
	case x.announced:
		p.once = p.taken == 1
		p.run.resent.Add(uint64(p.written))
	default:
		p.drop(p.written)
	}
	if p.broke = nil; !orderly {
		p.broke = err
		p.run.broke(err)
	}
	switch {
	case orderly:
		p.backoff = 0
	case p.taken > 0:
		p.backoff = minBackoff
	default:
		p.backoff = longer(p.backoff)
	}
	p.x, p.written, p.taken = nil, 0, 0
}

// forget drops what was never sent.
func (p *pipe) forget() {
	for n := len(p.queue); n > 0 && !p.queue[n-1].sent; n-- {
		p.queue = p.queue[:n-1]
		p.buf = p.buf[:p.offset(n-1)]
	}
}

// longer is the back-off that follows d.
func longer(d time.Duration) time.Duration { return min(max(2*d, minBackoff), maxBackoff) }

// dial starts an attempt to connect, after the back-off.
func (p *pipe) dial() {
	p.dialing = true
	wait := p.backoff
	p.dialers.Go(func() {
		d := dialed{err: sleepFor(p.quit, wait)}
		if d.err == nil {
			d.conn, d.err = p.run.cfg.Dial(p.quit, "tcp", p.run.addr)
		}
		p.dialed <- d
		poke(p.news)
	})
}

// sleepFor waits for d, and returns ctx's error if that ends first.
//
// Without anything to wait for it makes no timer: with the race detector, timers of one synctest bubble that are due when they
// are made and that several goroutines wait for at once crash the runtime of Go 1.26.
func sleepFor(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends everything. No attempt to connect is under way afterwards: the context of them all has ended.
func (p *pipe) close() {
	p.dialers.Wait()
	if p.dialing {
		if d := <-p.dialed; d.conn != nil {
			d.conn.Close()
		}
		p.dialing = false
	}
	if p.x != nil {
		p.x.close()
	}
}
