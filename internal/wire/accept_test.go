package wire

import (
	"mime"
	"strconv"
	"strings"
	"testing"
)

// offered is what the comet front has to offer.
var offered = []string{"text/html", "text/event-stream", "application/x-ndjson"}

var accepts = []struct {
	accept string // fields are separated by LF
	want   int
}{
	{"*/*", 0}, {"text/*", 0}, {"text/html", 0}, {"text/event-stream", 1}, {"application/x-ndjson", 2}, {"TEXT/Event-Stream", 1}, {"application/*", 2},
	{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", 0}, // browsers, for a page
	{"text/event-stream, */*", 1}, {"*/*, text/event-stream", 1}, {"text/event-stream;q=0.9, */*;q=0.8", 1}, {"text/event-stream;q=0.5, */*", 0},
	{"text/event-stream, text/html", 0}, {"text/html;q=0.9, text/event-stream", 1}, {"application/x-ndjson, application/json;q=0.5", 2},
	{"text/html;q=0, */*", 1}, {"text/html;q=0, text/event-stream;q=0, */*", 2}, {"text/*;q=0, */*", 2}, {"*/*;q=0", -1}, {"text/event-stream;q=0", -1},
	{"application/json", -1}, {"text/event-stream;q=0.000", -1}, {"text/event-stream;q=0.001", 1}, {"text/event-stream ; Q=1.000", 1},
	{"text/event-stream;charset=utf-8", 1}, {"text/event-stream;a=\"x,y;q=0\";q=1", 1}, {"text/event-stream;a=\"\\\",\"", 1}, {", ,text/event-stream,", 1},
	{"text/html;q=0\ntext/event-stream", 1}, {"application/json\ntext/event-stream", 1}, {"text/*;q=0.5, text/html;q=0.1", 1},
	// what is no media range, or has no weight, says nothing
	{"", 0}, {"*", 0}, {"text", 0}, {"text/", 0}, {"/html", 0}, {"*/html", 0}, {"text/event-stream;q=2", 0}, {"text/event-stream;q=", 0}, {"text/event-stream;q=0.1234", 0},
	{"text/event-stream;q=1.001", 0}, {"text/event-stream;q=a", 0}, {"text/event-stream;q=01", 0}, {"a b/c", 0}, {"text/event-stream;q=-1, text/*", 0},
}

// acceptRequest is a request with these Accept fields; ok is false where that is none.
func acceptRequest(accept string) (r Request, ok bool) {
	head := "GET / HTTP/1.1\r\nHost: h\r\n"
	for _, a := range strings.Split(accept, "\n") {
		head += "accept: " + a + "\r\n"
	}
	return r, ParseRequest([]byte(head+"\r\n"), Limits{}, &r) == nil
}

func TestPrefers(t *testing.T) {
	for _, c := range accepts {
		r, ok := acceptRequest(c.accept)
		if got := r.Prefers(offered...); got != c.want || !ok {
			t.Errorf("%q: got %d, %v; want %d", c.accept, got, ok, c.want)
		}
	}
	if got := new(Request).Prefers(offered...); got != 0 {
		t.Errorf("without Accept: got %d", got)
	}
	if got := new(Request).Prefers(); got != -1 {
		t.Errorf("without an offer: got %d", got)
	}
}

// The oracle is package mime, element by element; what it cannot read, a list with quotes, braces (which it takes
// for tokens) or wildcards, and a weight in an unusual form are not compared.
func FuzzAccept(f *testing.F) {
	for _, c := range accepts {
		f.Add(c.accept)
	}
	f.Add("}/0")
	f.Add("0/0;q= 0")
	f.Fuzz(func(t *testing.T, accept string) {
		if strings.ContainsAny(accept, "\r\n") {
			return
		}
		r, ok := acceptRequest(accept)
		if !ok {
			return
		}
		got := r.Prefers(offered...)
		if strings.ContainsAny(accept, "\"*%'{}") && accept != "*/*" || accept == "" {
			return
		}
		if strings.Contains(accept, "= ") || strings.Contains(accept, " =") || strings.Contains(accept, "=\t") || strings.Contains(accept, "\t=") {
			return // RFC 9110 section 5.6.6 has no white space there, mime forgives it
		}
		best, bestWeight, said := -1, 0.0, false
		weights := map[string]float64{}
		for _, element := range strings.Split(accept, ",") {
			kind, params, err := mime.ParseMediaType(element)
			if err != nil || !strings.Contains(kind, "/") {
				return
			}
			q := params["q"]
			if q == "" {
				q = "1"
			}
			weight, err := strconv.ParseFloat(q, 64)
			if err != nil || len(q) > 5 || strings.Trim(q, "0123456789.") != "" || strings.Trim(q[:1], "01") != "" || weight > 1 || strings.HasPrefix(q, "0") && len(q) > 1 && q[1] != '.' {
				return
			}
			said = true
			if _, had := weights[kind]; !had {
				weights[kind] = weight
			}
		}
		for i, o := range offered {
			kinds, wild := weights[o]
			if !wild {
				kinds = weights["*/*"]
			}
			if kinds > bestWeight {
				best, bestWeight = i, kinds
			}
		}
		if said && got != best {
			t.Fatalf("%q: got %d, want %d of %v", accept, got, best, weights)
		}
	})
}
