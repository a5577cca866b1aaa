package flood

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cometctl/internal/wire"
)

// hostile is a server that answers each connection in the way that is asked of it, after it has read a request. Who returns from serve hangs up.
func hostile(t *testing.T, over *tls.Config, serve func(nc net.Conn, stop <-chan struct{})) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	t.Cleanup(func() { close(stop); ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(time.Minute))
				conn := nc
				if over != nil {
					conn = tls.Server(nc, over)
				}
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					serve(conn, stop)
				}
				if over != nil {
					conn.Close() // in order, with close_notify
				}
			})
		}
	})
	return ln.Addr().String()
}

// say writes text and hangs up.
func say(text string) func(net.Conn, <-chan struct{}) {
	return func(nc net.Conn, _ <-chan struct{}) { nc.Write([]byte(text)) }
}

// sayAndWait writes text and then nothing, until flood has gone.
func sayAndWait(text string) func(net.Conn, <-chan struct{}) {
	return func(nc net.Conn, stop <-chan struct{}) {
		nc.Write([]byte(text))
		nc.Read(make([]byte, 1))
	}
}

// endlessly writes text again and again, until flood has gone.
func endlessly(head, text string) func(net.Conn, <-chan struct{}) {
	return func(nc net.Conn, stop <-chan struct{}) {
		_, err := nc.Write([]byte(head))
		for block := []byte(strings.Repeat(text, 1000)); err == nil; {
			_, err = nc.Write(block)
		}
	}
}

// reset ends a connection without a word, below TLS where there is some.
func reset(nc net.Conn, _ <-chan struct{}) {
	if over, ok := nc.(*tls.Conn); ok {
		nc = over.NetConn()
	}
	nc.(*net.TCPConn).SetLinger(0)
	nc.Close()
}

// oneByOne are stamped messages in chunks of a byte each.
func oneByOne(n int) string {
	var out []byte
	for i := range n {
		for _, c := range wire.AppendStamp(nil, testRun, []byte("1"), uint64(i+1), testStart, 0) {
			out = wire.AppendChunk(out, []byte{c})
		}
	}
	return okHead + string(out) + wire.LastChunk
}

// Servers that do anything but what they should, on real sockets, with each engine and over TLS: every connection ends, under a cause of its own.
func TestHostileServers(t *testing.T) {
	s := newSecured(t, nil)
	for _, c := range []struct {
		name           string
		serve          func(net.Conn, <-chan struct{})
		as             As
		failed, closed string
		check          func(r Result) bool
	}{
		{name: "garbage", serve: sayAndWait("SSH-2.0-OpenSSH_9.2\r\n\x00\x01\x02\r\n\r\n"), failed: "bad response"},
		{name: "binary garbage", serve: sayAndWait(strings.Repeat("\x16\x03\xff\r\n\r\n", 100)), failed: "bad response"},
		{name: "half a head, then silence", serve: sayAndWait(okHead[:20]), failed: "timeout"},
		{name: "half a head, then the end", serve: say(okHead[:20]), failed: "eof"},
		{name: "nothing, then the end", serve: say(""), failed: "eof"},
		{name: "nothing at all", serve: sayAndWait(""), failed: "timeout"},
		{name: "an endless head", serve: endlessly("HTTP/1.1 200 OK\r\n", "X-More: and more of it\r\n"), failed: "bad response"},
		{name: "an endless line", serve: endlessly("HTTP/1.1 200 OK\r\nX: ", "more"), failed: "bad response"},
		{name: "endless interim answers", serve: endlessly("", "HTTP/1.1 103 Early Hints\r\n\r\n"), failed: "timeout"},
		{name: "a chunk of 2^63", serve: sayAndWait(okHead + "8000000000000000\r\nx"), closed: "bad response"},
		{name: "a chunk of 2^64", serve: sayAndWait(okHead + "10000000000000000\r\nx"), closed: "bad response"},
		{name: "a chunk of very many digits", serve: endlessly(okHead, "f"), closed: "bad response"},
		{name: "a chunk that is none", serve: sayAndWait(okHead + "-1\r\n"), closed: "bad response"},
		{name: "endless extensions", serve: endlessly(okHead+"1;", "x"), closed: "bad response"},
		{name: "endless trailers", serve: endlessly(okHead+"0\r\n", "X: y\r\n"), closed: "bad response"},
		{name: "chunks of one byte", serve: say(oneByOne(50)), closed: "ended", check: func(r Result) bool { return r.Messages == 3*50 && r.Chunks > 3*50*20 && r.Corrupt == 0 }},
		{name: "204 to an event stream", serve: sayAndWait("HTTP/1.1 204 No Content\r\n\r\n"), as: AsSSE, failed: "status 204"},
		{name: "a page to an event stream", serve: sayAndWait("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n"), as: AsSSE, failed: "no event stream"},
		{name: "a length", serve: sayAndWait("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), closed: "ended"},
		{name: "more than its length", serve: sayAndWait("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + okHead), closed: "ended"},
		{name: "less than its length", serve: say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"), closed: "eof"},
		{name: "two lengths", serve: sayAndWait("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), failed: "bad response"},
		{name: "a length of 2^63", serve: sayAndWait("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n"), failed: "bad response"},
		{name: "a length and chunks", serve: sayAndWait("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), failed: "bad response"},
		{name: "until the end", serve: say("HTTP/1.0 200 OK\r\n\r\nhello"), closed: "ended"},
		{name: "the end within a chunk", serve: say(okHead + "ff\r\nhello"), closed: "eof"},
		{name: "a reset", serve: reset, failed: "reset"},
		{name: "a redirect", serve: sayAndWait("HTTP/1.1 301 Moved\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n"), failed: "redirect 301",
			check: func(r Result) bool { return r.Refusals[0].Location == "/else" }},
		{name: "an endless refusal", serve: endlessly("HTTP/1.1 503 No\r\n\r\n", "no "), failed: "status 503",
			check: func(r Result) bool { return strings.HasPrefix(r.Refusals[0].Body, "no no no") }},
		{name: "a silent refusal", serve: sayAndWait("HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n"), failed: "status 503"},
		{name: "an upgrade that nobody asked for", serve: sayAndWait("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), failed: "status 101"},
		{name: "garbage to a poll", serve: sayAndWait("SSH-2.0-OpenSSH_9.2\r\n\r\n"), as: AsPoll, closed: "bad response"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for _, engine := range append(engines(), "tls") {
				cfg, scheme, over := Config{Engine: engine, ConnectTimeout: 300 * time.Millisecond, Hold: time.Minute}, "http", (*tls.Config)(nil)
				if c.failed != "timeout" {
					cfg.ConnectTimeout = 20 * time.Second
				}
				if c.name == "a silent refusal" {
					cfg.ConnectTimeout = 300 * time.Millisecond
				}
				if engine == "tls" {
					cfg.Engine, scheme, over = "", "https", s.TLS
				}
				url := fmt.Sprintf("%s://%s/{1..3}", scheme, hostile(t, over, c.serve))
				r := floodOver(t, cfg, Rules{As: c.as, TLS: s.trusting()}, url)
				if c.failed != "" && (r.Failed != 3 || r.FailedBy[c.failed] != 3) || c.closed != "" && (r.ClosedEarly != 3 || r.ClosedBy[c.closed] != 3) || r.Open != 0 {
					t.Errorf("%s: failed %v, closed %v, %d open; want %s%s", engine, r.FailedBy, r.ClosedBy, r.Open, c.failed, c.closed)
				} else if c.check != nil && !c.check(r) {
					t.Errorf("%s: %+v", engine, r)
				}
			}
		})
	}
}
