package wire

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"unsafe"
)

// cuts yields every way to cut b in two, then all its bytes one by one.
func cuts(b []byte) iter.Seq2[string, [][]byte] {
	return func(yield func(string, [][]byte) bool) {
		for i := range len(b) + 1 {
			if !yield(fmt.Sprintf("cut at %d", i), [][]byte{b[:i], b[i:]}) {
				return
			}
		}
		var single [][]byte
		for i := range b {
			single = append(single, b[i:i+1])
		}
		yield("byte by byte", single)
	}
}

// wantError checks that err is an *Error with this status whose reason contains reason.
func wantError(t *testing.T, err error, status int, reason string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want status %d, %q", err, status, reason)
	}
	if e.Status != status || !strings.Contains(e.Error(), reason) {
		t.Fatalf("got status %d, %q; want %d, %q", e.Status, e.Reason, status, reason)
	}
	for _, c := range []byte(e.Reason) {
		if c < ' ' || c >= 0x7f {
			t.Fatalf("reason %q holds byte %#02x: it must be printable", e.Reason, c)
		}
	}
}

// Idle connections keep these in memory: a million of them pay for every byte and for every pointer.
func TestStateIsSmall(t *testing.T) {
	for name, size := range map[string]uintptr{
		"HeadScanner":  unsafe.Sizeof(HeadScanner{}),
		"ChunkDecoder": unsafe.Sizeof(ChunkDecoder{}),
	} {
		if size > 16 {
			t.Errorf("%s has %d bytes, want at most 16", name, size)
		}
	}
	if size := unsafe.Sizeof(FrameDecoder{}); size > 20 { // kept amid a message only
		t.Errorf("FrameDecoder has %d bytes, want at most 20", size)
	}
}

// Good input costs no garbage, wherever it goes through this package.
func TestNoAllocation(t *testing.T) {
	request := []byte("GET http://h/test/%31?q HTTP/1.1\r\nHost: h\r\nConnection: a, close\r\nContent-Length: 5\r\n" +
		"Content-Length: 5\r\nExpect: 100-continue\r\nAccept: text/event-stream;q=0.5, */*;q=0.1\r\n\r\n")
	response := []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: x\r\n\r\n")
	body := []byte("5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n")
	message := []byte("Fake <message> Num = 42 ~17000000000000001.a~b.3.1700000000000000000~ & more")
	multiline := []byte("first line \r\nsecond \xff \u2028")
	cursor, wait := []byte("12:5,57:6"), []byte("30s")
	var ids IDs
	marks, _ := ParseCursor(nil, cursor)
	buf := make([]byte, 0, 1024)
	lim := DefaultLimits()
	var q Request
	var p Response
	ok := true
	for name, f := range map[string]func(){
		"Scan":          func() { var s HeadScanner; _, done, err := s.Scan(request, lim); ok = done && err == nil },
		"ParseRequest":  func() { ok = ParseRequest(request, lim, &q) == nil },
		"ParseResponse": func() { ok = ParseResponse(response, lim, &p) == nil },
		"Field":         func() { _, ok = p.Field("server") },
		"ChunkDecoder": func() {
			var d ChunkDecoder
			ev := ChunkMore
			for rest := body; ev != ChunkEnd && len(rest) > 0; {
				var n int
				_, n, ev, _ = d.Next(rest)
				rest = rest[n:]
			}
			ok = ev == ChunkEnd
		},
		"AppendEvent":        func() { ok = len(AppendEvent(buf, cursor, "gap", multiline)) > 0 },
		"AppendGapEvent":     func() { ok = len(AppendGapEvent(buf, cursor, message[:4], 7)) > 0 },
		"AppendLine":         func() { ok = len(AppendLine(buf, cursor, 7, multiline)) > 0 },
		"AppendUTF8Repaired": func() { ok = len(AppendUTF8Repaired(buf, multiline)) > 0 },
		"Prefers":            func() { ok = q.Prefers(offered...) == 1 },
		"QueryValue":         func() { _, ok, _ = QueryValue([]byte("since=1&wait=30s"), "wait") },
		"ParseDuration":      func() { d, _ := ParseDuration(wait); ok = d > 0 },
		"IDs":                func() { ok = ids.Parse(cursor) == nil && ids.Len() == 2 },
		"ParseCursor":        func() { marks, _ = ParseCursor(marks[:0], cursor); ok = len(marks) == 2 },
		"AppendCursor":       func() { ok = len(AppendCursor(buf, marks)) > 0 },
		"Body":               func() { s, _ := q.Body(100); _, ok, _ = s.Next(body[:5]) },
		"AppendUnescaped":    func() { _, err := AppendUnescaped(buf, q.Path); ok = err == nil },
		"AppendHTMLEscaped":  func() { ok = len(AppendHTMLEscaped(buf, message)) > 0 },
		"AppendChunk":        func() { ok = len(AppendChunk(buf, message)) > 0 },
		"AppendStamp":        func() { ok = len(AppendStamp(buf, 1, message[:4], 1, 1<<32, 1)) > 0 },
		"NextStamp":          func() { _, _, ok = NextStamp(message) },
	} {
		if ok = ParseRequest(request, lim, &q) == nil && ParseResponse(response, lim, &p) == nil; !ok {
			t.Fatal("the examples are not good")
		}
		if n := testing.AllocsPerRun(100, f); n != 0 || !ok {
			t.Errorf("%s: %v allocations, ok %v; want 0, true", name, n, ok)
		}
	}
}
