package flood

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// The first answer of each kind is read on for its body, however it comes; those that follow end at once.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("0123456789", 60)
	for _, c := range []struct {
		name, answer string
		want         Refusal
	}{
		{"with a length", "HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\ncome later", Refusal{Cause: "status 503", Body: "come later"}},
		{"chunked", "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n5\r\n here\r\n0\r\n\r\n", Refusal{Cause: "status 404", Body: "not here"}},
		{"long", "HTTP/1.1 429 No\r\nContent-Length: 600\r\n\r\n" + long, Refusal{Cause: "status 429", Body: long[:maxExcerpt]}},
		{"none", "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", Refusal{Cause: "status 401"}},
		{"no content", "HTTP/1.1 204 No\r\n\r\n", Refusal{Cause: "status 204"}},
		{"lines", "HTTP/1.1 403 No\r\nContent-Length: 22\r\n\r\n<h1>\r\n\tNo!\x00\x1b[2J</h1>\xff\xe2", Refusal{Cause: "status 403", Body: "<h1> No! [2J</h1>"}},
		{"bad in its body", "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzzz", Refusal{Cause: "status 500", Body: "ab"}},
		{"elsewhere", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/else\r\nContent-Length: 4\r\n\r\nGo! ", Refusal{Cause: "redirect 302", Location: "http://127.0.0.1/else", Body: "Go!"}},
		{"nowhere", "HTTP/1.1 308 Moved\r\nContent-Length: 0\r\n\r\n", Refusal{Cause: "redirect 308"}},
		{"not modified", "HTTP/1.1 304 No\r\nLocation: /x\r\n\r\n", Refusal{Cause: "status 304"}},
	} {
		for _, url := range []string{"http://127.0.0.1:8000/{1..3}", "ws://127.0.0.1:8000/{1..3}"} {
			for cut := 1; cut <= len(c.answer); cut++ {
				r := newRig(t, 100, url)
				r.dialAll()
				for c := range r.conns {
					r.open(r.conns[c])
				}
				r.read(1, c.answer[:cut])
				if r.live(1) {
					r.read(1, c.answer[cut:])
				}
				head, _, _ := strings.Cut(c.answer, "\r\n\r\n")
				r.read(2, head+"\r\n\r\n")
				r.read(3, c.answer)
				c.want.Times = 3
				got := r.result()
				if r.live(1) || r.live(2) || r.live(3) || !reflect.DeepEqual(got.Refusals, []Refusal{c.want}) || got.Failed != 3 {
					t.Fatalf("%s %s cut at %d: %+v, %+v; want %+v", c.name, url, cut, got.Refusals, got, c.want)
				}
				r.wantNothingKept(t, c.name)
			}
		}
	}
}

// Whoever is refused stays so, whatever ends the connection while the body is read: a time limit, a reset.
func TestRefusalIsCut(t *testing.T) {
	for name, end := range map[string]func(r *rig){
		"a time limit": func(r *rig) { r.h.Expired(r.fakeLoop, 1) },
		"a reset":      func(r *rig) { r.hangUp(1, errReset()) },
		"an end":       func(r *rig) { r.hangUp(1, errors.New("?")) },
	} {
		r := newRig(t, 1, "http://127.0.0.1:8000/")
		r.dialAll()
		r.open(1)
		r.read(1, "HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\ncome la")
		if !r.live(1) {
			t.Fatalf("%s: the body was not waited for", name)
		}
		end(r)
		if got := r.result(); got.FailedBy["status 503"] != 1 || got.Refusals[0].Body != "come la" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A poll has no time limit any more, so that nothing is waited for; it has ended early.
func TestRefusedPoll(t *testing.T) {
	r := newRigAs(t, AsPoll, "http://127.0.0.1:8000/poll/1")
	r.dialAll()
	r.open(1)
	r.read(1, answer("200 OK", "", "x")+"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\ncome la")
	if got := r.result(); r.live(1) || got.ClosedBy["status 503"] != 1 || len(got.Refusals) != 1 || got.Refusals[0].Body != "come la" {
		t.Errorf("%+v", got)
	}
	r = newRigAs(t, AsPoll, "http://127.0.0.1:8000/poll/1")
	r.dialAll()
	r.open(1)
	r.read(1, answer("503 No", "", "whole"))
	if got := r.result(); r.live(1) || got.ClosedBy["status 503"] != 1 || got.Refusals[0].Body != "whole" {
		t.Errorf("%+v", got)
	}
}

// Few ways are kept, the first of each, and they go over a wire.
func TestRefusalsAreBounded(t *testing.T) {
	r := newRig(t, 1000, "http://127.0.0.1:8000/{1..100}")
	r.dialAll()
	for i := range 100 {
		r.open(r.conns[i])
		r.read(r.conns[i], "HTTP/1.1 "+string([]byte{'4', '0' + byte(i/10), '0' + byte(i%10)})+" No\r\nContent-Length: 2\r\n\r\nab")
	}
	got := r.result()
	if len(got.Refusals) != maxRefused || got.Failed != 100 {
		t.Fatalf("%d ways, %d failed", len(got.Refusals), got.Failed)
	}
	sum, wired := NewTally(0), NewTally(0)
	r.lane.snapshot(sum)
	for range 2 {
		if err := wired.AddBinary(sum.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
	}
	again := wired.Result(200)
	for i := range got.Refusals {
		got.Refusals[i].Times *= 2
	}
	if !reflect.DeepEqual(again.Refusals, got.Refusals) {
		t.Errorf("%+v\nwant\n%+v", again.Refusals, got.Refusals)
	}
	text := sum.refusals.appendTo(nil)
	for i := range text {
		if all, _, ok := refusalsFrom(text[:i]); ok {
			t.Fatalf("%d of %d bytes are %d refusals", i, len(text), len(all))
		}
	}
	if _, _, ok := refusalsFrom(bytes.Repeat([]byte{0xff}, 20)); ok {
		t.Error("nonsense was read")
	}
}
