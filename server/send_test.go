package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"cometctl/internal/netloop"
)

func TestSendOne(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MessageMax: 1000})
		b, twin := dial(t, s).stream("123"), dial(t, s).stream("123")
		for _, c := range []struct {
			path, body string
			status     int
			says       string
		}{
			{"/send/123", "Hello World", 200, `"sent":1,"offline":0,"copies":2,"delivered":2,"dropped":0,"gone":0,"pending":0,"bad":0}`},
			{"/send/%31%32%33", "escaped", 200, `"copies":2`},
			{"/send/nobody", "x", 200, `"sent":1,"offline":1,"copies":0`},
			{"/send/123", strings.Repeat("m", 1000), 200, `"copies":2`},
			{"/send/123", "", 200, `"copies":2`},
			{"/send/123", "two\nlines\t", 200, `"copies":2`},
			{"/send/123", strings.Repeat("m", 1001), 413, "larger than 1000 bytes (--message-max)"},
			{"/send/a%20b", "x", 400, `byte 2 is ' '`},
			{"/send/a%2Fb", "x", 400, `byte 2 is '/'`},
			{"/send/%00", "x", 400, `byte 1 is '\x00'`},
			{"/send/" + strings.Repeat("9", 129), "x", 400, "129 bytes; at most 128"},
			{"/send/a/b", "x", 404, ""},
		} {
			a := admin(t, s, "POST", c.path, "", strings.NewReader(c.body))
			if a.status != c.status || !strings.Contains(a.body, c.says) || inside.MatchString(a.body) {
				t.Errorf("POST %.40s %.20q: %d %s, want %d %s", c.path, c.body, a.status, a.body, c.status, c.says)
			}
		}
		for i, want := range []string{"Hello World", "escaped", strings.Repeat("m", 1000), "", "two\nlines\t"} {
			b.wantMessage(i+1, want)
			twin.wantMessage(i+1, want)
		}
		wantLedger(t, s, Ledger{Sent: 6, Offline: 1, Copies: 10, Delivered: 10})
		if a := admin(t, s, "PUT", "/send/1", "", nil); a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("PUT: %d, Allow %q", a.status, a.header.Get("Allow"))
		}
	})
}

// inside are words of ours that say nothing to a client: packages, Go's types.
var inside = regexp.MustCompile(`\b(router|server|wire|json|cluster): |Go |struct`)

// streams is what lines become.
var streams = []struct {
	name, contentType, body string
	got                     []string // by the session of id 1, which alone is here
	want                    totals   // Errors: by line, and a part of the text
}{
	{"nothing", "", "", nil, totals{}},
	{"one", "", "1\ta\n", []string{"a"}, totals{Ledger: Ledger{Sent: 1, Copies: 1, Delivered: 1}}},
	{"last line without its end", "text/plain", "1\ta\n1\tb", []string{"a", "b"}, totals{Ledger: Ledger{Sent: 2, Copies: 2, Delivered: 2}}},
	{"CRLF and empty lines", "text/tab-separated-values; charset=utf-8", "\r\n1\ta\r\n\n\n1\tb\r\r\n\r\n", []string{"a", "b\r"}, totals{Ledger: Ledger{Sent: 2, Copies: 2, Delivered: 2}}},
	{"tabs and spaces are text", "application/x-www-form-urlencoded", "1\t\t a \t\n1\t\n", []string{"\t a \t", ""}, totals{Ledger: Ledger{Sent: 2, Copies: 2, Delivered: 2}}},
	{"bad lines", "text/tab-separated-values", "1\ta\nno tab\n\n\tno id\na b\tx\n1\tb\n2\tnobody\n" + strings.Repeat("1", 129) + "\tx\n", []string{"a", "b"}, totals{
		Ledger: Ledger{Sent: 3, Offline: 1, Copies: 2, Delivered: 2}, Bad: 4,
		Errors: []badLine{{2, "no tab"}, {4, "it is empty"}, {5, `byte 2 is ' '`}, {8, "129 bytes"}}}},
	{"ten bad lines are named", "", strings.Repeat("x\n", 12) + "1\ta\n", []string{"a"}, totals{
		Ledger: Ledger{Sent: 1, Copies: 1, Delivered: 1}, Bad: 12,
		Errors: []badLine{{1, ""}, {2, ""}, {3, ""}, {4, ""}, {5, ""}, {6, ""}, {7, ""}, {8, ""}, {9, ""}, {10, "no tab"}}}},
	{"binary", "", "\x00\xff\xfe\n1\t\x00\xff\n", []string{"\x00\xff"}, totals{
		Ledger: Ledger{Sent: 1, Copies: 1, Delivered: 1}, Bad: 1, Errors: []badLine{{1, "no tab"}}}},
	{"too large, one by little, one by much", "", "1\t" + strings.Repeat("m", 1001) + "\n1\t" + strings.Repeat("m", 300_000) + "\n1\ta\n1\t" + strings.Repeat("m", 1000) + "\n1\t" + strings.Repeat("n", 300_000),
		[]string{"a", strings.Repeat("m", 1000)}, totals{Ledger: Ledger{Sent: 2, Copies: 2, Delivered: 2}, Bad: 3,
			Errors: []badLine{{1, "a message of 1001 bytes; at most 1000"}, {2, "longer than a message of 1000 bytes"}, {5, "longer than a message of 1000 bytes"}}}},
	{"NDJSON", "application/x-ndjson", `{"id":"1","msg":"a\tb\n\u00e9"}` + "\n\n" + `{"msg":"","id":"1"}` + "\r\n" + ` {"id":"2","msg":"x"}`, []string{"a\tb\né", ""}, totals{
		Ledger: Ledger{Sent: 3, Offline: 1, Copies: 2, Delivered: 2}}},
	{"bad NDJSON", "application/x-ndjson", `{"id":"1"}` + "\n" + `{"id":1,"msg":"x"}` + "\n" + `{"id":"1","msg":"x"}{"id":"1","msg":"y"}` + "\n" + `[]` + "\n" + `{"id":"1","msg":"x","more":1}` +
		"\n" + `{"id":"1","msg":"x` + "\n" + `{"id":"1/","msg":"x"}` + "\n" + `{"id":"1","msg":"good"}`, []string{"good"}, totals{
		Ledger: Ledger{Sent: 1, Copies: 1, Delivered: 1}, Bad: 7,
		Errors: []badLine{{1, "both needed"}, {2, `"id" must be a string, and is: number`}, {3, "more than one"}, {4, `a JSON object with "id" and "msg", and is: array`},
			{5, `"more" is unknown; "id"`}, {6, "has no end"}, {7, "byte 2"}}}},
	{"worse NDJSON", "application/x-ndjson", `{"id":"1","msg":{}}` + "\n" + `id=1` + "\n" + `null` + "\n" + ` ` + "\n" + `{"id":true,"msg":"x"}` + "\n" + `{"ID":"1","Msg":"good"}`, []string{"good"}, totals{
		Ledger: Ledger{Sent: 1, Copies: 1, Delivered: 1}, Bad: 5,
		Errors: []badLine{{1, `"msg" must be a string, and is: object`}, {2, "no JSON: invalid character 'i'"}, {3, "both needed"}, {4, "has no end"}, {5, `"id" must be a string, and is: bool`}}}},
}

func TestSendStream(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MessageMax: 1000, MaxPending: 1 << 20})
		b := dial(t, s).stream("1")
		n := 0
		var sum Ledger
		for _, c := range streams {
			a := admin(t, s, "POST", "/send", c.contentType, strings.NewReader(c.body))
			got := totalsOf(t, a)
			for _, text := range c.got {
				n++
				b.wantMessage(n, text)
			}
			sum.Add(c.want.Ledger)
			if len(got.Errors) != len(c.want.Errors) {
				t.Errorf("%s: %d lines are named, want %d: %v", c.name, len(got.Errors), len(c.want.Errors), got.Errors)
				continue
			}
			for i, e := range c.want.Errors {
				if text := got.Errors[i].Error; got.Errors[i].Line != e.Line || !strings.Contains(text, e.Error) || inside.MatchString(text) {
					t.Errorf("%s: %+v is named, want %+v", c.name, got.Errors[i], e)
				}
			}
			got.Delivered, got.Pending = got.Delivered+got.Pending, 0 // the answer does not wait long
			got.Errors, c.want.Errors = nil, nil
			if gotText, want := fmt.Sprint(got), fmt.Sprint(c.want); a.status != 200 || gotText != want {
				t.Errorf("%s: %d %s, want %s", c.name, a.status, gotText, want)
			}
		}
		wantLedger(t, s, sum)
		for _, contentType := range []string{"image/png", "application/xml; a=b", "nonsense;;"} {
			a := admin(t, s, "POST", "/send", contentType, strings.NewReader("1\tx\n"))
			if a.status != 415 || !strings.Contains(a.body, contentType) || !strings.Contains(a.body, "application/x-ndjson (") || strings.Contains(a.body, "%!") {
				t.Errorf("content type %q: %d %s", contentType, a.status, a.body)
			}
		}
		wantLedger(t, s, sum)
	})
}

// begin starts a stream of lines that does not end by itself.
func begin(t *testing.T, s *Server) *browser {
	t.Helper()
	p := dialTo(t, s.Admin().String(), 0)
	p.say("POST /send HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + hostLine)
	return p
}

// lines sends text as one chunk of the request's body.
func (c *browser) lines(text string) { c.say(fmt.Sprintf("%x\r\n%s\r\n", len(text), text)) }

// totals reads the answer to a publishing request.
func (c *browser) totals() (status int, sum totals) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.NewDecoder(resp.Body).Decode(&sum); err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, sum
}

// A message leaves when its line is whole, however lines are cut, and does not wait for the next one.
func TestLinesAsTheyArrive(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b, p := dial(t, s).stream("1"), begin(t, s)
		p.lines("1\tfirst\n")
		b.wantMessage(1, "first")
		p.lines("1\tsecond\n1\tth")
		b.wantMessage(2, "second")
		p.lines("ird\r")
		p.lines("\n")
		b.wantMessage(3, "third")
		if l := s.Stats().Ledger; l.Sent != 3 {
			t.Errorf("while the stream goes on: %+v", l)
		}
		p.lines("1\tlast")
		p.say("0\r\n\r\n")
		b.wantMessage(4, "last")
		if status, sum := p.totals(); status != 200 || sum.Sent != 4 || sum.Copies != 4 {
			t.Errorf("%d %+v", status, sum)
		}
	})
}

// Whole lines of a stream that is cut off were sent, the cut line was not, and the account is closed.
func TestStreamCutOff(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s).stream("1")
		for i, end := range []func(*browser){
			func(p *browser) { p.reset() },
			func(p *browser) { p.Close() },
			func(p *browser) { p.say("rubbish\r\n") }, // where a chunk should begin
		} {
			p := begin(t, s)
			p.lines("1\twhole\n2\tnobody\n1\tcut o")
			b.wantMessage(i+1, "whole")
			end(p)
			until(t, "the publisher has left", func() bool {
				s.ledger.mu.Lock()
				defer s.ledger.mu.Unlock()
				return s.ledger.past != nil && s.ledger.past.look().Sent == int64(2*i+2)
			})
		}
		// With a Content-Length, and half-closed, so that it hears the answer.
		p := dialTo(t, s.Admin().String(), 0)
		p.say("POST /send HTTP/1.1\r\nContent-Length: 100\r\n" + hostLine + "1\twhole\n1\tcut o")
		p.CloseWrite()
		if status, sum := p.totals(); status != 400 || sum.Sent != 1 || !strings.Contains(sum.Cut, "unexpected EOF") {
			t.Errorf("%d %+v", status, sum)
		}
		b.wantMessage(4, "whole")
		one := dialTo(t, s.Admin().String(), 0)
		one.say("POST /send/1 HTTP/1.1\r\nContent-Length: 100\r\n" + hostLine + "half a mess")
		one.CloseWrite()
		if got := one.rest(); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "cut off") {
			t.Errorf("one message: %q", got)
		}
		wantLedger(t, s, Ledger{Sent: 7, Offline: 3, Copies: 4, Delivered: 4})
	})
}

// A publisher that is faster than the loops waits in its connection; memory holds a mailbox and no more.
func TestBackPressure(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const size, n = 10_000, 1500
		const mailbox = 2 << 20 // netloop's default
		s := start(t, Config{Engine: engine, Loops: 1, MaxPending: 64 << 20})
		b := dial(t, s).stream("1")
		busy, release := make(chan bool), make(chan bool)
		go s.engine.Do(0, func(netloop.Loop) { close(busy); <-release })
		<-busy
		done := make(chan totals)
		go func() {
			line := "1\t" + strings.Repeat("m", size) + "\n"
			a, err := askAdmin(s, "POST", "/send", "", io.LimitReader(&repeat{text: []byte(line)}, n*int64(len(line))))
			if err != nil {
				t.Error(err)
			}
			var sum totals
			json.Unmarshal([]byte(a.body), &sum)
			done <- sum
		}()
		// The loop stands still until the mailbox is full and the publisher with it.
		full := int64(mailbox / size)
		until(t, "the mailbox is full", func() bool { return s.ledger.read().Copies > full })
		for range 20 {
			if got := s.ledger.read().Copies; got > full+1 { // one waits in Post
				t.Errorf("%d messages of %d bytes were taken, the mailbox has %d bytes", got, size, mailbox)
			}
			askAdmin(s, "GET", "/healthz", "", nil)
		}
		close(release)
		for i := range n {
			if text, err := b.message(i + 1); err != nil || len(text) != size {
				t.Fatalf("message %d of %d: %d bytes, %v", i+1, n, len(text), err)
			}
		}
		if sum := <-done; sum.Sent != n || sum.Copies != n || sum.Bad != 0 {
			t.Errorf("answered %+v", sum)
		}
		wantLedger(t, s, Ledger{Sent: n, Copies: n, Delivered: n})
	})
}

// repeat reads the same text again and again.
type repeat struct {
	text []byte
	off  int
}

func (r *repeat) Read(b []byte) (n int, err error) {
	for n < len(b) {
		k := copy(b[n:], r.text[r.off:])
		n, r.off = n+k, (r.off+k)%len(r.text)
	}
	return n, nil
}

// FuzzLines holds what a stream of lines is counted as against what a plain reading of it gives.
func FuzzLines(f *testing.F) {
	for _, c := range streams {
		if len(c.body) < 10_000 {
			f.Add([]byte(c.body), strings.Contains(c.contentType, "json"))
		}
	}
	s := start(f, Config{MessageMax: 100})
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		parse, lines := parseTSV, int64(0)
		if asJSON {
			parse = parseJSON
		}
		for _, line := range bytes.Split(body, []byte("\n")) {
			if len(bytes.TrimSuffix(line, []byte("\r"))) > 0 {
				lines++
			}
		}
		p := s.newPublisher()
		defer s.ledger.close(p.tag)
		var sum totals
		if err := p.stream(bytes.NewReader(body), parse, &sum); err != nil {
			t.Fatal(err)
		}
		sum.Ledger = p.read()
		if sum.Sent+sum.Bad != lines || sum.Offline != sum.Sent || len(sum.Errors) != int(min(sum.Bad, namedLines)) {
			t.Errorf("%d lines: %+v", lines, sum)
		}
	})
}
