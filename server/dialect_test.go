package server

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"cometctl/internal/netloop"
	"cometctl/server/history"
)

// ask sends a GET with further fields, whole lines.
func (c *browser) ask(target, fields string) *browser {
	c.t.Helper()
	c.say("GET " + target + " HTTP/1.1\r\n" + fields + hostLine)
	return c
}

// begin asks for a stream and reads the response's head.
func (c *browser) begin(target, fields string) (head string) {
	c.t.Helper()
	if head = c.ask(target, fields).head(); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
		c.t.Fatalf("%s got %q", target, head)
	}
	return head
}

// wantChunk fails unless the next chunk is text.
func (c *browser) wantChunk(text string) {
	c.t.Helper()
	if got, err := c.chunk(); err != nil || got != text {
		c.t.Errorf("got %q, %v, want %q", got, err, text)
	}
}

// number reads the number behind before in the next chunk.
func (c *browser) number(before string) uint64 {
	c.t.Helper()
	got, err := c.chunk()
	_, text, ok := strings.Cut(got, before)
	digits := strings.TrimRight(text[:len(text)-len(strings.TrimLeft(text, "0123456789"))], " ")
	n, numErr := strconv.ParseUint(digits, 10, 64)
	if err != nil || !ok || numErr != nil {
		c.t.Fatalf("got %q, %v, want a number behind %q", got, err, before)
	}
	return n
}

const retryChunk = "retry: 2000\n\n"

func TestEventStream(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		for _, c := range []struct{ target, fields, media string }{
			{"/events/7", "", "text/event-stream"},
			{"/events/7", "Accept: text/html\r\n", "text/event-stream"},
			{"/test/7", "Accept: text/event-stream\r\n", "text/event-stream"},
			{"/test/7", "Accept: text/html;q=0.5, text/event-stream\r\n", "text/event-stream"},
			{"/test/7", "Accept: */*, text/event-stream;q=0\r\n", "text/html"},
			{"/test/7", "Accept: */*\r\n", "text/html"},
			{"/test/7", "Accept: image/png\r\n", "text/html"},
			{"/test/7", "Accept: application/x-ndjson\r\n", "application/x-ndjson"},
		} {
			b := dial(t, s)
			head := b.begin(c.target, c.fields)
			if !strings.Contains(head, "\r\nContent-Type: "+c.media) || !strings.Contains(head, "\r\nTransfer-Encoding: chunked\r\n") ||
				!strings.Contains(head, "\r\nCache-Control: no-store\r\n") {
				t.Errorf("%s %q: %q", c.target, c.fields, head)
			}
			b.reset()
		}
		until(t, "they are gone", func() bool { return s.Stats().Conns.Open == 0 })
		b := dial(t, s)
		b.begin("/events/7", "")
		b.wantChunk(retryChunk)
		publish(t, s, "7\tHello <b>World</b>\n7\t\n8\tnot for 7\n")
		n := b.number("id: ")
		if n < 1e11 || n > 1e12+1 {
			t.Errorf("the first number is %d", n)
		}
		b.wantChunk(fmt.Sprintf("id: %d\ndata: \n\n", n+1))
		admin(t, s, "POST", "/send/7", "", strings.NewReader("one\ntwo\r\nthree\r four"))
		b.wantChunk(fmt.Sprintf("id: %d\ndata: one\ndata: two\ndata: three\ndata:  four\n\n", n+2))
		// Who comes later sees the same numbers.
		second := dial(t, s)
		second.begin("/events/7", "")
		second.wantChunk(retryChunk)
		publish(t, s, "7\tboth\n")
		for _, c := range []*browser{b, second} {
			c.wantChunk(fmt.Sprintf("id: %d\ndata: both\n\n", n+3))
		}
		// HTTP/1.0 gets events without chunks.
		old := dial(t, s)
		old.say("GET /events/7 HTTP/1.0\r\n\r\n")
		if head := old.head(); !strings.Contains(head, "\r\nConnection: close\r\n") || strings.Contains(head, "chunked") {
			t.Errorf("HTTP/1.0: %q", head)
		}
		publish(t, s, "7\tidentity\n")
		want := retryChunk + fmt.Sprintf("id: %d\ndata: identity\n\n", n+4)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(old.r, got); err != nil || string(got) != want {
			t.Errorf("HTTP/1.0: %q, %v", got, err)
		}
	})
}

func TestLines(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s)
		b.begin("/test/12,57", "Accept: application/x-ndjson\r\n")
		publish(t, s, "12\tone\n57\t\"two\"\xff\n12\tthree\n")
		n := b.number(`{"id":"12","n":`)
		m := b.number(`{"id":"57","n":`)
		b.wantChunk(fmt.Sprintf(`{"id":"12","n":%d,"msg":"three"}`+"\n", n+1))
		publish(t, s, "57\tfour\n")
		b.wantChunk(fmt.Sprintf(`{"id":"57","n":%d,"msg":"four"}`+"\n", m+1))
	})
}

// The seed's stream shows no numbers, whoever else does.
func TestHTMLBesideNumbers(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 3}})
		b := dial(t, s).stream("7")
		dial(t, s).begin("/events/7", "")
		publish(t, s, "7\tone\n7\ttwo\n")
		b.wantMessage(1, "one")
		b.wantMessage(2, "two")
	})
}

func TestHeartbeat(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Heartbeat: 10 * time.Millisecond})
		html, sse, lines := dial(t, s).stream("1"), dial(t, s), dial(t, s)
		sse.begin("/events/1", "")
		lines.begin("/test/1", "Accept: application/x-ndjson\r\n")
		sse.wantChunk(retryChunk)
		for range 3 {
			sse.wantChunk(":\n\n")
			lines.wantChunk("\n")
		}
		publish(t, s, "1\tnothing before\n")
		html.wantMessage(1, "nothing before")

		s = start(t, Config{Engine: engine, Heartbeat: -1})
		sse = dial(t, s)
		sse.begin("/events/1", "")
		sse.wantChunk(retryChunk)
		inLoops(s, func(l netloop.Loop, fl *frontLoop) {
			l.Conns(func(c netloop.Conn) bool {
				if d := s.cfg.Heartbeat; d >= 0 {
					t.Errorf("heartbeat %v", d)
				}
				return true
			})
		})
		publish(t, s, "1\tx\n")
		sse.number("id: ")
	})
}

// Pages of an allowed origin may read what they get, others may not.
func TestOrigins(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, AllowOrigin: []string{"https://a.example"}})
		for _, c := range []struct {
			request, origin string
			allowed         bool
		}{
			{"GET /events/1", "https://a.example", true}, {"GET /events/1", "https://b.example", false}, {"GET /poll/1?wait=0", "https://a.example", true},
			{"GET /poll/1?wait=10ms", "https://a.example", true}, {"GET /poll/1?wait=10ms", "https://b.example", false}, {"GET /nope", "https://a.example", true},
			{"OPTIONS /poll/1", "https://a.example", true}, {"OPTIONS /poll/1", "https://b.example", false}, {"GET /poll/1?wait=0", "", false},
		} {
			b := dial(t, s)
			origin := ""
			if c.origin != "" {
				origin = "Origin: " + c.origin + "\r\n"
			}
			b.say(c.request + " HTTP/1.1\r\n" + origin + hostLine)
			resp, err := http.ReadResponse(b.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Header.Get("Access-Control-Allow-Origin"); (got == c.origin && got != "") != c.allowed || got != "" && !c.allowed || resp.Header.Get("Vary") != "Origin" {
				t.Errorf("%s from %q: %d %v", c.request, c.origin, resp.StatusCode, resp.Header)
			}
			if method, _, _ := strings.Cut(c.request, " "); method == "OPTIONS" {
				if want := map[bool]int{true: 204, false: 501}[c.allowed]; resp.StatusCode != want || c.allowed && resp.Header.Get("Access-Control-Allow-Headers") == "" {
					t.Errorf("%s from %q: %d %v", c.request, c.origin, resp.StatusCode, resp.Header)
				}
			}
		}
		_, port, _ := strings.Cut(s.Admin().String(), ":")
		b := dial(t, s).ask("/", "")
		if _, body := b.response(); !strings.Contains(body, `name="cometctl-admin" content="http://127.0.0.1:`+port+`"`) {
			t.Errorf("the page does not know the admin listener at %s", s.Admin())
		}
	})
}
