package wire

import (
	"strings"
	"testing"
)

var badRequests = []badHead{
	{"empty lines only", "\r\n\r\n", 400, "empty line"},
	{"LF first", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "empty line"},
	{"two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "empty line"},
	{"bare CR first", "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bare CR"},
	{"space first", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "begins with byte 0x20"},
	{"TLS", "\x16\x03\x01\x02\x00\x01", 400, "TLS"},
	{"not whole", "GET / HTTP/1.1\r\nHost: h\r\n", 400, "does not end"},
	{"nothing", "", 400, "head of 0 bytes"},
	{"more than a head", "GET / HTTP/1.1\r\nHost: h\r\n\r\nbody", 400, "4 bytes behind the head"},
	{"line too long", "GET /" + strings.Repeat("a", 64) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414, "longer than 64 bytes"},
	{"line too long by one", "GET /" + strings.Repeat("a", 51) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414, "longer than 64 bytes"},
	{"method too long", strings.Repeat("G", 65) + " / HTTP/1.1\r\nHost: h\r\n\r\n", 414, "longer than 64 bytes"},
	{"no version", "GET /\r\n\r\n", 400, "is not a method, a target and a version"},
	{"method only", "GET\r\n\r\n", 400, "is not a method, a target and a version"},
	{"no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400, "is not a method, a target and a version"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"empty target", "GET  HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"space at the end", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"tab between", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "is not a method, a target and a version"},
	{"bad method", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad method"},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"target not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"target without a slash", "GET test/1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"star without OPTIONS", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"star and more", "OPTIONS *a HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"other scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"scheme without authority", "GET http:/a HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"empty authority", "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"user information", "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"bad port in the target", "GET http://h:x/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad request target"},
	{"CONNECT with a path", "CONNECT /a HTTP/1.1\r\nHost: h\r\n\r\n", 400, "not an authority"},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", 505, `"HTTP/2.0"`},
	{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505, `"HTTP/0.9"`},
	{"HTTP/11", "GET / HTTP/11\r\nHost: h\r\n\r\n", 400, "bad HTTP version"},
	{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400, "bad HTTP version"},
	{"HTTP/1.x", "GET / HTTP/1.x\r\nHost: h\r\n\r\n", 400, "bad HTTP version"},
	{"lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n", 400, "bad HTTP version"},
	{"no Host", "GET / HTTP/1.1\r\nA: b\r\n\r\n", 400, "0 Host fields"},
	{"no Host, absolute target", "GET http://h/ HTTP/1.1\r\n\r\n", 400, "0 Host fields"},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", 400, "2 Host fields"},
	{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", 400, "2 Host fields"},
	{"space in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, `bad Host "a b"`},
	{"list in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, `bad Host "a/b"`},
	{"user in Host", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400, `bad Host "u@h"`},
	{"bad port in Host", "GET / HTTP/1.1\r\nHost: h:8x\r\n\r\n", 400, `bad Host "h:8x"`},
	{"port without Host", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400, `bad Host ":80"`},
	{"open bracket in Host", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, `bad Host "[::1"`},
	{"empty brackets in Host", "GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400, `bad Host "[]"`},
	{"name in brackets in Host", "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", 400, `bad Host "[::g]"`},
	{"no colon behind brackets", "GET / HTTP/1.1\r\nHost: [::1]80\r\n\r\n", 400, `bad Host "[::1]80"`},
	{"coding in HTTP/1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "in an HTTP/1.0 message"},
}

func TestBadRequests(t *testing.T) {
	parse := func(head []byte) error { var r Request; return ParseRequest(head, small, &r) }
	testBadHeads(t, badHeads, "GET / HTTP/1.1", parse)
	testBadHeads(t, badRequests, "", parse)
}

// wantRequest is what a good head means; keep and length stand for KeepAlive and ContentLength.
type wantRequest struct {
	method, path, query string
	minor               int
	length              int64
	chunked, keep, exp  bool
}

var goodRequests = []struct {
	name, head string
	want       wantRequest
}{
	{"plain", "GET /test/1 HTTP/1.1\r\nHost: h\r\n\r\n", wantRequest{"GET", "/test/1", "", 1, -1, false, true, false}},
	{"after an empty line", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", wantRequest{"GET", "/", "", 1, -1, false, true, false}},
	{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", wantRequest{"GET", "/", "", 0, -1, false, false, false}},
	{"HTTP/1.0 kept", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", wantRequest{"GET", "/", "", 0, -1, false, true, false}},
	{"HTTP/1.0 kept and closed", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
		wantRequest{"GET", "/", "", 0, -1, false, false, false}},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost:\r\n\r\n", wantRequest{"GET", "/", "", 2, -1, false, true, false}},
	{"close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade ,\tCLOSE\r\n\r\n",
		wantRequest{"GET", "/", "", 1, -1, false, false, false}},
	{"close in the second field", "GET / HTTP/1.1\r\nHost: h\r\nConnection: TE\r\nConnection: close\r\n\r\n",
		wantRequest{"GET", "/", "", 1, -1, false, false, false}},
	{"closed is not close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: closed, not close\r\n\r\n",
		wantRequest{"GET", "/", "", 1, -1, false, true, false}},
	{"length", "POST /send HTTP/1.1\r\nHost: h\r\nCONTENT-LENGTH:  12\t\r\n\r\n",
		wantRequest{"POST", "/send", "", 1, 12, false, true, false}},
	{"length of zero", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		wantRequest{"POST", "/", "", 1, 0, false, true, false}},
	{"greatest length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n",
		wantRequest{"POST", "/", "", 1, 1<<63 - 1, false, true, false}},
	{"one length twice", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
		wantRequest{"POST", "/", "", 1, 5, false, true, false}},
	{"chunked", "POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: Chunked\r\n\r\n",
		wantRequest{"POST", "/", "", 1, -1, true, true, false}},
	{"expecting", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n",
		wantRequest{"POST", "/", "", 1, 1, false, true, true}},
	{"expecting in HTTP/1.0", "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
		wantRequest{"POST", "/", "", 0, 1, false, false, false}},
	{"query", "GET /a?b=%zz?c HTTP/1.1\r\nHost: h:80\r\n\r\n", wantRequest{"GET", "/a", "b=%zz?c", 1, -1, false, true, false}},
	{"empty query", "GET /? HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n", wantRequest{"GET", "/", "", 1, -1, false, true, false}},
	{"two slashes", "GET //a/b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", wantRequest{"GET", "//a/b", "", 1, -1, false, true, false}},
	{"absolute", "GET http://h:80/test/1?q HTTP/1.1\r\nHost: other\r\n\r\n",
		wantRequest{"GET", "/test/1", "q", 1, -1, false, true, false}},
	{"absolute, no path", "GET HTTPS://[::1] HTTP/1.1\r\nHost: h\r\n\r\n", wantRequest{"GET", "/", "", 1, -1, false, true, false}},
	{"absolute, query only", "GET http://h?q/r HTTP/1.1\r\nHost: h\r\n\r\n", wantRequest{"GET", "/", "q/r", 1, -1, false, true, false}},
	{"star", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", wantRequest{"OPTIONS", "*", "", 1, -1, false, true, false}},
	{"authority", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", wantRequest{"CONNECT", "", "", 1, -1, false, true, false}},
	{"own method", "get /%00 HTTP/1.1\r\nHost: a_b.c-d\r\n\r\n", wantRequest{"get", "/%00", "", 1, -1, false, true, false}},
}

func TestGoodRequests(t *testing.T) {
	var r Request // one for all: nothing of the last head may stay
	for _, c := range goodRequests {
		t.Run(c.name, func(t *testing.T) {
			for how, pieces := range cuts([]byte(c.head)) {
				if got := scanPieces(pieces); got.n != len(c.head) || !got.done {
					t.Fatalf("%s: got %+v, want n %d, done", how, got, len(c.head))
				}
			}
			if err := ParseRequest([]byte(c.head), small, &r); err != nil {
				t.Fatal(err)
			}
			got := wantRequest{string(r.Method), string(r.Path), string(r.Query), r.Minor, r.ContentLength, r.Chunked, r.KeepAlive, r.Expect100}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestRequestField(t *testing.T) {
	var r Request
	head := "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: \t a b \t\r\nX:\r\nuser-agent: second\r\nY: a:b\r\n\r\n"
	if err := ParseRequest([]byte(head), Limits{}, &r); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, value string
		ok          bool
	}{{"USER-agent", "a b", true}, {"x", "", true}, {"Y", "a:b", true}, {"Z", "", false}, {"", "", false}, {"User", "", false}} {
		if v, ok := r.Field(c.name); string(v) != c.value || ok != c.ok {
			t.Errorf("Field(%q) = %q, %v; want %q, %v", c.name, v, ok, c.value, c.ok)
		}
	}
	if _, ok := new(Request).Field("Host"); ok {
		t.Error("an empty Request has a field")
	}
}
