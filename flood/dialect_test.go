package flood

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cometctl/internal/wire"
)

// newRigAs is newRig with a dialect for its http:// URLs.
func newRigAs(t testing.TB, as As, urls ...string) *rig {
	t.Helper()
	targets, err := LoadTargets(urls, nil, Rules{As: as})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, 100, "http://127.0.0.1:1/")
	r.plan.targets = targets
	r.plan.allowed.Store(int64(targets.Len()))
	return r
}

func TestParseAs(t *testing.T) {
	for _, s := range []string{"", "sse", "poll"} {
		if as, err := ParseAs(s); err != nil || string(as) != s {
			t.Errorf("%q: %q, %v", s, as, err)
		}
	}
	for _, s := range []string{"SSE", "ws", "html", " "} {
		if _, err := ParseAs(s); err == nil || !strings.Contains(err.Error(), "give sse") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// A server that sends something else than the event stream that was asked for has not done what was asked.
func TestEventStreams(t *testing.T) {
	for _, c := range []struct {
		head string
		why  cause // "": it is open
	}{
		{"200 OK\r\nContent-Type: text/event-stream\r\n", ""},
		{"200 OK\r\ncontent-type: Text/Event-Stream; charset=utf-8\r\n", ""},
		{"200 OK\r\nContent-Type: text/html\r\n", causeNoEvents},
		{"200 OK\r\nContent-Type: text/event-streams\r\n", causeNoEvents},
		{"200 OK\r\nContent-Type: text/event\r\n", causeNoEvents},
		{"200 OK\r\n", causeNoEvents},
		{"204 No Content\r\nContent-Type: text/event-stream\r\n", "status 204"},
		{"503 Service Unavailable\r\nContent-Type: text/event-stream\r\n", "status 503"},
	} {
		r := newRigAs(t, AsSSE, "http://127.0.0.1:8000/events/1")
		r.dialAll()
		r.open(1)
		if !strings.Contains(r.written[0], "\r\nAccept: text/event-stream\r\n") {
			t.Fatalf("asked with %q", r.written[0])
		}
		r.read(1, "HTTP/1.1 "+c.head+"Transfer-Encoding: chunked\r\n\r\n")
		if c.why != "" && r.live(1) { // the body of a refusal
			r.read(1, wire.LastChunk)
		}
		got := r.result()
		if c.why == "" && (!r.live(1) || got.Open != 1) || c.why != "" && (r.live(1) || got.FailedBy[string(c.why)] != 1) {
			t.Errorf("%q: %+v, want %q", c.head, got, c.why)
		}
	}
	h, err := ParseHeader([]string{"accept: text/plain"})
	if err != nil || !strings.Contains(h.lines("h", dialectSSE), "accept: text/plain\r\n\r\n") || strings.Contains(h.lines("h", dialectSSE), "event-stream") {
		t.Errorf("a field of -H is not heard: %q, %v", h.lines("h", dialectSSE), err)
	}
}

// answer is what a server says to a poll.
func answer(status, fields, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", status, fields, len(body), body)
}

// polled are the requests that a connection has sent, without what they all have in common.
func (r *rig) polled(t *testing.T, c int) (paths []string) {
	t.Helper()
	const rest = " HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: cometctl\r\nAccept: */*\r\n"
	for request := range strings.SplitAfterSeq(r.written[c-1], "\r\n\r\n") {
		if request == "" {
			break
		}
		path, fields, ok := strings.Cut(strings.TrimPrefix(request, "GET "), rest)
		if !ok {
			t.Fatalf("request %q", request)
		}
		paths = append(paths, strings.Trim(path+" "+strings.ReplaceAll(fields, "\r\n", "|"), " |"))
	}
	return paths
}

// Each poll goes on from where the last answer ended, on the same connection, however the answers are cut.
func TestPolls(t *testing.T) {
	line := func(seq uint64) string {
		return string(wire.AppendLine(nil, []byte("12"), seq, wire.AppendStamp(nil, testRun, []byte("12"), seq, testStart, 0)))
	}
	chunked := func(s string) string {
		return "Transfer-Encoding: chunked\r\n\r\n" + string(wire.AppendChunk(nil, []byte(s))) + wire.LastChunk
	}
	for _, c := range []struct {
		name, url, answers, want string
		messages                 uint64
	}{
		{"ours", "/poll/12", answer("200 OK", "Last-Event-ID: 7\r\n", line(1)) + answer("204 No Content", "Last-Event-ID: 7\r\n", "") + answer("200 OK", "last-event-id: 9\r\n", line(2)+line(3)),
			"/poll/12; /poll/12?since=7; /poll/12?since=7; /poll/12?since=9", 3},
		{"a query of its own", "/poll/12?since=0&wait=9s", answer("200 OK", "Last-Event-ID: 7\r\n", line(1)) + answer("200 OK", "Last-Event-ID: 8\r\n", ""),
			"/poll/12?since=0&wait=9s; /poll/12?since=7&since=0&wait=9s; /poll/12?since=8&since=0&wait=9s", 1},
		{"several ids", "/poll/12,57", answer("200 OK", "Last-Event-ID: 12:7,57:1\r\n", line(1)), "/poll/12,57; /poll/12,57?since=12:7,57:1", 1},
		{"chunked", "/poll/12", "HTTP/1.1 200 OK\r\nLast-Event-ID: 7\r\n" + chunked(line(1)), "/poll/12; /poll/12?since=7", 1},
		{"nchan", "/poll/12", answer("200 OK", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nEtag: 0\r\n", line(1)) + answer("200 OK", "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT\r\nEtag: 1\r\n", line(2)),
			"/poll/12; /poll/12 If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT|If-None-Match: 0; /poll/12 If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT|If-None-Match: 1", 2},
		{"no word of where", "/poll/12", answer("200 OK", "", line(1)) + answer("204 No Content", "", ""), "/poll/12; /poll/12; /poll/12", 1},
	} {
		for cut := range len(c.answers) + 1 {
			r := newRigAs(t, AsPoll, "http://127.0.0.1:8000"+c.url)
			r.dialAll()
			r.open(1)
			if got := r.result(); got.Open != 1 || got.TTFB != nil || r.deadlines[0] != 0 || len(r.plan.again) != 1 {
				t.Fatalf("%s: asked, and %+v, %d signals", c.name, got, len(r.plan.again))
			}
			r.read(1, c.answers[:cut])
			r.read(1, c.answers[cut:])
			got := r.result()
			if asked := strings.Join(r.polled(t, 1), "; "); asked != c.want || got.Messages != c.messages || got.Open != 1 || got.Missing+got.Duplicated != 0 {
				t.Fatalf("%s, cut at %d: asked\n%s, want\n%s; %+v, want %d messages", c.name, cut, asked, c.want, got, c.messages)
			}
			r.hangUp(1, io.EOF)
			if r.heads.marks.slab.Len() != 0 || r.stamps.tails.Len() != 0 || r.result().ClosedBy["eof"] != 1 {
				t.Fatalf("%s: after the end: %d marks, %+v", c.name, r.heads.marks.slab.Len(), r.result())
			}
		}
	}
}

// What ends a polling connection, and what it is counted as.
func TestPollEnds(t *testing.T) {
	for _, c := range []struct {
		name, answers string
		why           cause
	}{
		{"not found", answer("404 Not Found", "", ""), "status 404"},
		{"full", answer("503 Service Unavailable", "Connection: close\r\n", "later"), "status 503"},
		{"closes", answer("200 OK", "Connection: close\r\nLast-Event-ID: 7\r\n", "x"), causeEnded},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nx", causeEnded},
		{"a position that would be a request", answer("200 OK", "Last-Event-ID: 7&wait=0 HTTP/1.1\r\n", "x"), causeBad},
		{"a position too long", answer("200 OK", "Last-Event-ID: "+strings.Repeat("7", 62)+"\r\n", "x"), causeBad},
		{"a date too long", answer("200 OK", "Last-Modified: "+strings.Repeat("7", 40)+"\r\nETag: "+strings.Repeat("7", 22)+"\r\n", "x"), causeBad},
		{"no http", "hello\r\n\r\n", causeBad},
	} {
		r := newRigAs(t, AsPoll, "http://127.0.0.1:8000/poll/12")
		r.dialAll()
		r.open(1)
		r.read(1, c.answers)
		if r.live(1) {
			r.hangUp(1, io.EOF)
		}
		if got := r.result(); got.ClosedBy[string(c.why)] != 1 || got.ClosedEarly != 1 || got.Open != 0 || got.Failed != 0 || r.heads.marks.slab.Len() != 0 {
			t.Errorf("%s: %+v, want closed by %q", c.name, got, c.why)
		}
	}
}

// A dialect is read by real servers as it is by ours: net/http answers polls on one connection.
func TestPollsOfNetHTTP(t *testing.T) {
	since := make(chan string, 10)
	c := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := r.URL.Query().Get("since")
		since <- at
		switch at {
		case "":
			w.Header().Set("Last-Event-ID", "1")
			w.Write(wire.AppendStamp(nil, testRun, []byte("12"), 1, testStart, 0))
		case "1":
			w.Header().Set("Last-Event-ID", "2")
			w.WriteHeader(http.StatusNoContent)
		case "2":
			w.Header().Set("Last-Event-ID", "3")
			w.Write(bytes.Repeat([]byte("x"), 10_000)) // chunked
			w.(http.Flusher).Flush()
			w.Write(wire.AppendStamp(nil, testRun, []byte("12"), 2, testStart, 0))
		default:
			w.Header().Set("Connection", "close")
		}
	}))
	t.Cleanup(c.Close)
	targets, err := LoadTargets([]string{c.URL + "/poll/12?wait=1s"}, nil, Rules{As: AsPoll})
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range engines() {
		f, err := New(Config{Targets: targets, Engine: engine})
		if err != nil {
			t.Fatal(err)
		}
		r, err := f.Run(t.Context())
		if err != ErrAllEnded || r.Messages != 2 || r.ClosedBy["ended"] != 1 || len(since) != 4 {
			t.Errorf("%s: %v, %+v, asked %d times", engine, err, r, len(since))
		}
		for _, want := range []string{"", "1", "2", "3"} {
			if got := <-since; got != want {
				t.Errorf("%s: asked since %q, want %q", engine, got, want)
			}
		}
	}
}

// One host may speak HTTP and WebSocket; what is asked of each goes by its own URL, whatever --as says of the others.
func TestSchemes(t *testing.T) {
	targets, err := LoadTargets([]string{"http://127.0.0.1:8000/poll/1", "ws://127.0.0.1:8000/ws/{1..2}", "ws://127.0.0.1:8000/ws/3"}, nil, Rules{As: AsPoll})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []dialect{dialectPoll, dialectWebSocket, dialectWebSocket, dialectWebSocket} {
		if got := targets.dialect(i); got != want || strings.Contains(string(targets.AppendRequest(nil, i)), "Upgrade: websocket") != (want == dialectWebSocket) {
			t.Errorf("target %d: %d and %q", i, got, targets.AppendRequest(nil, i))
		}
	}
}
