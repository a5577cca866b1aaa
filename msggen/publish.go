package msggen

import (
	"context"
)

// publisher sends a worker's share of the messages to a server that takes one in each request. It belongs to the
// goroutine of work.
//
// A message is made when it is due and there is leave to write it: until then it stays with the schedule, as the events
// do that are not due yet. So a server that falls behind costs no memory, and its messages are late, not lost.
type publisher struct {
	*worker
	pipes []*pipe
	news  chan struct{} // holds a token after an answer, the end of a connection, or an attempt to connect
	quit  context.CancelFunc

	id     uint64 // whom the next message goes to, where drawn
	drawn  bool
	waits  bool // a message is due and there is no leave to write it
	ending bool // the run shall stop: nothing new is made
	sheet  sheet
	text   []byte // scratch: the message
}

// newPublisher makes the publisher of w and opens its connections.
func newPublisher(w *worker) (sender, error) {
	r := w.run
	p := &publisher{worker: w, news: make(chan struct{}, 1)}
	var ctx context.Context
	ctx, p.quit = context.WithCancel(r.hard)
	all := uint64(r.cfg.connections())
	n := all / r.workers
	if w.index < all%r.workers {
		n++
	}
	for range n {
		conn, err := r.cfg.Dial(r.soft, "tcp", r.addr)
		if err != nil {
			p.close()
			return nil, err
		}
		pipe := &pipe{run: r, w: w, quit: ctx, news: p.news, most: r.cfg.pipeline(), dialed: make(chan dialed, 1)}
		pipe.take(conn)
		p.pipes = append(p.pipes, pipe)
	}
	return p, nil
}

// work sends the worker's events until there are no more and all are answered for, or the run ends.
func (p *publisher) work() {
	defer p.close()
	for p.run.hard.Err() == nil {
		if p.run.stopping() && !p.ending {
			p.ending = true
			for _, q := range p.pipes {
				q.forget()
			}
		}
		for _, q := range p.pipes {
			q.tend(!p.over())
		}
		p.make()
		if p.flush() {
			continue
		}
		if p.over() && p.idle() {
			return
		}
		p.pause()
	}
}

// over tells whether nothing new is to be made.
func (p *publisher) over() bool {
	return p.ending || p.worker.over()
}

// idle tells whether every request is answered for.
func (p *publisher) idle() bool {
	for _, q := range p.pipes {
		if len(q.queue) > 0 {
			return false
		}
	}
	return true
}

// make makes the messages that are due, as far as there is leave to write them, and not more than one write should take.
func (p *publisher) make() {
	p.waits = false
	if p.over() {
		return
	}
	now := p.run.elapsed()
	due := now
	for made := 0; p.next < p.share && made < chunkBytes; p.next++ {
		n := p.event(p.next)
		if !p.run.unlimited {
			if due = p.due(p.next); due > now {
				return
			}
		}
		if !p.drawn {
			p.id, p.drawn = p.compose.choose.draw(n), true
		}
		q := p.choose()
		if q == nil {
			p.waits = true
			return
		}
		c := &p.compose
		c.id = appendID(c.id[:0], p.id+1)
		p.text = c.appendMessage(p.text[:0], c.id, n+1, c.seqs.next(p.id), p.run.epoch+int64(due), now-due)
		p.sheet.take(c.id, p.text)
		before := len(q.buf)
		q.buf = p.run.template.append(q.buf, &p.sheet)
		q.queue = append(q.queue, request{id: p.id, due: due, end: len(q.buf)})
		made += len(q.buf) - before
		p.drawn = false
	}
}

// choose is the pipe for a message to p.id: the one where another message to this id is on its way, or else they might
// overtake each other; otherwise the one with the fewest requests. It is nil where there is no room.
func (p *publisher) choose() (best *pipe) {
	if len(p.pipes) == 1 {
		if q := p.pipes[0]; q.room() {
			return q
		}
		return nil
	}
	for _, q := range p.pipes {
		if q.holds(p.id) {
			if q.room() {
				return q
			}
			return nil
		}
		if q.room() && (best == nil || len(q.queue) < len(best.queue)) {
			best = q
		}
	}
	return best
}

// flush writes what was made, one write for each connection, and tells whether there was anything.
func (p *publisher) flush() (some bool) {
	for _, q := range p.pipes {
		if q.ready() {
			q.write()
			some = true
		}
	}
	return some
}

// pause waits for the next due time, or for an answer where nothing can be done without one.
func (p *publisher) pause() {
	if p.waits {
		before := p.run.elapsed()
		defer func() { p.worker.blocked += p.run.elapsed() - before }()
	}
	switch {
	case p.ending:
		p.wait.listen(never, p.news, nil) // the word to stop was heard
	case p.over(), p.waits && !p.run.unlimited:
		p.wait.listen(never, p.news, p.run.soft.Done())
	case p.waits:
		p.wait.listen(p.run.end, p.news, p.run.soft.Done())
	case p.halting():
		p.wait.listen(p.due(p.next), p.news, p.run.soft.Done())
	default:
		p.wait.until(p.due(p.next), never, p.news)
	}
}

// halting tells whether a connection is missing or something waits to be written again.
func (p *publisher) halting() bool {
	for _, q := range p.pipes {
		if q.x == nil || q.stuck() {
			return true
		}
	}
	return false
}

// close ends all connections, and notes for the result whether one was missing.
func (p *publisher) close() {
	p.quit()
	for _, q := range p.pipes {
		if q.x == nil && q.broke != nil {
			p.broke = q.broke
		}
		q.close()
	}
	if p.run.hard.Err() != nil && !p.idle() {
		p.run.broke(context.Cause(p.run.hard))
	}
}
