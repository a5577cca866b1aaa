package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tmaxmax/go-sse"

	"cometctl/internal/wire"
	"cometctl/server/history"
)

// The tests of this file hold rules of RFC 9112 and 9110 that no other one does; docs/conformance.md lists them all.

// responseForm is a status line with a space behind the status, fields without folds, and their end.
var responseForm = regexp.MustCompile(`^HTTP/1\.1 [1-5]\d\d [A-Za-z ]+\r\n([A-Za-z-]+: [^\r\n]*\r\n)+\r\n`)

// Whatever is asked, the answer has the form of one: RFC 9112 sections 2.2, 4, 5.2, 6.1 and 6.2, RFC 9110 section 6.6.1.
func TestFormOfResponses(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, HeadTimeout: 100 * time.Millisecond})
		statuses := map[int]bool{}
		for _, request := range []string{
			"GET /test/1 HTTP/1.1\r\n" + hostLine, "GET /test/1 HTTP/1.0\r\n\r\n", "GET /test/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
			"HEAD /test/1 HTTP/1.1\r\n" + hostLine, "HEAD /test/1 HTTP/1.0\r\n\r\n", "HEAD /nope HTTP/1.1\r\n" + hostLine, "GET / HTTP/1.1\r\n" + hostLine,
			"GET /nope HTTP/1.1\r\n" + hostLine, "POST /test/1 HTTP/1.1\r\n" + hostLine, "PUT /test/1 HTTP/1.1\r\n" + hostLine, "GET /nope HTTP/1.9\r\n" + hostLine,
			"GET /events/1 HTTP/1.1\r\n" + hostLine, "GET /events/1 HTTP/1.0\r\n\r\n", "HEAD /events/1 HTTP/1.1\r\n" + hostLine, "GET /test/1 HTTP/1.1\r\nAccept: application/x-ndjson\r\n" + hostLine,
			"GET /poll/1?wait=0 HTTP/1.1\r\n" + hostLine, "GET /poll/1?wait=0 HTTP/1.0\r\n\r\n", "GET /poll/1?since=1&wait=0 HTTP/1.1\r\n" + hostLine, "HEAD /poll/1 HTTP/1.1\r\n" + hostLine,
			"GET /poll/1?wait=x HTTP/1.1\r\n" + hostLine, "GET /ws/1 HTTP/1.1\r\n" + hostLine,
			"CONNECT h:80 HTTP/1.1\r\n" + hostLine, "OPTIONS * HTTP/1.1\r\n" + hostLine, "GET /test/a%20b HTTP/1.1\r\n" + hostLine, "GET / HTTP/2.0\r\n" + hostLine,
			"GET /test/1 HTTP/1.1\r\nContent-Length: 70000\r\n" + hostLine, "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n" + hostLine,
			"GET / HTTP/1.1\r\nA: " + strings.Repeat("a", 17000) + "\r\n" + hostLine, "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" + hostLine, "GET /te",
		} {
			b := dial(t, s)
			go io.WriteString(b, request)
			head := b.head()
			var r wire.Response
			if err := wire.ParseResponse([]byte(head), wire.Limits{}, &r); err != nil || !responseForm.MatchString(head) {
				t.Errorf("%.40q: %q (%v)", request, head, err)
				continue
			}
			fields, _ := http.ReadResponse(bufio.NewReader(strings.NewReader(head)), &http.Request{Method: "HEAD"})
			if date, err := http.ParseTime(fields.Header.Get("Date")); err != nil || time.Since(date).Abs() > time.Minute {
				t.Errorf("%.40q: Date %q", request, fields.Header.Get("Date"))
			}
			_, coded := r.Field("Transfer-Encoding")
			_, measured := r.Field("Content-Length")
			if coded && (measured || strings.Contains(request, "HTTP/1.0")) {
				t.Errorf("%.40q: coded, and with a length or for HTTP/1.0: %q", request, head)
			}
			if r.Status == 204 && (coded || measured) {
				t.Errorf("%.40q: 204 with a length or a coding: %q", request, head)
			}
			statuses[r.Status] = true
			b.Close()
		}
		for _, status := range []int{200, 204, 400, 404, 408, 413, 414, 426, 431, 501, 505} {
			if !statuses[status] {
				t.Errorf("no answer had status %d", status)
			}
		}
	})
}

// HTTP/1.0 has no 1xx and no expectations: RFC 9110 sections 10.1.1 and 15.2.
func TestHTTP10ExpectsNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s)
		b.say("GET /test/1 HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		until(t, "the body is waited for", func() bool { n, _ := partials(s); return n > 0 })
		b.say("hello")
		if head := b.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			t.Errorf("%q", head)
		}
	})
}

// What follows a request that says close is not looked at: RFC 9112 section 9.6.
func TestNothingBehindClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		for i, request := range []string{"GET /nope HTTP/1.1\r\nConnection: close\r\n" + hostLine, "GET /nope HTTP/1.0\r\n\r\n", "GET /nope HTTP/3.0\r\n" + hostLine} {
			b := dial(t, s)
			b.say(request + "GET /test/1 HTTP/1.1\r\n" + hostLine)
			if resp, _ := b.response(); !resp.Close {
				t.Errorf("%q: the answer does not say close", request)
			}
			if rest := b.rest(); rest != "" {
				t.Errorf("%q: %q follows", request, rest)
			}
			b.Close()
			until(t, "all have ended", func() bool { return s.Stats().Conns.Open == 0 })
			if st := s.Stats(); st.Conns.Accepted != int64(i+1) || st.Conns.Streams != 0 {
				t.Errorf("%q: %+v", request, st.Conns)
			}
		}
	})
}

// A request whose body did not come whole is none: RFC 9112 sections 6.3 and 8.
func TestIncompleteRequest(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		for _, request := range []string{"Content-Length: 5\r\n" + hostLine + "hell", "Transfer-Encoding: chunked\r\n" + hostLine + "5\r\nhello\r\n", "Content-Length: 5\r\n", ""} {
			b := dial(t, s)
			b.say("GET /test/1 HTTP/1.1\r\n" + request)
			b.CloseWrite()
			if rest := b.rest(); strings.Contains(rest, " 200 ") {
				t.Errorf("%q: %q", request, rest)
			}
			b.Close()
		}
		until(t, "all have ended", func() bool { return s.Stats().Conns.Open == 0 })
		if st := s.Stats(); st.Conns.Streams != 0 {
			t.Errorf("%+v", st.Conns)
		}
	})
}

// A client of TLS can tell the end of what was said from a connection that was cut: RFC 9112 section 9.8.
func TestTLSSaysThatItEnds(t *testing.T) {
	s := startTLS(t, Config{}, newPair(t, "localhost", 2*time.Hour))
	ask := func(request string) *tls.Conn {
		tc, err := tls.Dial("tcp", s.Comet().String(), anybody())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tc.Close() })
		tc.SetDeadline(time.Now().Add(patience))
		io.WriteString(tc, request)
		return tc
	}
	stream, answer := ask("GET /test/1 HTTP/1.0\r\n\r\n"), ask("GET /nope HTTP/1.0\r\n\r\n")
	until(t, "logged in", func() bool { return s.Stats().Router.Sessions == 1 })
	done := drain(s)
	for _, tc := range []*tls.Conn{answer, stream} {
		if got, err := io.ReadAll(tc); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 ") { // without the alert it is an unexpected EOF
			t.Errorf("%q, %v", got, err)
		}
		tc.Close()
	}
	<-done
}

// A library reads what was published as it was published, line ends and UTF-8 apart, and comes back where it was.
func TestEventStreamForALibrary(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 10}})
		messages := []string{"plain", " space first", "two\nlines\r\nand\rmore\n", "", "id: 9\n\ndata: forged", ": no comment", "nul \x00 here", "\ufeffmark", "broken \xff\xe2\x82"}
		read := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\xff\xe2\x82", "\ufffd\ufffd")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		last, got := "", []string(nil)
		for _, part := range [][]string{messages[:4], messages[4:]} { // the second part is published while nobody listens
			if last != "" {
				for _, m := range part {
					admin(t, s, "POST", "/send/7", "", strings.NewReader(m))
				}
			}
			req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Comet().String()+"/events/7", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Last-Event-ID", last)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if last == "" {
				for _, m := range part {
					admin(t, s, "POST", "/send/7", "", strings.NewReader(m))
				}
			}
			want := len(got) + len(part)
			for e, err := range sse.Read(resp.Body, nil) {
				if err != nil || e.Type != "" {
					t.Fatalf("%+v, %v", e, err)
				}
				if last == "" && e.Data == "" { // it shows a position without data, which the standard does not dispatch
					last = e.LastEventID
					continue
				}
				last, got = e.LastEventID, append(got, e.Data)
				if len(got) == want {
					break
				}
			}
			resp.Body.Close()
		}
		for i, m := range messages {
			if got[i] != read.Replace(m) {
				t.Errorf("message %q was read as %q", m, got[i])
			}
		}
	})
}
