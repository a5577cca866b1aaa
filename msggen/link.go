package msggen

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"cometctl/internal/wire"
)

// The stream is cut into pieces, one request each, because a server answers at a request's end only. A piece ends with
// its age or its number of messages, whichever comes first; while maxUnanswered of them wait for their answers the piece
// grows instead, so that a server that is slow to answer never delays a message.
const (
	pieceAge      = time.Second
	pieceMessages = 100_000
	maxUnanswered = 8
	maxAnswer     = 64 << 10 // bytes of an answer that are looked at
)

// link is one connection: pipelined requests out, their answers in. Its writer is its worker's goroutine, its reader is
// a goroutine of its own.
type link struct {
	run  *run
	conn net.Conn
	head []byte        // of each request
	done chan struct{} // closed when the reader has ended: the connection is closed and err is set
	news chan struct{} // holds a token after an answer

	// The writer's own.
	open  bool          // a request is open
	began time.Duration // when it began

	mu     sync.Mutex
	pieces []piece // requests without their answer, oldest first
	good   bool    // an answer has confirmed something
	err    error   // why the connection ended
}

// piece is a request that was begun and not answered.
type piece struct {
	messages uint64 // whose bytes may have left
	ended    bool   // the last chunk was written, or is about to be
}

var (
	errEarly   = errors.New("the server answered before the request had ended")
	errUnasked = errors.New("the server answered what was not asked")
	errHungUp  = errors.New("the server closed the connection")
)

func newLink(r *run, conn net.Conn, head []byte) *link {
	l := &link{run: r, conn: conn, head: head, done: make(chan struct{}), news: make(chan struct{}, 1)}
	release := context.AfterFunc(r.hard, func() { conn.Close() })
	go func() {
		l.read()
		release()
	}()
	return l
}

// full reports whether the open piece should end by now.
func (l *link) full(now time.Duration) bool {
	if !l.open {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return now-l.began >= pieceAge || l.pieces[len(l.pieces)-1].messages >= pieceMessages
}

// appendEnd appends the end of the open request, and nothing where too many wait for their answers: unless forced, the
// piece goes on for another while then.
func (l *link) appendEnd(dst []byte, now time.Duration, forced bool) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !forced && len(l.pieces) >= maxUnanswered {
		l.began = now
		return dst
	}
	l.pieces[len(l.pieces)-1].ended = true
	l.open = false
	return append(dst, wire.LastChunk...)
}

// appendBegin appends the head of a new request where none is open, and books n messages on the open one. They are booked
// before they are written, so that an answer never finds fewer than it speaks of.
func (l *link) appendBegin(dst []byte, now time.Duration, n int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open {
		l.open, l.began = true, now
		l.pieces = append(l.pieces, piece{})
		dst = append(dst, l.head...)
	}
	l.pieces[len(l.pieces)-1].messages += uint64(n)
	return dst
}

// unanswered is the number of requests that wait for their answer.
func (l *link) unanswered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pieces)
}

// broken reports whether the connection has ended.
func (l *link) broken() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// close ends the connection, waits for its reader, and returns why it ended first and whether an answer had come.
func (l *link) close() (good bool, err error) {
	l.conn.Close()
	<-l.done
	return l.good, l.err
}

// read takes the answers until the connection ends.
func (l *link) read() {
	defer close(l.done)
	defer l.conn.Close()
	in := bufio.NewReader(l.conn)
	for {
		head, err := http.ReadResponse(in, nil)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errHungUp
			}
			l.err = err
			return
		}
		if head.StatusCode < 200 {
			continue // RFC 9110 section 15.2: an interim answer says nothing yet
		}
		if l.err = l.take(head); l.err != nil {
			return
		}
		select {
		case l.news <- struct{}{}:
		default:
		}
	}
}

// answer is what the body of a server's answer may say.
type answer struct {
	Ledger
	Errors []struct {
		Error string `json:"error"`
	} `json:"errors"` // of bad lines
}

// take books an answer on the oldest piece. An error ends the connection. A server that drains, or that could not read a
// request to its end, says so with its status and may still tell in the body what it took: that counts.
func (l *link) take(head *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(head.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the server's answer broke off: %w", err)
	}
	var a answer
	malformed := json.Unmarshal(body, &a)

	l.mu.Lock()
	defer l.mu.Unlock()
	if malformed == nil && len(l.pieces) > 0 {
		l.run.confirm(l.pieces[0].messages, a)
	}
	switch {
	case head.StatusCode != http.StatusOK:
		return l.run.refused(head.StatusCode, fmt.Errorf("the server answered %s%s", head.Status, excerpt(body)))
	case malformed != nil:
		return l.run.refused(head.StatusCode, fmt.Errorf("the server's answer is no ledger (%w)%s", malformed, excerpt(body)))
	case len(l.pieces) == 0:
		return errUnasked
	}
	l.good = true
	if !l.pieces[0].ended {
		return errEarly // the writer still counts on this piece: it stays
	}
	l.pieces = l.pieces[1:]
	if head.Close {
		return errHungUp // RFC 9112 section 9.6: what is sent after this, nobody answers
	}
	return nil
}

// excerpt is the first line of a body, for an error.
func excerpt(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if line == "" {
		return ""
	}
	return fmt.Sprintf(": %.120q", line)
}
