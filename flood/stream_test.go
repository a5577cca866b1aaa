package flood

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"cometctl/internal/wire"
)

// readAll feeds the pieces to a new stream and writes down what it says: heads, data joined, the end, an error.
func readAll(pieces ...string) string {
	var (
		s   stream
		h   heads
		out []string
		buf []byte // one for all pieces, as a loop has it
	)
	for _, p := range pieces {
		buf = append(buf[:0], p...)
		for b := buf; ; {
			data, n, ev, err := s.next(b, &h)
			b = b[n:]
			if err != nil {
				return strings.Join(append(out, "error "+err.Error()), "|")
			}
			switch ev {
			case eventHead:
				out = append(out, "head", "")
			case eventData:
				out[len(out)-1] += string(data)
			case eventEnd:
				out = append(out, "end")
			}
			if ev == eventMore {
				break
			}
		}
	}
	if len(h.buffers) > len(h.free)+1 {
		out = append(out, "buffers lost")
	}
	return strings.Join(append(out, string(s.closed())), "|")
}

// Every response is read whole, cut in two at every byte, and byte by byte; what comes out must not depend on it.
func TestStreamAtEverySplit(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", "eof"},
		{okHead, "head||eof"},
		{okHead + "3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n", "head|abc0123456789abcdef|eof"},
		{okHead + "3\r\nabc\r\n0\r\nT: x\r\n\r\n", "head|abc|end|ended"},
		{okHead + "3\r\nabc\r\n" + wire.LastChunk + "more", "head|abc|end|ended"},
		{okHead + "3\r\nabcd\r\n", "head|abc|error bad response"},
		{"HTTP/1.1 200 OK\r\n\r\nabc\r\n\r\ndef", "head|abc\r\n\r\ndef|ended"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "head|abc|end|ended"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "head||end|ended"},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + okHead + "1\r\na\r\n", "head|a|eof"},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", "error status 101"},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "error status 404"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "error bad response"},
		{"nonsense\r\n\r\n", "error bad response"},
	} {
		if got := readAll(tc.in); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.in, got, tc.want)
			continue
		}
		for i := range tc.in {
			if got := readAll(tc.in[:i], tc.in[i:]); got != tc.want {
				t.Errorf("%q cut at %d: %q, want %q", tc.in, i, got, tc.want)
			}
		}
		if got := readAll(strings.Split(tc.in, "")...); got != tc.want {
			t.Errorf("%q byte by byte: %q, want %q", tc.in, got, tc.want)
		}
	}
}

// stampsIn finds the stamps in a body that comes in pieces, each piece in the same buffer.
func stampsIn(t *testing.T, s *stamps, pieces ...string) (found []string) {
	t.Helper()
	var (
		held uint32
		buf  []byte
	)
	for _, p := range pieces {
		buf = append(buf[:0], p...)
		for b := buf; ; {
			st, n, ok := s.next(&held, b)
			if !ok {
				if n != len(b) {
					t.Fatalf("%d of %d bytes consumed without a stamp", n, len(b))
				}
				break
			}
			found = append(found, fmt.Sprintf("%d/%s/%d/%d", st.Run, st.ID, st.Seq, st.Due))
			b = b[n:]
		}
	}
	s.forget(&held)
	if s.tails.Len() != 0 || held != 0 {
		t.Fatalf("%d tails left", s.tails.Len())
	}
	return found
}

func TestStampsAtEverySplit(t *testing.T) {
	run, s := testRun, new(stamps)
	stamp := func(id string, seq uint64) string {
		return string(wire.AppendStamp(nil, run, []byte(id), seq, testStart, 0))
	}
	long := strings.Repeat("x.~-", 32)
	body := "a '" + stamp("1", 1) + "'<br/>~~~ not ~12.3~4 one ~" + stamp("a~b.c", 2) + stamp("1", 3) +
		strings.Repeat("~1.", 80) + stamp(long, 1<<40) + "~17" + stamp("9", 4) + "~"
	want := stampsIn(t, s, body)
	if len(want) != 5 {
		t.Fatalf("found %q in one piece, want 5 stamps", want)
	}
	for i := range body {
		if got := stampsIn(t, s, body[:i], body[i:]); !slices.Equal(got, want) {
			t.Fatalf("cut at %d: %q, want %q", i, got, want)
		}
		for j := i; j < len(body); j += 41 {
			if got := stampsIn(t, s, body[:i], body[i:j], body[j:]); !slices.Equal(got, want) {
				t.Fatalf("cut at %d and %d: %q, want %q", i, j, got, want)
			}
		}
	}
	if got := stampsIn(t, s, strings.Split(body, "")...); !slices.Equal(got, want) {
		t.Fatalf("byte by byte: %q, want %q", got, want)
	}
}

// FuzzStamps: how a body is cut must not change what is found in it.
func FuzzStamps(f *testing.F) {
	f.Add([]byte(message(testRun, "12", 3, testStart)+message(testRun, "a~.b", 4, testStart)), uint16(17), uint16(40))
	f.Add([]byte("~1.~2.~3.4.5~6~.7.8~"), uint16(3), uint16(9))
	f.Fuzz(func(t *testing.T, body []byte, i, j uint16) {
		b, s := string(body), new(stamps)
		cut, end := min(int(i), len(b)), min(int(i)+int(j), len(b))
		want := stampsIn(t, s, b)
		if got := stampsIn(t, s, b[:cut], b[cut:end], b[end:]); !slices.Equal(got, want) {
			t.Errorf("cut at %d and %d: %q, whole: %q", cut, end, got, want)
		}
	})
}
