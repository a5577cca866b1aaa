package wire

import (
	"strings"
	"testing"
	"unsafe"
)

// skipped is what a BodySkipper made of a connection's bytes.
type skipped struct {
	n    int
	done bool
	err  error
}

func skip(s BodySkipper, pieces [][]byte) (got skipped) {
	for _, p := range pieces {
		n, done, err := s.Next(p)
		got.n += n
		if got.done, got.err = done, err; done || err != nil {
			return got
		}
	}
	return got
}

func bodyOf(t *testing.T, fields string, most int) (BodySkipper, error) {
	t.Helper()
	var r Request
	if err := ParseRequest([]byte("GET / HTTP/1.1\r\nHost: h\r\n"+fields+"\r\n"), Limits{}, &r); err != nil {
		t.Fatal(err)
	}
	return r.Body(most)
}

func TestBodySkipper(t *testing.T) {
	const coded = "Transfer-Encoding: chunked\r\n"
	for _, c := range []struct {
		name, fields, bytes string
		most, n             int
		done                bool
		status              int
	}{
		{"no body", "", "GET", 10, 0, true, 0},
		{"length of zero", "Content-Length: 0\r\n", "GET", 10, 0, true, 0},
		{"length", "Content-Length: 5\r\n", "helloGET", 5, 5, true, 0},
		{"length, not all", "Content-Length: 5\r\n", "hell", 5, 4, false, 0},
		{"chunked", coded, "5\r\nhello\r\n0\r\n\r\nGET", 15, 15, true, 0},
		{"chunked with extensions and trailers", coded, "5;a=b\r\nhello\r\n1\r\n!\r\n0;c\r\nA: b\r\n\r\nGET", 100, 33, true, 0},
		{"chunked, not all", coded, "5\r\nhello\r\n0\r\n\r", 100, 14, false, 0},
		{"chunked, too long", coded, "5\r\nhello\r\n0\r\n\r\n", 14, 14, false, 413},
		{"chunked, too long in its data", coded, "ffffff\r\nhello", 10, 10, false, 413},
		{"chunked, badly", coded, "5\r\nhello!\r\n", 100, 8, false, 400},
		{"chunked, bad size", coded, "x", 100, 0, false, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := bodyOf(t, c.fields, c.most)
			if err != nil {
				t.Fatal(err)
			}
			for how, pieces := range cuts([]byte(c.bytes)) {
				got := skip(s, pieces)
				if got.n != c.n || got.done != c.done {
					t.Fatalf("%s: got %+v, want n %d, done %v", how, got, c.n, c.done)
				}
				if c.status != 0 {
					wantError(t, got.err, c.status, "")
				} else if got.err != nil {
					t.Fatalf("%s: %v", how, got.err)
				}
			}
		})
	}
}

func TestBodyTooLong(t *testing.T) {
	for _, length := range []string{"65537", "9223372036854775807"} {
		_, err := bodyOf(t, "Content-Length: "+length+"\r\n", 64<<10)
		wantError(t, err, 413, "longer than 65536 bytes")
	}
	if _, err := bodyOf(t, "Content-Length: 65536\r\n", 64<<10); err != nil {
		t.Error(err)
	}
	_, err := bodyOf(t, "Content-Length: 1\r\n", -1)
	wantError(t, err, 413, "longer than 0 bytes")
}

// The end of a body is an end: what follows is left alone, however often one asks.
func TestBodySkipperStays(t *testing.T) {
	for _, fields := range []string{"", "Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"} {
		s, err := bodyOf(t, fields, 100)
		if err != nil {
			t.Fatal(err)
		}
		body := map[string]string{"": "", "Content-Length: 2\r\n": "ab"}[fields]
		if strings.HasPrefix(fields, "T") {
			body = LastChunk
		}
		if n, done, err := s.Next([]byte(body)); n != len(body) || !done || err != nil {
			t.Errorf("%q: got %d, %v, %v", fields, n, done, err)
		}
		if n, done, err := s.Next([]byte("GET / HTTP/1.1\r\n")); n != 0 || !done || err != nil {
			t.Errorf("%q: after the end: got %d, %v, %v", fields, n, done, err)
		}
	}
	if size := unsafe.Sizeof(BodySkipper{}); size > 24 {
		t.Errorf("BodySkipper has %d bytes, want at most 24", size)
	}
}
