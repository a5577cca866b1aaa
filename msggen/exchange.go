package msggen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// exchange is one connection of a pipe: requests out, their answers in. Its writer is the worker's goroutine, its reader
// one of its own. What both need is atomic; what the reader leaves behind may be read when done is closed.
type exchange struct {
	run  *run
	conn net.Conn
	news chan<- struct{} // of the worker: something happened here
	done chan struct{}   // closed when the reader has ended, and the connection with it

	asked    atomic.Uint64 // requests, counted before they are written
	answered atomic.Uint64 // answers that came whole

	announced bool  // the last answer told that the server ends the connection, and takes nothing behind it
	err       error // why the connection ended
}

func newExchange(r *run, conn net.Conn, news chan<- struct{}) *exchange {
	x := &exchange{run: r, conn: conn, news: news, done: make(chan struct{})}
	release := context.AfterFunc(r.hard, func() { conn.Close() })
	go func() {
		x.err = x.read()
		release()
		conn.Close()
		close(x.done)
		poke(news)
	}()
	return x
}

// poke gives a token; one that nobody has taken yet is enough.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ended reports whether the connection has ended.
func (x *exchange) ended() bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

// close ends the connection and waits for its reader.
func (x *exchange) close() {
	x.conn.Close()
	<-x.done
}

// read takes the answers until the connection ends, and says why it did. All that one read brought make one token.
func (x *exchange) read() error {
	var answers replies
	in := make([]byte, 4<<10)
	for {
		n, err := x.conn.Read(in)
		if cause := x.take(&answers, in[:n]); cause != nil {
			return cause
		}
		if err == nil {
			continue
		}
		cut, ended := answers.cut()
		switch {
		case errors.Is(err, io.EOF) && ended:
			x.answer(answers.status)
			x.announced = true
			return errHungUp
		case cut:
			return fmt.Errorf("the server's answer broke off: %w", err)
		case errors.Is(err, io.EOF):
			return errHungUp
		}
		return err
	}
}

// take books the answers that end in b. An error ends the connection.
func (x *exchange) take(answers *replies, b []byte) error {
	some := false
	for len(b) > 0 {
		n, done, err := answers.next(b)
		b = b[n:]
		if err != nil {
			return fmt.Errorf("the server's answer cannot be read: %w", err)
		}
		if !done {
			break
		}
		if x.answered.Load() == x.asked.Load() {
			return errUnasked
		}
		x.answer(answers.status)
		some = true
		if answers.closes {
			x.announced = true
			return errHungUp
		}
	}
	if some {
		poke(x.news)
	}
	return nil
}

// answer books one answer.
func (x *exchange) answer(status int) {
	r := x.run
	x.answered.Add(1)
	first := r.status[status].Add(1) == 1
	if status >= 200 && status < 300 {
		r.accepted.Add(1)
		return
	}
	r.bad.Add(1)
	if first {
		r.broke(fmt.Errorf("the server answered with status %d", status))
	}
}
