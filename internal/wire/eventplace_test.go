package wire

import (
	"fmt"
	"strings"
	"testing"
)

// placeOf is what a place says of a stream that came in these pieces.
func placeOf(pieces ...string) string {
	var p EventPlace
	for _, b := range pieces {
		p.Scan([]byte(b))
	}
	text := "none"
	if id, ok := p.ID(); ok {
		text = fmt.Sprintf("%q", id)
	}
	if ms, ok := p.Retry(); ok {
		text += fmt.Sprint(" ", ms)
	}
	return text
}

func TestEventPlace(t *testing.T) {
	long := strings.Repeat("x", MaxEventID)
	for _, c := range []struct{ stream, want string }{
		{"", "none"},
		{"id: 7\n\n", `"7"`},
		{"id: 7\n", "none"}, // the event is not whole
		{"id: 7\ndata: x\n", "none"},
		{"id: 7\n\nid: 8\ndata: x\n", `"7"`},
		{"id: 7\r\n\r\n", `"7"`},
		{"id: 7\r\r", `"7"`},
		{"id:7\n\n", `"7"`},
		{"id:  7\n\n", `" 7"`},
		{"id\n\n", "none"},
		{"id: 7\n\nid\n\n", "none"}, // named, and empty
		{"id: 7\n\nid:\n\n", "none"},
		{"id: 7\n\ndata: x\n\n", `"7"`},
		{"id: 7\nid: 8\n\n", `"8"`},
		{"\ufeffid: 7\n\n", `"7"`},
		{"\ufeff\ufeffid: 7\n\n", "none"},
		{"\xefid: 7\n\nid: 8\n\n", `"8"`},
		{"idx: 7\n\nxid: 8\n\n: id: 9\n\n", "none"},
		{" id: 7\n\nID: 7\n\n", "none"},
		{"data: id: 7\n\n", "none"},
		{"data: a\nid: 7\nevent: b\n\n", `"7"`},
		{"id: a:b: c\n\n", `"a:b: c"`},
		{"id: é\n\n", `"é"`},
		{"id: a\tb\n\n", `"a\tb"`},
		{"id: 7\n\nid: a\x00b\n\n", "none"},
		{"id: " + long + "\n\n", `"` + long + `"`},
		{"id: 7\n\nid: " + long + "x\n\n", "none"},
		{"retry: 1500\n", "none 1500"},
		{"retry: 1500", "none"},
		{"retry:0\nid: 1\n\n", `"1" 0`},
		{"retry: 10\nretry: 20\n", "none 20"},
		{"retry: 10\nretry: 2x\nretry: -1\nretry:\nretry\nretry: 1.5\n", "none 10"},
		{"retry: 99999999999999999999999\n", fmt.Sprint("none ", MaxRetry)},
		{"retry:  5\n", "none"}, // one space only is not of the value
		{"data: retry: 5\n", "none"},
	} {
		if got := placeOf(c.stream); got != c.want {
			t.Errorf("%q: %s, want %s", c.stream, got, c.want)
		}
		for i := range len(c.stream) {
			if got := placeOf(c.stream[:i], c.stream[i:]); got != c.want {
				t.Errorf("%q cut at %d: %s, want %s", c.stream, i, got, c.want)
			}
		}
	}
}

// What was cut off with one stream is no part of the next.
func TestEventPlaceAgain(t *testing.T) {
	var p EventPlace
	p.Scan([]byte("retry: 9\nid: 7\n\nid: 8\nda"))
	p.Again()
	p.Scan([]byte("\ufeffdata: x\n\n"))
	if id, ok := p.ID(); !ok || string(id) != "7" {
		t.Errorf("%q, %v; want 7", id, ok)
	}
	if ms, ok := p.Retry(); !ok || ms != 9 {
		t.Errorf("%d, %v; want 9", ms, ok)
	}
}

func TestAppendResume(t *testing.T) {
	got := string(AppendResume([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), []byte("12:7")))
	if want := "GET / HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 12:7\r\n\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// wholePlace is what a place should say of a stream, told from all of its lines at once.
func wholePlace(stream string) string {
	stream = strings.TrimPrefix(stream, "\ufeff")
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(stream), "\n")
	id, next, retry := "", "", ""
	for _, line := range lines[:len(lines)-1] { // what is behind the last line end is not whole
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			id = next
		case name == "id":
			next = value
		case name == "retry" && value != "" && strings.Trim(value, "0123456789") == "":
			n := 0
			for _, c := range value {
				n = min(n*10+int(c-'0'), MaxRetry)
			}
			retry = fmt.Sprint(" ", n)
		}
	}
	if id == "" || len(id) > MaxEventID || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "none" + retry
	}
	return fmt.Sprintf("%q", id) + retry
}

func FuzzEventPlace(f *testing.F) {
	f.Add("id: 7\r\ndata: x\r\n\r\nretry: 50\n", 5)
	f.Add("\ufeffid\n\nid:a\rid: b\r\r\n", 1)
	f.Fuzz(func(t *testing.T, stream string, cut int) {
		cut = min(max(cut, 0), len(stream))
		want := wholePlace(stream)
		if got := placeOf(stream[:cut], stream[cut:]); got != want {
			t.Errorf("%q cut at %d: %s, want %s", stream, cut, got, want)
		}
	})
}
