package msggen

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// foreign is a server that nobody here wrote: it takes POST /send/ID and GET /send/ID?MESSAGE, reads on while answers are
// on their way, and answers in order. It processes nothing behind an answer that ends the connection, as RFC 9112 section
// 9.6 has it. net/http cannot be it: that answers one request before it reads the next.
type foreign struct {
	fake // its messages

	// answer says what becomes of request n of connection c, both from 0; nil: 200 at once.
	answer func(c, n int) reaction
	refuse func() bool // whether to refuse a connection

	open, most int // requests of a connection read and not answered: now and at most
	conns      int
}

// reaction is what a server does with a request.
type reaction struct {
	after time.Duration // the request was read
	text  string        // of the answer; "" is a 200 with an empty body
	end   bool          // hang up behind it
	drop  bool          // hang up instead
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func (f *foreign) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil && f.refuse() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	c := f.conns
	f.conns++
	go f.serve(theirs, c)
	return ours, nil
}

func (f *foreign) serve(conn net.Conn, c int) {
	type pending struct {
		reaction
		read time.Time
	}
	answers := make(chan pending, 1000)
	go func() { // reads
		defer close(answers)
		in := bufio.NewReader(conn)
		for n := 0; ; n++ {
			req, err := http.ReadRequest(in)
			if err != nil || !f.request(req, c) {
				return
			}
			a := reaction{}
			if f.answer != nil {
				a = f.answer(c, n)
			}
			answers <- pending{a, time.Now()}
			if a.end || a.drop {
				io.Copy(io.Discard, in)
				return
			}
		}
	}()
	defer conn.Close()
	for a := range answers {
		time.Sleep(time.Until(a.read.Add(a.after)))
		if a.drop {
			return
		}
		f.mu.Lock()
		f.open--
		f.mu.Unlock()
		if a.text == "" {
			a.text = okAnswer
		}
		if _, err := io.WriteString(conn, a.text); err != nil || a.end {
			return
		}
	}
}

// request takes the message out of a request. It returns false where that was cut.
func (f *foreign) request(req *http.Request, c int) bool {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	text := string(body)
	if req.Method == "GET" {
		text, _ = url.QueryUnescape(req.URL.RawQuery)
	}
	m, err := parseMessage([]byte(strings.TrimPrefix(req.URL.Path, "/send/") + "\t" + text))
	if err != nil {
		f.t.Error(err)
	}
	m.addr = fmt.Sprint(c)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, m)
	f.requests++
	f.open++
	f.most = max(f.most, f.open)
	return true
}

// config is a run against f on the bubble's clock.
func (f *foreign) config() Config {
	return Config{To: "POST http://127.0.0.1:8010/send/{id}", IDs: 10, Dial: f.dial, Sleep: time.Sleep}
}

// abroad runs test in a bubble with a foreign server.
func abroad(t *testing.T, test func(t *testing.T, f *foreign)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, &foreign{fake: fake{t: t}})
		time.Sleep(2 * time.Hour) // answers that nobody waits for any more
	})
}
