package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strings"
	"testing"

	"cometctl/internal/netloop"
)

// requests is the table of the comet listener, line by line, and what bad input gets.
var requests = []struct {
	raw    string // without a Host line and the empty line, unless it has them
	status int
	says   string // in the body
}{
	{"HEAD /test/1 HTTP/1.1", 200, ""},
	{"HEAD /test/1 HTTP/1.0", 200, ""},
	{"HEAD /test/a%20b HTTP/1.1", 400, ""},
	{"HEAD /nope HTTP/1.1", 404, ""},
	{"POST /test/1 HTTP/1.1", 404, "/test/{id}"},
	{"POST / HTTP/1.1", 404, "/test/{id}"},
	{"POST /test/1 HTTP/1.1\r\nContent-Length: 5\r\nHost: x\r\n\r\nhello", 404, "/test/{id}"},
	{"POST /test/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 404, "/test/{id}"},
	{"PUT /test/1 HTTP/1.1", 501, "not implemented"},
	{"DELETE /test/1 HTTP/1.1", 501, "not implemented"},
	{"OPTIONS * HTTP/1.1", 501, "not implemented"},
	{"CONNECT localhost:80 HTTP/1.1", 501, "not implemented"},
	{"get /test/1 HTTP/1.1", 501, "not implemented"},
	{"BREW /pot HTTP/1.0", 501, "not implemented"},
	{"GET / HTTP/1.1", 200, "<title>cometctl</title>"},
	{"HEAD / HTTP/1.1", 200, ""},
	{"GET /comet.js HTTP/1.1", 200, "EventSource"},
	{"GET /comet.js?v=1 HTTP/1.0", 200, "EventSource"},
	{"GET /comet HTTP/1.1", 404, "/test/{id}"},
	{"HEAD /events/1,2 HTTP/1.1", 200, ""},
	{"HEAD /poll/1 HTTP/1.1", 200, ""},
	{"GET /events/ HTTP/1.1", 400, "empty id"},
	{"GET /poll/ HTTP/1.1", 400, "empty id"},
	{"GET /poll/a/b HTTP/1.1", 400, "'/'"},
	{"GET /poll/1?wait=-1s HTTP/1.1", 400, "bad duration"},
	{"GET /poll/1?wait=soon HTTP/1.1", 400, "bad duration"},
	{"GET /poll/1?since=x HTTP/1.1", 400, "bad cursor"},
	{"GET /poll/1?since=-1 HTTP/1.1", 400, "bad cursor"},
	{"GET /poll/1?since=9007199254740992 HTTP/1.1", 400, "bad cursor"},
	{"GET /poll/1?since=%zz HTTP/1.1", 400, "%zz"},
	{"GET /poll/1,2?since=7 HTTP/1.1", 400, "no position in several ids"},
	{"GET /poll/1,2?since=1:7,1:8 HTTP/1.1", 400, "twice"},
	{"GET /poll/1 HTTP/1.1\r\nLast-Event-ID: x\r\n" + hostLine, 400, "bad cursor"},
	{"GET /test/1?since=x HTTP/1.1\r\nAccept: application/x-ndjson\r\n" + hostLine, 400, "bad cursor"},
	{"GET /nope HTTP/1.1", 404, "/test/{id}"},
	{"GET /test HTTP/1.1", 404, "/test/{id}"},
	{"GET /Test/1 HTTP/1.1", 404, "/test/{id}"},
	{"GET /test%2F1 HTTP/1.1", 404, "/test/{id}"},
	{"GET http://localhost/other HTTP/1.1", 404, "/test/{id}"},

	{"GET /test/ HTTP/1.1", 400, "empty id"},
	{"GET /test/?id=1 HTTP/1.1", 400, "empty id"},
	{"GET /test/a b HTTP/1.1", 400, "bad request target"},
	{"GET /test/a%20b HTTP/1.1", 400, `byte 2 is ' '`},
	{"GET /test/a/b HTTP/1.1", 400, `byte 2 is '/'`},
	{"GET /test/a%2Fb HTTP/1.1", 400, `byte 2 is '/'`},
	{"GET /test/1/ HTTP/1.1", 400, `byte 2 is '/'`},
	{"GET /test/%00 HTTP/1.1", 400, "%00"},
	{"GET /test/1%00 HTTP/1.1", 400, "%00"},
	{"GET /test/%zz HTTP/1.1", 400, "%zz"},
	{"GET /test/1% HTTP/1.1", 400, "%"},
	{"GET /test/a%0d%0ab HTTP/1.1", 400, `byte 2 is '\r'`},
	{"GET /test/%C3%A9 HTTP/1.1", 400, "byte 1"},
	{"GET /test/" + strings.Repeat("1", 129) + " HTTP/1.1", 400, "longer than 128 bytes"},
	{"GET /test/" + strings.Repeat("%31", 129) + " HTTP/1.1", 400, "longer than 128 bytes"},

	{"\r\n\r\nGET /test/1 HTTP/1.1", 400, "empty line"},
	{"GET /test/1 HTTP/1.1\r\nHost : x\r\n\r\n", 400, "space between a field's name and its colon"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400, "obs-fold"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\ry\r\n\r\n", 400, "bare CR"},
	{"GET /test/1 HTTP/1.1\nHost: x\n\n", 400, "bare LF"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\n\r\n", 400, "bare LF"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400, "control byte 0x0"},
	{"GET /test/\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "control byte 0x01"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nB\x7fd: 1\r\n\r\n", 400, "byte 0x7f in a field name"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\n", 400, "without a name"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n", 400, "without a colon"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "Content-Length"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "Content-Length and Transfer-Encoding"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "gzip"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "gzip"},
	{"GET /test/1 HTTP/1.1\r\n\r\n", 400, "0 Host fields"},
	{"GET /test/1 HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400, "2 Host fields"},
	{"GET /test/1 HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad Host"},
	{"GET /test/1 HTTP/2.0", 505, "HTTP/2.0"},
	{"GET /test/1", 400, "request line"},
	{"GET /test/1 HTTP/1.1 ", 400, "bad request target"},
	{"GET /test/1 HTTP/x", 400, "version"},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2.0"},
	{"G(T /test/1 HTTP/1.1", 400, "bad method"},
	{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "TLS"},
	{"GET /test/" + strings.Repeat("1", 9<<10) + " HTTP/1.1", 414, "start line is longer than 8192 bytes"},
	{strings.Repeat("G", 1<<20), 414, "start line is longer"},
	{"GET /test/1 HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 10_000) + hostLine, 431, "more than 100 fields"},
	{"GET /test/1 HTTP/1.1\r\nA: " + strings.Repeat("b", 1<<20) + "\r\n" + hostLine, 431, "head is longer than 16384 bytes"},
}

func TestRequests(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		bad, missed := int64(0), int64(0)
		for _, c := range requests {
			raw := c.raw
			if !strings.Contains(raw, "\r\n\r\n") && !strings.Contains(raw, "\n\n") {
				raw += "\r\n" + hostLine
			}
			b := dial(t, s)
			go io.WriteString(b, raw) // a refusal may come before all of it was read
			method, _, _ := strings.Cut(c.raw, " ")
			resp, err := http.ReadResponse(b.r, &http.Request{Method: method})
			if err != nil {
				t.Errorf("%.60q: %v", c.raw, err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || err != nil || !strings.Contains(string(body), c.says) || c.status != 200 && inside.Match(body) {
				t.Errorf("%.60q: %d %q (%v), want %d and %q", c.raw, resp.StatusCode, body, err, c.status, c.says)
			}
			goesOn := (c.status == 200 || c.status == 404 || c.says == "not implemented") && strings.Contains(c.raw, "HTTP/1.1")
			if resp.Close == goesOn {
				t.Errorf("%.60q: does the answer say that the connection ends? %t", c.raw, resp.Close)
			}
			if goesOn {
				b.say("POST /last HTTP/1.1\r\nConnection: close\r\n" + hostLine)
				if resp, err := http.ReadResponse(b.r, nil); err != nil || resp.StatusCode != 404 || !resp.Close {
					t.Errorf("%.60q: the next request gets %+v, %v", c.raw, resp, err)
				} else {
					io.Copy(io.Discard, resp.Body)
				}
				missed++
			}
			if rest := b.rest(); rest != "" {
				t.Errorf("%.60q: %q follows the answer", c.raw, rest)
			}
			b.Close()
			switch c.status {
			case 200:
			case 404:
				missed++
			default:
				bad++
			}
		}
		until(t, "all connections closed", func() bool { return s.Stats().Conns.Open == 0 })
		st := s.Stats()
		want := ConnStats{Max: 1000, Accepted: int64(len(requests)), Bad: bad, NotFound: missed}
		if sums(st.Conns) != want || st.Router.Sessions != 0 {
			t.Errorf("counted %+v and %d sessions, want %+v and none", st.Conns, st.Router.Sessions, want)
		}
	})
}

// Good ids, however they are written.
func TestIDs(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		long := strings.Repeat("a", 128)
		for _, c := range []struct{ target, id string }{
			{"/test/1", "1"}, {"/test/%31", "1"}, {"/test/007", "007"}, {"/test/anna", "anna"}, {"/test/a.b_c~d-e", "a.b_c~d-e"},
			{"/test/a%2Eb", "a.b"}, {"/test/" + long, long}, {"/test/1?x=y", "1"}, {"http://localhost/test/1", "1"}, {"/test/..", ".."},
		} {
			b := dial(t, s)
			b.say("GET " + c.target + " HTTP/1.1\r\n" + hostLine)
			if head := b.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Errorf("%s: %q", c.target, head)
				continue
			}
			publish(t, s, c.id+"\t"+c.target)
			b.wantMessage(1, c.target)
			b.Close()
			until(t, "logged out", func() bool { return s.Stats().Router.Sessions == 0 })
		}
	})
}

func TestStreamFormat(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s)
		b.say("GET /test/7 HTTP/1.1\r\n" + hostLine)
		const form = "^HTTP/1.1 200 OK\r\nServer: cometctl\r\nDate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n" +
			"Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n%s\r\n\r\n$"
		chunked := regexp.MustCompile(fmt.Sprintf(form, "Transfer-Encoding: chunked"))
		plain := regexp.MustCompile(fmt.Sprintf(form, "Connection: close"))
		if head := b.head(); !chunked.MatchString(head) { // at once: nothing was sent to 7 yet
			t.Errorf("head %q", head)
		}
		long := strings.Repeat("x", 60_000)
		publish(t, s, "7\tHello World\n7\t<b>\"it's\" & that</b>\n7\t\n7\t"+long+"\n8\tnot for 7\n7\tfünf\xff\x01\n")
		var raw bytes.Buffer
		oracle := httputil.NewChunkedWriter(&raw)
		for _, text := range []string{"1: 'Hello World'", "2: '&lt;b&gt;&#34;it&#39;s&#34; &amp; that&lt;/b&gt;'", "3: ''", "4: '" + long + "'", "5: 'fünf\xff\x01'"} {
			io.WriteString(oracle, "Recvd msg #"+text+"<br/>")
		}
		want := raw.String()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(b.r, got); err != nil || string(got) != want {
			t.Errorf("%v, got\n%.300q, want\n%.300q", err, got, want)
		}
		for range 6 {
			publish(t, s, "7\tmore\n")
		}
		for n := 6; n <= 11; n++ { // numbers may grow a digit
			b.wantMessage(n, "more")
		}
		// Another connection counts from 1, and line ends that it says after its head are nobody's business.
		second := dial(t, s)
		second.say("GET /test/7 HTTP/1.1\r\n" + hostLine + "\r\n")
		second.head()
		second.say("\r\n")
		publish(t, s, "7\tboth\n")
		second.wantMessage(1, "both")
		b.wantMessage(12, "both")

		// HTTP/1.0 knows no chunks; HEAD gets the head that GET would, and no login.
		old := dial(t, s)
		old.say("GET /test/10 HTTP/1.0\r\n\r\n")
		if head := old.head(); !plain.MatchString(head) {
			t.Errorf("HTTP/1.0: head %q", head)
		}
		publish(t, s, "10\tone\n10\ttwo\n")
		identity := make([]byte, len("Recvd msg #1: 'one'<br/>Recvd msg #2: 'two'<br/>"))
		if _, err := io.ReadFull(old.r, identity); err != nil || string(identity) != "Recvd msg #1: 'one'<br/>Recvd msg #2: 'two'<br/>" {
			t.Errorf("HTTP/1.0: %q, %v", identity, err)
		}
		before := s.Stats().Router.Logins
		for line, form := range map[string]*regexp.Regexp{"HEAD /test/7 HTTP/1.1\r\n" + hostLine: chunked, "HEAD /test/7 HTTP/1.0\r\n\r\n": plain} {
			h := dial(t, s)
			h.say(line)
			if got := h.head(); !form.MatchString(got) {
				t.Errorf("%q: %q", line, got)
			}
		}
		if now := s.Stats().Router.Logins; now != before {
			t.Errorf("HEAD made %d logins of %d", now, before)
		}
	})
}

// A head that arrives in two pieces, cut at each byte, and one that arrives byte by byte. Between two pieces the server has
// seen the first one: its partial heads are looked at.
func TestHeadCutAnywhere(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		head := "GET /test/%31 HTTP/1.1\r\nX: y\r\n" + hostLine
		var all []*browser
		sum := 0
		for cut := 1; cut < len(head); cut++ {
			b := dial(t, s)
			b.say(head[:cut])
			all, sum = append(all, b), sum+cut
		}
		until(t, "first pieces seen", func() bool { n, bytes := partials(s); return n == len(all) && bytes == sum })
		for i, b := range all {
			b.say(head[i+1:])
		}
		for i, b := range all {
			if got := b.head(); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
				t.Errorf("cut at %d: %q", i+1, got)
			}
		}
		drip := dial(t, s)
		for i := range len(head) {
			drip.say(head[i : i+1])
			if i < len(head)-1 {
				until(t, "a byte seen", func() bool { _, bytes := partials(s); return bytes == i+1 })
			}
		}
		if got := drip.head(); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("byte by byte: %q", got)
		}
		if n, _ := partials(s); n != 0 {
			t.Errorf("%d partial heads are kept", n)
		}
		publish(t, s, "1\there\n")
		for _, b := range append(all, drip) {
			b.wantMessage(1, "here")
		}
		// Ended in the middle of a head: nothing stays.
		for cut := 1; cut < len(head); cut += 5 {
			b := dial(t, s)
			b.say(head[:cut])
			if cut%2 == 0 {
				b.reset()
			}
			b.Close()
		}
		until(t, "cut heads forgotten", func() bool { n, _ := partials(s); return n == 0 && s.Stats().Conns.Open == int64(len(all)+1) })
	})
}

// A refusal in the second piece of a head, and one that the client is too busy sending to read.
func TestRefusedLate(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s)
		b.say("GET /test/1 HTTP/1.1\r\nA: ")
		until(t, "first piece seen", func() bool { n, _ := partials(s); return n == 1 })
		b.say("b\x00\r\n")
		if got := b.rest(); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "control byte") {
			t.Errorf("got %q", got)
		}
		busy := dial(t, s)
		for range 64 {
			busy.say(strings.Repeat("x", 64<<10)) // all of it is taken, so the answer is not lost to a reset
		}
		if got := busy.rest(); !strings.HasPrefix(got, "HTTP/1.1 414 ") {
			t.Errorf("got %q", got)
		}
	})
}

// net/http's client is an independent reader of the stream.
func TestStreamForNetHTTP(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		resp, err := http.Get("http://" + s.Comet().String() + "/test/go")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 || len(resp.TransferEncoding) != 1 || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("response %+v", resp)
		}
		publish(t, s, "go\tone\ngo\ttwo\n")
		got := make([]byte, 48)
		if _, err := io.ReadFull(bufio.NewReader(resp.Body), got); err != nil || string(got) != "Recvd msg #1: 'one'<br/>Recvd msg #2: 'two'<br/>" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

var _ netloop.Handler = (*front)(nil)
