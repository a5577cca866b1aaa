package msggen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/subject"
)

const (
	// natsBatch is how many messages share a look at the connection where they leave together, and natsWrite about how many bytes.
	natsBatch = 256
	natsWrite = 32 << 10

	// natsWindow is how many bytes of a connection may be unconfirmed before a further message waits, and natsPiece after how many
	// a confirmation is asked for. It is what sockets hold without anybody reading at the other end. With more under way there is a
	// deadlock: nats.go holds its lock while it writes, needs it to read a PONG, and so reads nothing while a write blocks; the
	// server, which has a word for us about each message that nobody wanted, blocks as well, and reads nothing either.
	natsWindow = 128 << 10
	natsPiece  = natsWindow / 4
	natsBuffer = 2 * natsWindow // of the socket: asked for, as systems begin with less

	// Up to so many messages per second of a worker each leave in a write of their own, at once. Faster ones share writes: they
	// would be late by waiting for each other.
	natsThrough = 20_000

	// How often what was written is confirmed: a break leaves no more than that unconfirmed, and a PING costs next to nothing.
	natsAge      = 100 * time.Millisecond
	natsPatience = 8 * time.Second // for the server's PONG
)

// natsPublisher sends a worker's share of the messages to the subjects of their ids. It belongs to the goroutine of work, but for
// what acks shares with a goroutine that confirms, and for callbacks of nats.go, which touch counters only.
//
// A message that nats.go has taken counts as sent: it is on the socket, or about to be. One that it has not taken stays, with its
// number and its due time, and is offered to the next connection. No message is ever offered twice.
type natsPublisher struct {
	*worker
	nc      *nats.Conn
	reports *nats.Subscription // NATS's word for each message that nobody wanted
	reply   string             // of each message: where that word goes
	through bool               // each message leaves in a write of its own
	started atomic.Bool        // Ctrl-C ends attempts to connect only before the first message
	closing atomic.Bool
	ended   chan struct{} // closed by nats.go's last callback
	denied  atomic.Uint64 // messages that NATS did not let us publish; it confirms them all the same
	news    chan struct{} // holds a token after a confirmation or a new connection

	made    bool // the next message has its id, number and due time; text says besides how late it is, anew with each attempt
	subject string
	seq     uint64
	dueAt   time.Duration
	text    []byte

	acks    acks
	full    chan struct{} // holds a token when a piece is full
	done    chan struct{} // closed when nothing more will be written
	confirm sync.WaitGroup
}

// acks counts the messages of one connection, the current one: those of connections before it are settled, as confirmed or not.
type acks struct {
	mu   sync.Mutex
	conn uint64 // its number
	open load   // written and not confirmed
}

// load is messages and their bytes.
type load struct{ messages, bytes uint64 }

// write counts what left on a connection.
func (a *acks) write(conn uint64, l load) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if conn != a.conn {
		a.conn, a.open = conn, load{}
	}
	a.open.messages += l.messages
	a.open.bytes += l.bytes
}

func (a *acks) now() (conn uint64, open load) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conn, a.open
}

// take notes that what was open before is confirmed.
func (a *acks) take(conn uint64, l load) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if conn == a.conn {
		a.open.messages -= l.messages
		a.open.bytes -= l.bytes
	}
}

// inTurn is in which order a worker tries the servers: each begins with another, so that workers are spread over them.
func inTurn(urls []string, worker uint64) []string {
	first := worker % uint64(len(urls))
	return slices.Concat(urls[first:], urls[:first])
}

// newNATSPublisher makes the publisher of w and connects it.
func newNATSPublisher(w *worker) (sender, error) {
	r := w.run
	p := &natsPublisher{worker: w, reply: subject.Reply(r.origin, subject.Void) + ".0", news: make(chan struct{}, 1),
		full: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{})}
	p.through = !r.unlimited && r.cfg.peak() <= natsThrough*float64(r.workers)
	cfg := r.cfg.NATS
	cfg.URLs, cfg.Once, cfg.Dial, cfg.WriteThrough = inTurn(natsURLs(r.cfg.To), w.index), true, p.dial, p.through
	var err error
	if p.nc, err = broker.Connect(cfg); err != nil {
		return nil, err
	}
	p.listen()
	if p.reports, err = p.nc.Subscribe(subject.Reply(r.origin, subject.Void)+".*", p.reported); err == nil {
		err = p.ping()
	}
	if denied := p.nc.LastError(); err == nil && errors.Is(denied, nats.ErrPermissionViolation) {
		err = denied
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// listen sets what nats.go calls when something happens to the connection.
func (p *natsPublisher) listen() {
	p.nc.SetReconnectHandler(func(*nats.Conn) {
		if p.connection() > 0 { // the first one is told of too
			p.run.reconnects.Add(1)
		}
		poke(p.news)
	})
	p.nc.SetDisconnectErrHandler(func(nc *nats.Conn, err error) {
		if err == nil {
			err = errHungUp
		}
		if !p.closing.Load() {
			p.run.broke(fmt.Errorf("NATS: %w", err))
		}
	})
	p.nc.SetClosedHandler(func(nc *nats.Conn) {
		if !p.closing.Load() && p.run.hard.Err() == nil {
			p.run.fail(fmt.Errorf("NATS ended the connection for good: %v", nc.LastError()))
		}
		close(p.ended)
	})
	p.nc.SetErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
		switch {
		case errors.Is(err, nats.ErrSlowConsumer): // what it dropped is counted in the end
		case errors.Is(err, net.ErrClosed): // why it was closed is said elsewhere
		case errors.Is(err, nats.ErrPermissionViolation):
			p.denied.Add(1)
			p.run.fail(err)
		default:
			p.run.broke(fmt.Errorf("NATS: %w", err))
		}
	})
}

// reported counts what NATS says of a message that nobody wanted.
func (p *natsPublisher) reported(m *nats.Msg) {
	if broker.NoResponders(m) {
		p.run.offline.Add(1)
	}
}

// connection is the number of the current connection. It changes before anything can be written to the next one.
func (p *natsPublisher) connection() uint64 { return p.nc.Stats().Reconnects }

// ping returns nil when the server has handled all that was written before.
func (p *natsPublisher) ping() error {
	ctx, cancel := context.WithTimeout(p.run.hard, natsPatience)
	defer cancel()
	return p.nc.FlushWithContext(ctx)
}

// work sends the worker's events until there are no more and all are answered for, or the run ends.
func (p *natsPublisher) work() {
	defer p.finish()
	p.started.Store(true)
	p.confirm.Go(p.confirmPieces)
	end := never // of waiting for what the connection does
	if p.run.unlimited {
		end = p.run.end
	}
	for !p.run.stopping() && !p.over() {
		switch {
		case p.ahead():
			before := p.run.elapsed()
			p.wait.listen(end, p.news, p.run.soft.Done())
			p.blocked += p.run.elapsed() - before
		case p.send():
		case p.broke != nil:
			p.wait.listen(end, p.news, p.run.soft.Done())
		default:
			p.wait.until(p.due(p.next), never, p.news)
		}
	}
}

// ahead tells whether too much is unconfirmed to go on, and asks for its confirmation. What an earlier connection left
// unconfirmed stays so.
func (p *natsPublisher) ahead() bool {
	conn, open := p.acks.now()
	if open.bytes < natsPiece || conn != p.connection() {
		return false
	}
	poke(p.full)
	return open.bytes >= natsWindow
}

// send sends what is due, up to a batch, and tells whether there was anything.
func (p *natsPublisher) send() bool {
	now, most := p.run.elapsed(), natsBatch
	if p.through {
		most = 1
	}
	if !p.made {
		p.begun = now
	}
	conn := p.connection()
	taken, wrote := 0, load{}
	for taken < most && wrote.bytes < natsWrite && p.make(now) {
		err := p.nc.PublishRequest(p.subject, p.reply, p.text)
		if errors.Is(err, nats.ErrMaxPayload) {
			p.refuse()
		} else if err != nil {
			p.broke = err
			break
		} else {
			wrote.messages++
			wrote.bytes += uint64(len(p.subject) + len(p.reply) + len(p.text) + len("PUB   100\r\n\r\n"))
		}
		p.made = false
		p.next++
		taken++
	}
	if taken == 0 {
		return false
	}
	p.broke = nil
	p.last = p.run.elapsed()
	p.hinder(p.last - now)
	p.acks.write(conn, wrote)
	p.run.sent(p.worker, p.next-uint64(taken), taken)
	return true
}

// make makes the next message if it is due.
func (p *natsPublisher) make(now time.Duration) bool {
	c, n := &p.compose, p.event(p.next)
	if !p.made {
		if p.next >= p.share {
			return false
		}
		p.dueAt = p.begun
		if !p.run.unlimited {
			if p.dueAt = p.due(p.next); p.dueAt > now {
				return false
			}
		}
		id := c.choose.draw(n)
		c.id = appendID(c.id[:0], id+1)
		p.subject, p.seq, p.made = subject.Of(c.id), c.seqs.next(id), true
	}
	p.text = c.appendMessage(p.text[:0], c.id, n+1, p.seq, p.run.epoch+int64(p.dueAt), now-p.dueAt)
	return true
}

// refuse counts a message that is larger than NATS takes.
func (p *natsPublisher) refuse() {
	if p.run.bad.Add(1) == 1 {
		p.run.broke(fmt.Errorf("NATS takes messages of up to %d bytes, and this one has %d: give a smaller --size, or raise its max_payload",
			p.nc.MaxPayload(), len(p.text)))
	}
}

// confirmPieces confirms what was written, every natsAge and whenever a piece is full.
func (p *natsPublisher) confirmPieces() {
	t := time.NewTicker(natsAge)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-p.full:
		case <-p.done:
			return
		}
		p.confirmAll()
	}
}

// confirmAll waits for a PONG behind what was written, and counts that as accepted. Only a PONG of the same connection counts: its
// PING stood behind those messages and no others were lost between.
func (p *natsPublisher) confirmAll() {
	conn, open := p.acks.now()
	if open.messages == 0 || conn != p.connection() {
		return
	}
	if p.ping() != nil || conn != p.connection() {
		return
	}
	p.acks.take(conn, open)
	p.run.accepted.Add(open.messages)
	poke(p.news)
}

// finish waits for the last confirmation, unless the connection that could give it is gone, and for NATS's last words.
func (p *natsPublisher) finish() {
	close(p.done)
	p.confirm.Wait()
	for p.run.hard.Err() == nil && p.nc.IsConnected() {
		conn, open := p.acks.now()
		if open.messages == 0 || conn != p.connection() {
			break
		}
		p.confirmAll()
	}
	counted := make(chan struct{})
	if p.nc.Barrier(func() { close(counted) }) == nil {
		<-counted
	}
	if p.run.hard.Err() != nil {
		p.run.broke(context.Cause(p.run.hard))
	}
	if p.broke == nil && !p.nc.IsConnected() {
		p.broke = broker.ErrDisconnected
	}
}

// close ends the connection. What NATS complained of is counted when it returns.
func (p *natsPublisher) close() {
	p.closing.Store(true)
	p.nc.Close()
	select {
	case <-p.ended:
	case <-time.After(time.Second): // it had ended before there was a callback
	}
}
