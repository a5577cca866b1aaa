package flood

import (
	"strings"
	"testing"
)

// newCursorRig is a lane that polls url with that cursor.
func newCursorRig(t *testing.T, cursor, url string, header ...string) *rig {
	t.Helper()
	rules, err := Ask{As: "poll", Cursor: cursor, Header: header}.Rules()
	if err != nil {
		t.Fatal(err)
	}
	targets, err := LoadTargets([]string{"-"}, strings.NewReader(url), rules)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, 100, "http://127.0.0.1:1/")
	r.plan.targets = targets
	r.lane = newLane(r.plan, 0)
	r.fakeLoop.h = handler{r.lane}
	r.plan.allowed.Store(int64(targets.Len()))
	return r
}

// Each poll has the cursor that the last answer had, wherever the answers are cut; one without a cursor leaves it.
func TestCursors(t *testing.T) {
	for _, c := range []struct {
		name, cursor, url, answers, want string
		header                           string
	}{
		{"json", "json:next", "/u/{1..1}?since={cursor}", answer("200 OK", "", `{"next":"a b&c"}`) + answer("200 OK", "", `{"next": 7, "x":[]}`) + answer("204 No Content", "", ""),
			"/u/1?since=; /u/1?since=a%20b%26c; /u/1?since=7; /u/1?since=7", ""},
		{"json of the first", "json:next=0", "/u/{id}/{5..5}/{cursor}", answer("200 OK", "", `{}`) + answer("200 OK", "", `{"a":{"next":12}}`), "/u/5/5/0; /u/5/5/0; /u/5/5/12", ""},
		{"json that is chunked", "json:n", "/u?c={cursor}", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"n\"\r\n5\r\n:\"ab\"\r\n1\r\n}\r\n0\r\n\r\n", "/u?c=; /u?c=ab", ""},
		{"header", "header:X-Next", "/u?c={cursor}", answer("200 OK", "x-next: 1/2\r\n", "") + answer("200 OK", "", ""), "/u?c=; /u?c=1%2F2; /u?c=1%2F2", ""},
		{"into a field", "header:ETag=*", "/u", answer("200 OK", "ETag: \"a\"\r\n", ""), `/u If-None-Match: *; /u If-None-Match: "a"`, "If-None-Match: {cursor}"},
		{"last-modified", "last-modified", "/u", answer("200 OK", "Last-Event-ID: 7\r\nLast-Modified: now\r\nETag: 1\r\n", ""), "/u; /u If-Modified-Since: now|If-None-Match: 1", ""},
	} {
		for cut := range len(c.answers) + 1 {
			r := newCursorRig(t, c.cursor, "http://127.0.0.1:8000"+c.url, strings.Fields(strings.ReplaceAll(c.header, ": ", ":"))...)
			r.dialAll()
			r.open(1)
			r.read(1, c.answers[:cut])
			r.read(1, c.answers[cut:])
			if got := strings.Join(r.polled(t, 1), "; "); got != c.want {
				t.Fatalf("%s, cut at %d: asked %q, want %q", c.name, cut, got, c.want)
			}
			r.hangUp(1, errReset())
			if n := r.heads.marks.cursors.slab.Len() + r.heads.marks.slab.Len(); n != 0 {
				t.Fatalf("%s: %d cursors are kept", c.name, n)
			}
		}
	}
}

// A cursor that cannot be sent ends the connection, and says so.
func TestBadCursors(t *testing.T) {
	long := strings.Repeat("x", maxCursor+1)
	for _, c := range []struct{ cursor, answer string }{
		{"json:next", answer("200 OK", "", `{"next":"`+long+`"}`)},
		{"header:X", answer("200 OK", "X: "+long+"\r\n", "")},
		{"json:next", answer("200 OK", "", `{"next":"a\nb"}`)},
	} {
		r := newCursorRig(t, c.cursor, "http://127.0.0.1:8000/?c={cursor}")
		r.dialAll()
		r.open(1)
		r.read(1, c.answer+c.answer)
		if got := r.result(); r.live(1) || got.ClosedBy["bad cursor"] != 1 || r.heads.marks.cursors.slab.Len() != 0 {
			t.Errorf("%s %.60q: %+v", c.cursor, c.answer, got)
		}
	}
}

// Where there is a cursor, it goes somewhere, and the other way round.
func TestCursorHasItsPlace(t *testing.T) {
	for _, c := range []struct {
		ask  Ask
		url  string
		want string // "": it is good
	}{
		{Ask{As: "poll", Cursor: "json:n"}, "http://127.0.0.1/{cursor}", ""},
		{Ask{As: "poll", Cursor: "json:n", Header: []string{"X: {cursor}"}}, "http://127.0.0.1/", ""},
		{Ask{As: "poll", Cursor: "last-modified"}, "http://127.0.0.1/", ""},
		{Ask{As: "poll", Cursor: "json:n"}, "ws://127.0.0.1/", ""},
		{Ask{As: "poll", Cursor: "json:n"}, "http://127.0.0.1/", "would go nowhere"},
		{Ask{As: "poll"}, "http://127.0.0.1/{cursor}", "--cursor header:NAME or json:NAME"},
		{Ask{As: "poll", Cursor: "last-modified"}, "http://127.0.0.1/{cursor}", "--cursor header:NAME or json:NAME"},
		{Ask{As: "sse"}, "http://127.0.0.1/{cursor}", "with --as poll"},
		{Ask{Header: []string{"X: {cursor}"}}, "http://127.0.0.1/", "with --as poll"},
	} {
		rules, err := c.ask.Rules()
		if err == nil {
			_, err = LoadTargets([]string{"-"}, strings.NewReader(c.url), rules)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v %s: %v, want %q", c.ask, c.url, err, c.want)
		}
	}
}

func FuzzCursor(f *testing.F) {
	for _, s := range []string{"header:X=1", "json:next", "last-modified", "json:a=b=c", ":", "header:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err == nil && c.templated() == (c.name == "") {
			t.Fatalf("%q: %+v", s, c)
		}
	})
}
