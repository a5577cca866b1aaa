package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAppendChunk(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"", "x"},
		{"a", "x1\r\na\r\n"},
		{"0123456789abcdef", "x10\r\n0123456789abcdef\r\n"},
		{strings.Repeat("z", 0xabc), "xabc\r\n" + strings.Repeat("z", 0xabc) + "\r\n"},
	} {
		if got := AppendChunk([]byte("x"), []byte(c.data)); string(got) != c.want {
			t.Errorf("%.20q: got %.40q, want %.40q", c.data, got, c.want)
		}
	}
}

// decoded is all that a ChunkDecoder says about a body.
type decoded struct {
	data   string
	chunks uint32
	n      int
	ended  bool
	err    string
}

// decode decodes pieces as a connection would hand them over, and checks what Next promises about a single call.
func decode(pieces [][]byte) (got decoded, err error) {
	var d ChunkDecoder
	for _, b := range pieces {
		for {
			data, n, ev, err := d.Next(b)
			switch {
			case n < 0 || n > len(b):
				return got, fmt.Errorf("n is %d of %d", n, len(b))
			case (len(data) > 0) != (ev == ChunkData) || len(data) > n:
				return got, fmt.Errorf("%d of %d bytes are data, event %d", len(data), n, ev)
			case ev == ChunkMore && err == nil && n < len(b):
				return got, fmt.Errorf("asks for more with %d of %d bytes left", len(b)-n, len(b))
			}
			got.data += string(data)
			got.n += n
			got.chunks = d.Chunks()
			b = b[n:]
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Status != 400 && e.Status != 431 {
					return got, err
				}
				got.err = err.Error()
				return got, nil
			}
			if ev == ChunkEnd {
				got.ended = true
				_, n, ev, err := d.Next(b)
				if n != 0 || ev != ChunkEnd || err != nil {
					return got, fmt.Errorf("after the end: %d, %d, %v", n, ev, err)
				}
				return got, nil
			}
			if ev == ChunkMore {
				break
			}
		}
	}
	return got, nil
}

// decodeAllCuts decodes body whole and cut in every way, and wants the same from all.
func decodeAllCuts(t *testing.T, body string) decoded {
	t.Helper()
	want, err := decode([][]byte{[]byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	for how, pieces := range cuts([]byte(body)) {
		if got, err := decode(pieces); err != nil || got != want {
			t.Fatalf("%s: got %+v, %v; want %+v as for the whole", how, got, err, want)
		}
	}
	return want
}

func TestChunkDecoder(t *testing.T) {
	long := strings.Repeat("z", 5000)
	for _, c := range []struct {
		name, body, data string
		chunks           uint32
		rest             int // bytes behind the end; -1: no end
	}{
		{"empty", LastChunk, "", 0, 0},
		{"one", "5\r\nhello\r\n" + LastChunk, "hello", 1, 0},
		{"two and more", "5\r\nhello\r\n1\r\n!\r\n" + LastChunk + "HTTP/1.1 200", "hello!", 2, 12},
		{"unfinished", "5\r\nhello\r\n1\r\n!", "hello!", 1, -1},
		{"unfinished line end", "5\r\nhello\r", "hello", 0, -1},
		{"unfinished size", "5\r\nhello\r\n1", "hello", 1, -1},
		{"unfinished last chunk", "0\r\n", "", 0, -1},
		{"data that looks like chunks", "c\r\n0\r\n\r\n5\r\nhell\r\n" + LastChunk, "0\r\n\r\n5\r\nhell", 1, 0},
		{"upper and lower case", "A\r\n0123456789\r\na\r\n0123456789\r\n" + LastChunk, "01234567890123456789", 2, 0},
		{"leading zeros", "0000005\r\nhello\r\n000\r\n\r\n", "hello", 1, 0},
		{"long", "1388\r\n" + long + "\r\n" + LastChunk, long, 1, 0},
		{"size cut where its rest makes a chunk", "12\r\nab\r\n0123456789abcd\r\n" + LastChunk, "ab\r\n0123456789abcd", 1, 0},
		{"extension", "5;a=b;c=\"d\te\"\r\nhello\r\n0;last\r\n\r\n", "hello", 1, 0},
		{"padded size", "5  \r\nhello\r\n5 \t;a\r\nhello\r\n0 \r\n\r\n", "hellohello", 2, 0},
		{"longest size line", "5;" + strings.Repeat("a", 254) + "\r\nhello\r\n" + LastChunk, "hello", 1, 0},
		{"trailers", "1\r\nx\r\n0\r\nA: 1\r\nB:\r\n\r\nrest", "x", 1, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decodeAllCuts(t, c.body)
			want := decoded{data: c.data, chunks: c.chunks, n: len(c.body) - max(c.rest, 0), ended: c.rest >= 0}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestBadChunks(t *testing.T) {
	for _, c := range []struct{ name, body, data, reason string }{
		{"no size", "\r\n", "", "0x0d where a chunk size should be"},
		{"no size in the second chunk", "5\r\nhello\r\n\r\n", "hello", "0x0d where a chunk size should be"},
		{"longer than its size, then LF", "5\r\nhello!\n", "hello", "its size is wrong"},
		{"size line too long by one", "5;" + strings.Repeat("a", 255) + "\r\nhello\r\n", "", "more than 256 bytes"},
		{"no size but an extension", ";a\r\n", "", "0x3b where a chunk size should be"},
		{"space first", " 5\r\nhello\r\n", "", "0x20 where a chunk size should be"},
		{"prefix", "0x5\r\nhello\r\n", "", "0x78 behind a chunk size"},
		{"sign", "-5\r\nhello\r\n", "", "0x2d where a chunk size should be"},
		{"two sizes", "5 5\r\nhello\r\n", "", "0x35 behind a chunk size"},
		{"overflow", "ffffffffffffffff\r\n", "", "more than 15 digits"},
		{"overflow by zeros", "0000000000000005\r\n", "", "more than 15 digits"},
		{"bare LF after the size", "5\nhello\r\n", "", "bare LF"},
		{"bare LF in an extension", "5;a\nb\r\nhello\r\n", "", "bare LF"},
		{"bare LF after padding", "5 \nhello\r\n", "", "bare LF"},
		{"bare CR after the size", "5\rhello\r\n", "", "bare CR"},
		{"control byte in an extension", "5;\x00\r\nhello\r\n", "", "0x00 in a chunk extension"},
		{"endless extension", "5;" + strings.Repeat("a", 1000), "", "more than 256 bytes"},
		{"endless padding", "5" + strings.Repeat(" ", 1000), "", "more than 256 bytes"},
		{"longer than its size", "5\r\nhello!\r\n", "hello", "its size is wrong"},
		{"bare LF after the data", "5\r\nhello\n", "hello", "its size is wrong"},
		{"bare CR after the data", "5\r\nhello\rx", "hello", "bare CR"},
		{"junk after the last chunk", "0\r\nx\r\n\r\n", "", "without a colon"},
		{"folded trailer", "0\r\nA: 1\r\n 2\r\n\r\n", "", "obs-fold"},
		{"NUL in a trailer", "0\r\nA: \x00\r\n\r\n", "", "0x00 in a field value"},
		{"long trailers", "0\r\nA: " + strings.Repeat("a", 5000), "", "longer than 4096 bytes"},
		{"many trailers", "0\r\n" + strings.Repeat("A:\r\n", 33), "", "more than 32 fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decodeAllCuts(t, c.body)
			if got.data != c.data || !strings.Contains(got.err, c.reason) || got.err == "" || got.ended {
				t.Errorf("got %+v, want data %q, error %q", got, c.data, c.reason)
			}
		})
	}
}

// The largest size must neither overflow nor be taken for the end, also where int has 32 bits.
func TestHugeChunk(t *testing.T) {
	var d ChunkDecoder
	data, n, ev, err := d.Next([]byte("fffffffffffffff\r\nx"))
	if string(data) != "x" || n != 18 || ev != ChunkData || err != nil {
		t.Fatalf("got %q, %d, %d, %v", data, n, ev, err)
	}
}

// Data is handed on where it lies.
func TestChunkDataIsNotCopied(t *testing.T) {
	var d ChunkDecoder
	b := AppendChunk(nil, []byte("hello"))
	data, n, _, _ := d.Next(b)
	if n != len(b) || &data[0] != &b[bytes.IndexByte(b, 'h')] {
		t.Errorf("data is a copy, or n is %d of %d", n, len(b))
	}
}
