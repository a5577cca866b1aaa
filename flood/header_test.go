package flood

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	const tail = "Accept: */*\r\n\r\n"
	for _, tc := range []struct {
		fields []string
		want   string // the lines of a request to the host h:1
	}{
		{nil, "Host: h:1\r\nUser-Agent: cometctl\r\n" + tail},
		{[]string{"TE: chunked"}, "Host: h:1\r\nUser-Agent: cometctl\r\nAccept: */*\r\nTE: chunked\r\n\r\n"},
		{[]string{"X-A:1", "X-A: \t2 ", "X-B:"}, "Host: h:1\r\nUser-Agent: cometctl\r\nAccept: */*\r\nX-A: 1\r\nX-A: 2\r\nX-B: \r\n\r\n"},
		{[]string{"hOST: comet.example:81"}, "Host: comet.example:81\r\nUser-Agent: cometctl\r\n" + tail},
		{[]string{"accept: text/event-stream", "user-agent: me/1"}, "Host: h:1\r\naccept: text/event-stream\r\nuser-agent: me/1\r\n\r\n"},
		{[]string{"Cookie: a=b; c=\"d\u00e9\""}, "Host: h:1\r\nUser-Agent: cometctl\r\nAccept: */*\r\nCookie: a=b; c=\"d\u00e9\"\r\n\r\n"},
	} {
		h, err := ParseHeader(tc.fields)
		if err != nil || h.lines("h:1", dialectStream) != tc.want {
			t.Errorf("%q: %q, %v; want %q", tc.fields, h.lines("h:1", dialectStream), err, tc.want)
		}
	}
	if got := (Header{}).lines("h:1", dialectStream); got != "Host: h:1\r\nUser-Agent: cometctl\r\n"+tail {
		t.Errorf("the zero Header is %q", got)
	}
}

func TestHeaderErrors(t *testing.T) {
	for _, tc := range []struct{ field, want string }{
		{"", "is no header field"},
		{"TE chunked", `"TE chunked" is no header field; write 'Name: value'`},
		{": chunked", "is no header field"},
		{"T E: chunked", "space between a field's name and its colon"},
		{" TE: chunked", "line begins with a space"},
		{"TE : chunked", "space between"},
		{"T\u00e9: chunked", "in a field name"},
		{"X: a\x00b", "control byte 0x00"},
		{"X: a\x7fb", "control byte 0x7f"},
		{"X: a\r\nY: b", "has a line break"},
		{"X: a\nb", "has a line break"},
		{"X\r: a", "has a line break"},
		{"Content-Length: 5", "says how a request is framed"},
		{"transfer-ENCODING: chunked", `"transfer-ENCODING: chunked" says how a request is framed`},
		{"Host:", "names no host"},
		{"Host: a b", "bad Host"},
		{"Host: http://a/", "bad Host"},
		{"X: " + strings.Repeat("x", 17<<10), "longer than 16384 bytes"},
	} {
		_, err := ParseHeader([]string{"A: b", tc.field})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.40q: error %v, want %q in it", tc.field, err, tc.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\r\n\x00\x7f") {
			t.Errorf("%.40q: the error is not one clean line: %q", tc.field, err)
		}
	}
	if _, err := ParseHeader([]string{"Host: a", "host: b"}); err == nil || !strings.Contains(err.Error(), "is there twice") {
		t.Errorf("two hosts: error %v", err)
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = "A: b"
	}
	if _, err := ParseHeader(many); err == nil || !strings.Contains(err.Error(), "more than 100 fields") {
		t.Errorf("101 fields: error %v", err)
	}
}

// Every target of a run carries the fields, whichever its host and source.
func TestTargetsCarryTheHeader(t *testing.T) {
	h, err := ParseHeader([]string{"TE: chunked", "Host: comet.example"})
	if err != nil {
		t.Fatal(err)
	}
	targets, err := LoadTargets([]string{"http://127.0.0.1:8000/test/{1..2}", "http://127.0.0.2/a"}, nil, Rules{Header: h})
	if err != nil {
		t.Fatal(err)
	}
	for i := range targets.Len() {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(targets.AppendRequest(nil, i))))
		if err != nil || r.Header.Get("Te") != "chunked" || r.Host != "comet.example" || r.UserAgent() != "cometctl" {
			t.Errorf("target %d: %+v, %v", i, r, err)
		}
	}
}

// FuzzHeader: a request with a field that is accepted is read back by net/http with that field and no other.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"TE: chunked", "Host: a:1", "X:", "X: a\r\nY: b", "Accept: */*", "Content-Length: 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		h, err := ParseHeader([]string{field})
		if err != nil {
			return
		}
		text := "GET / HTTP/1.1\r\n" + h.lines("h", dialectStream)
		in := bufio.NewReader(strings.NewReader(text))
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("%q was accepted and makes %q: %v", field, text, err)
		}
		name, value, _ := strings.Cut(field, ":")
		value = strings.Trim(value, " \t")
		got := r.Header.Get(name)
		if strings.EqualFold(name, "host") {
			got = r.Host
		}
		if got != value || in.Buffered() > 0 || len(r.Header) > 3 || r.ContentLength > 0 {
			t.Fatalf("%q became %q: %v, %d bytes behind it", field, got, r.Header, in.Buffered())
		}
	})
}
