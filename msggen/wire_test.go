package msggen

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// silent reads pipelined requests to their ends and answers all of them only when it is released. net/http cannot: it
// answers one request before it reads the next.
type silent struct {
	f        *fake
	release  <-chan struct{}
	requests int
}

func newSilent(f *fake, release <-chan struct{}) *silent { return &silent{f: f, release: release} }

func (s *silent) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	counts := make(chan int, 1000)
	go func() { // answers
		<-s.release
		for n := range counts {
			body := fmt.Sprintf(`{"sent":%d,"offline":%d}`, n, n)
			fmt.Fprintf(theirs, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	}()
	go func() { // reads
		defer theirs.Close()
		defer close(counts)
		in := bufio.NewReader(theirs)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			s.requests++
			n := 0
			for lines := bufio.NewScanner(req.Body); lines.Scan(); n++ {
			}
			counts <- n
		}
	}()
	return ours, nil
}

// answerOne answers the first request, early or when it has ended, and reads on without a word.
func answerOne(conn net.Conn, early bool, head string, requests *int) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	*requests++
	n := 1
	if !early {
		n = 0
		for lines := bufio.NewScanner(req.Body); lines.Scan(); n++ {
		}
	}
	body := fmt.Sprintf(`{"sent":%d}`, n)
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	io.Copy(io.Discard, in)
}

// cutConn takes so many bytes and fails then.
type cutConn struct {
	net.Conn
	room int
	took []byte
}

func (c *cutConn) Write(b []byte) (int, error) {
	n := min(len(b), c.room)
	c.took = append(c.took, b[:n]...)
	c.room -= n
	if n < len(b) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// TestCutAtEachByte breaks a connection after each possible number of bytes of a write with several messages: what left
// whole is sent, once; the rest stays pending, and no line is torn.
func TestCutAtEachByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 3
		for cut, whole := 0, false; !whole; cut++ {
			conn, peer := net.Pipe()
			cfg := Config{To: "http://127.0.0.1:1/send", IDs: 12, Rate: perSecond(1000), Count: messages}
			r := newRun(t.Context(), cfg)
			r.start = time.Now().Add(-time.Second)
			r.epoch = r.start.UnixNano()
			out := &cutConn{Conn: conn, room: cut}
			w := &worker{run: r, share: messages, schedule: r.schedule, link: newLink(r, out, r.head)}
			w.compose = testComposer(r.start, 0, 1, cfg.IDs, 0)
			w.fill(r.elapsed())
			if w.pending != messages {
				t.Fatalf("%d of %d messages are pending", w.pending, messages)
			}
			w.flush(r.elapsed())

			// What the peer can read: the lines of a body that may break off anywhere.
			left := 0
			_, body, _ := bytes.Cut(out.took, []byte("\r\n\r\n"))
			_, body, _ = bytes.Cut(body, []byte("\r\n"))
			for _, b := range body {
				if b == '\n' {
					left++
				}
			}
			if whole = w.link != nil; whole {
				left-- // the newline after the chunk
				w.link.close()
			}
			left = min(left, messages)
			if sent := int(r.generated.Load()); sent != left || sent+w.pending != messages {
				t.Errorf("cut at %d: %d lines left, %d are counted as sent, %d are pending", cut, left, sent, w.pending)
			}
			lines := 0
			for rest := w.lines; len(rest) > 0; lines++ {
				line, more, _ := bytes.Cut(rest, []byte("\n"))
				if _, err := parseMessage(line); err != nil {
					t.Errorf("cut at %d: %v", cut, err)
				}
				rest = more
			}
			if lines != w.pending {
				t.Errorf("cut at %d: %d lines for %d pending messages", cut, lines, w.pending)
			}
			peer.Close()
			r.give(nil)
		}
	})
}
