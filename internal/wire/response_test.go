package wire

import "testing"

var badResponses = []badHead{
	{"empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", 400, "empty line before"},
	{"no version", "200 OK\r\n\r\n", 400, "bad status line"},
	{"no status", "HTTP/1.1\r\n\r\n", 400, "bad status line"},
	{"status of two digits", "HTTP/1.1 20 OK\r\n\r\n", 400, "bad status"},
	{"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", 400, "bad status line"},
	{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", 400, `bad status "099"`},
	{"signed status", "HTTP/1.1 +20 OK\r\n\r\n", 400, `bad status "+20"`},
	{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", 400, "bad status line"},
	{"no space after the version", "HTTP/1.1x200 OK\r\n\r\n", 400, "bad status line"},
	{"other protocol", "ICY/1.1 200 OK\r\n\r\n", 400, "bad status line"},
	{"lower-case version", "http/1.1 200 OK\r\n\r\n", 400, "bad HTTP version"},
	{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", 505, `"HTTP/2.0"`},
	{"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 400, "bad status line"},
	{"coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "in an HTTP/1.0 message"},
}

func TestBadResponses(t *testing.T) {
	parse := func(head []byte) error { var r Response; return ParseResponse(head, small, &r) }
	testBadHeads(t, badHeads, "HTTP/1.1 200 OK", parse)
	testBadHeads(t, badResponses, "", parse)
}

type wantResponse struct {
	status, minor int
	length        int64
	chunked, keep bool
}

var goodResponses = []struct {
	name, head string
	want       wantResponse
}{
	{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", wantResponse{200, 1, -1, true, true}},
	{"chunked and closing", "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
		wantResponse{200, 1, -1, true, false}},
	{"length", "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n", wantResponse{404, 1, 5, false, true}},
	{"until the end", "HTTP/1.1 200 OK\r\n\r\n", wantResponse{200, 1, -1, false, false}},
	{"HTTP/1.0 until the end", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", wantResponse{200, 0, -1, false, false}},
	{"HTTP/1.0 kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", wantResponse{200, 0, 1, false, true}},
	{"no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", wantResponse{200, 1, 0, false, true}},
	{"no space", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", wantResponse{200, 1, 0, false, true}},
	{"reason in Latin-1", "HTTP/1.1 404 Nicht d\xe4\r\nContent-Length: 0\r\n\r\n", wantResponse{404, 1, 0, false, true}},
	{"no content", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", wantResponse{204, 1, 0, false, true}},
	{"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", wantResponse{304, 1, 0, false, true}},
	{"continue", "HTTP/1.1 100 Continue\r\n\r\n", wantResponse{100, 1, 0, false, true}},
	{"odd status", "HTTP/1.1 999 ?\r\nContent-Length: 0\r\nHost: ignored\r\nHost: twice\r\n\r\n", wantResponse{999, 1, 0, false, true}},
}

func TestGoodResponses(t *testing.T) {
	var r Response
	for _, c := range goodResponses {
		t.Run(c.name, func(t *testing.T) {
			for how, pieces := range cuts([]byte(c.head)) {
				if got := scanPieces(pieces); got.n != len(c.head) || !got.done {
					t.Fatalf("%s: got %+v, want n %d, done", how, got, len(c.head))
				}
			}
			if err := ParseResponse([]byte(c.head), small, &r); err != nil {
				t.Fatal(err)
			}
			if got := (wantResponse{r.Status, r.Minor, r.ContentLength, r.Chunked, r.KeepAlive}); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
	if v, ok := r.Field("host"); string(v) != "ignored" || !ok {
		t.Errorf("Field(host) = %q, %v", v, ok)
	}
}
