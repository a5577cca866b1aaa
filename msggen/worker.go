package msggen

import (
	"bytes"
	"context"
	"math"
	"time"

	"cometctl/internal/pace"
	"cometctl/internal/wire"
)

const (
	// chunkBytes is where a chunk is full. Larger ones no longer make the writing cheaper, and what has been made waits.
	chunkBytes = 48 << 10

	// After a break the first attempt to reconnect is made after minBackoff, each further one after twice the wait of the
	// one before, up to maxBackoff, until an answer shows that the server is there again.
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second

	never = time.Duration(math.MaxInt64)
)

// worker makes its share of the events and writes them to its link. All of it belongs to the goroutine of work.
type worker struct {
	run   *run
	index uint64 // of the worker; it owns the events index, index+W, index+2W, ...
	share uint64 // how many it owns
	next  uint64 // of its events, the first that is not made yet
	link  *link  // nil while there is no connection, and always with a sender
	wait  waiter // for the next due time

	schedule pace.Schedule // of the run, for this goroutine
	other    sender        // nil: the worker writes a stream to its link

	compose composer
	lines   []byte        // made and not written: whole lines
	pending int           // how many
	begun   time.Duration // when the first of them was made
	out     []byte        // scratch: what one write takes

	backoff time.Duration // before the next attempt to connect
	last    time.Duration // when the last message left
	blocked time.Duration // how long the server let it wait, with messages due: see hinder
	broke   error         // why the last link ended; nil once the next one is there
}

// sender sends a worker's events in another way than as a stream. Its methods are called by one goroutine, close by the last one.
type sender interface {
	work() // until there are no more events and all are answered for, or the run ends
	close()
}

// work sends the worker's events until there are no more or the run ends.
func (w *worker) work() {
	for w.link != nil || w.connect() {
		now := w.run.elapsed()
		w.fill(now)
		switch {
		case w.link.broken():
			w.unlink(nil)
		case w.run.stopping():
			w.finish()
			return
		case w.pending > 0:
			w.flush(now)
		case w.over():
			w.finish()
			return
		case w.link.full(now):
			w.write(w.link.appendEnd(w.out[:0], now, false))
		default:
			w.pause()
		}
	}
}

// event is the number in the run of the worker's own event k.
func (w *worker) event(k uint64) uint64 { return k*w.run.workers + w.index }

// fill makes the messages that are due, as many as go into one chunk. At no rate they are due when their chunk is begun.
func (w *worker) fill(now time.Duration) {
	if w.run.unlimited && now >= w.run.end {
		return
	}
	if w.pending == 0 {
		w.begun = now
	}
	due := w.begun
	for w.next < w.share && len(w.lines) < chunkBytes {
		n := w.event(w.next)
		if !w.run.unlimited {
			if due = w.due(w.next); due > now {
				return
			}
		}
		w.lines = w.compose.appendLine(w.lines, n+1, w.run.epoch+int64(due), now-due)
		w.next++
		w.pending++
	}
}

// flush writes what is pending in one write: the end of a full piece, the head of a new one, and the chunk. Lines whose
// last byte did not leave stay pending; all others count as sent, as the server may have them.
func (w *worker) flush(now time.Duration) {
	w.out = w.out[:0]
	if w.link.full(now) {
		w.out = w.link.appendEnd(w.out, now, false)
	}
	w.out = w.link.appendBegin(w.out, now, w.pending)
	w.out = wire.AppendChunk(w.out, w.lines)
	body := len(w.out) - len("\r\n") - len(w.lines)

	n, err := w.link.conn.Write(w.out)
	if err == nil {
		w.sent(w.pending)
		w.hinder(w.last - now)
		w.lines, w.pending = w.lines[:0], 0
		return
	}
	gone := w.lines[:min(max(n-body, 0), len(w.lines))]
	whole := bytes.LastIndexByte(gone, '\n') + 1
	messages := bytes.Count(gone[:whole], []byte{'\n'})
	w.sent(messages)
	w.lines = append(w.lines[:0], w.lines[whole:]...)
	w.pending -= messages
	w.unlink(err)
}

// sent counts the first n pending messages as sent just now.
func (w *worker) sent(n int) {
	if n > 0 {
		w.last = w.run.elapsed()
		w.run.sent(w, w.next-uint64(w.pending), n)
	}
}

// free is how long a write may take that does not wait for anybody: it copies at most a chunk.
const free = time.Millisecond

// hinder counts the time that a write took, with what was made for it, as waiting for the server, if it took longer than making and copying does. What
// waits for a processor is mistaken for that only where a thread gets none for as long.
func (w *worker) hinder(took time.Duration) {
	if took > free {
		w.blocked += took
	}
}

// write writes what belongs to no message.
func (w *worker) write(b []byte) {
	if len(b) == 0 {
		return
	}
	if _, err := w.link.conn.Write(b); err != nil {
		w.unlink(err)
	}
}

// pause waits for the next due time, or for the end of the open piece's time.
func (w *worker) pause() {
	end := never
	if w.link.open {
		end = w.link.began + pieceAge
	}
	w.wait.until(w.due(w.next), end, w.link.done)
}

// finish ends the open request and waits for the answers that are still to come.
func (w *worker) finish() {
	l := w.link
	if l.open {
		w.write(l.appendEnd(w.out[:0], 0, true))
	}
	for w.link != nil && !l.broken() && l.unanswered() > 0 {
		select {
		case <-l.news:
		case <-l.done:
		case <-w.run.hard.Done():
		}
	}
	if w.link != nil {
		if l.unanswered() > 0 {
			w.unlink(nil)
			return
		}
		l.close()
	}
}

// unlink takes leave of a broken connection; err is what writing to it said. The reader's error is the better one where
// it came first: a write to a connection that the reader has closed says only that.
func (w *worker) unlink(err error) {
	broken := w.link.broken()
	good, why := w.link.close()
	if broken || err == nil {
		err = why
	}
	if w.run.hard.Err() != nil {
		err = context.Cause(w.run.hard)
	}
	if good {
		w.backoff = minBackoff
	}
	w.link, w.broke = nil, err
	w.run.broke(err)
}

// connect dials until a connection stands. It returns false when the run has ended or nothing is left to send.
func (w *worker) connect() bool {
	before := w.run.elapsed()
	defer func() { w.blocked += w.run.elapsed() - before }()
	for w.pending > 0 || !w.over() {
		if !w.wait.pass(w.backoff) || w.run.unlimited && w.run.elapsed() >= w.run.end {
			return false
		}
		w.backoff = min(2*w.backoff, maxBackoff)
		link, err := w.run.dial(w.run.hard)
		if err == nil {
			w.link, w.broke = link, nil
			w.run.reconnects.Add(1)
			return true
		}
		w.broke = err
		w.run.broke(err)
	}
	return false
}
