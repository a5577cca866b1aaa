package msggen

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// readReplies feeds b in pieces of n bytes, and tells each answer by its status and whether the connection goes on.
func readReplies(b []byte, n int) (got []string, a replies, err error) {
	for piece := range slices.Chunk(b, n) {
		for len(piece) > 0 {
			k, done, err := a.next(piece)
			if err != nil {
				return got, a, err
			}
			piece = piece[k:]
			if !done {
				break
			}
			got = append(got, fmt.Sprint(a.status, " ", a.closes))
		}
	}
	return got, a, nil
}

func TestReplies(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
		cut, ended bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", []string{"200 false"}, false, false},
		{"two", "HTTP/1.1 202 A\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 201 C\r\nContent-Length: 0\r\n\r\n", []string{"202 false", "201 false"}, false, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
			"HTTP/1.1 404 N\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", []string{"200 false", "404 false"}, false, false},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", []string{"200 false"}, false, false},
		{"without a body", "HTTP/1.1 204 N\r\n\r\nHTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n", []string{"204 false", "304 false"}, false, false},
		{"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", []string{"200 true"}, false, false},
		{"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", []string{"200 true"}, false, false},
		{"1.0 that goes on", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", []string{"200 false"}, false, false},
		{"until close", "HTTP/1.1 200 OK\r\n\r\nsome text", nil, true, true},
		{"101", "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n", []string{"101 true"}, false, false},
		{"cut head", "HTTP/1.1 200 OK\r\nContent-Le", nil, true, false},
		{"cut body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", nil, true, false},
		{"cut chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", nil, true, false},
		{"only an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", nil, false, false},
		{"nothing", "", nil, false, false},
	} {
		for n := 1; n <= max(len(tt.text), 1); n++ {
			got, a, err := readReplies([]byte(tt.text), n)
			cut, ended := a.cut()
			if err != nil || !slices.Equal(got, tt.want) || cut != tt.cut || ended != tt.ended {
				t.Errorf("%s, %d bytes at a time: %q, cut %v, ended %v, %v", tt.name, n, got, cut, ended, err)
			}
		}
	}
	for _, bad := range []string{"SSH-2.0-x\r\n\r\n", "HTTP/1.1 2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 17<<10)} {
		for _, n := range []int{1, 7, len(bad)} {
			if got, _, err := readReplies([]byte(bad), n); err == nil || len(got) > 0 {
				t.Errorf("%.30q, %d bytes at a time: %q, %v", bad, n, got, err)
			}
		}
	}
}

// FuzzReplies: however answers are cut, they read the same, and net/http agrees with what is accepted.
func FuzzReplies(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 N\r\n\r\n"), 3)
	f.Add([]byte("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), 1)
	f.Add([]byte("HTTP/1.0 200 OK\r\n\r\nabc"), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		whole, _, err1 := readReplies(b, max(len(b), 1))
		cut, _, err2 := readReplies(b, max(n, 1))
		if !slices.Equal(whole, cut) || (err1 == nil) != (err2 == nil) {
			t.Fatalf("at once %q, %v; %d bytes at a time %q, %v", whole, err1, n, cut, err2)
		}
		in := bufio.NewReader(bytes.NewReader(b))
		for _, want := range whole {
			status := 0
			for status < 200 && status != 101 {
				r, err := http.ReadResponse(in, nil)
				if err != nil {
					return // stricter about words, such as a space in front of a status
				}
				status = r.StatusCode
				if status >= 200 {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						t.Fatalf("net/http cannot read the body of %s: %v", want, err)
					}
				}
			}
			if !strings.HasPrefix(want, fmt.Sprint(status)) {
				t.Fatalf("%s is %d to net/http", want, status)
			}
		}
	})
}
