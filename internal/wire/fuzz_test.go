package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The oracle of heads is net/http: what we accept it accepts, and means the same. We refuse much that it lets through
// (docs/design/wire.md says what); that is not compared. What we accept and it does not, or reads otherwise, is known and
// listed here.
//
// Requests:
//   - One empty line before the request line: its Server skips it as we do, its ReadRequest does not.
//   - Bad escapes in the path: it refuses them while it parses, we in AppendUnescaped, which also refuses %00.
//   - A host in brackets: we look at its bytes, it wants a whole address.
//   - An absolute-form without path: it says "", we say "/".
//
// Both:
//   - A Trailer field that announces Content-Length and the like: it refuses the head, we do not look at it.
//
// Responses:
//   - A 1xx, 204 or 304 that says it is chunked: it reports that and gives no body, we do not report it.
func FuzzRequest(f *testing.F) {
	for _, c := range goodRequests {
		f.Add([]byte(c.head))
	}
	for _, c := range badRequests {
		f.Add([]byte(c.head))
	}
	for _, c := range badHeads {
		f.Add([]byte(strings.Replace(c.head, "START", "POST /a%20b?c HTTP/1.1", 1)))
	}
	for _, body := range []string{"Content-Length: 5\r\n\r\nhelloGET", "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\nGET",
		"Expect: 100-continue, x\r\nConnection: close, keep-alive\r\n\r\n"} {
		f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n" + body))
		f.Add([]byte("GET / HTTP/1.0\r\n" + body))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		head, ok := scanSameWay(t, b)
		if !ok {
			return
		}
		var r Request
		if err := ParseRequest(head, Limits{}, &r); err != nil {
			wantError(t, err, err.(*Error).Status, "")
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(head, []byte("\r\n")))))
		path, pathErr := AppendUnescaped(nil, r.Path)
		if err != nil {
			if pathErr != nil || bytes.IndexByte(r.Target, '[') >= 0 || hasTrailer(r.Field) {
				return
			}
			t.Fatalf("net/http refuses: %v\n%q", err, head)
		}
		wantPath := want.URL.Path
		if wantPath == "" && want.Method != "CONNECT" {
			wantPath = "/"
		}
		if pathErr != nil && !strings.Contains(wantPath, "\x00") || pathErr == nil && string(path) != wantPath {
			t.Errorf("path %q, %v; net/http says %q", path, pathErr, wantPath)
		}
		same(t, "method", string(r.Method), want.Method)
		same(t, "target", string(r.Target), want.RequestURI)
		same(t, "query", string(r.Query), want.URL.RawQuery)
		same(t, "minor", r.Minor, want.ProtoMinor)
		same(t, "length", max(r.ContentLength, 0), max(want.ContentLength, 0))
		same(t, "chunked", r.Chunked, len(want.TransferEncoding) > 0)
		same(t, "keep alive", r.KeepAlive, !want.Close)
		same(t, "expects 100", r.Expect100, r.Minor > 0 && listed(want.Header["Expect"], "100-continue"))
		sameFields(t, want.Header, r.Field)
		sameBody(t, &r, head, b[len(head):])
	})
}

// listed tells whether lists name token.
func listed(lists []string, token string) bool {
	for element := range strings.SplitSeq(strings.Join(lists, ","), ",") {
		if strings.EqualFold(strings.Trim(element, " \t"), token) {
			return true
		}
	}
	return false
}

// sameBody checks that what follows head, the body of r perhaps and more, is cut at the same place by a BodySkipper that is given it
// whole, one that is given it byte by byte, and net/http.
func sameBody(t *testing.T, r *Request, head, rest []byte) {
	t.Helper()
	s, err := r.Body(1 << 16)
	if err != nil {
		wantError(t, err, 413, "")
		return
	}
	var single [][]byte
	for i := range rest {
		single = append(single, rest[i:i+1])
	}
	got, slow := skip(s, [][]byte{rest}), skip(s, single)
	if got.n != slow.n || (got.err == nil) != (slow.err == nil) || got.done != slow.done && len(rest) > 0 {
		t.Fatalf("body: byte by byte %+v, whole %+v", slow, got)
	}
	if !got.done || bytes.Contains(rest[:got.n], []byte(" ;")) || bytes.Contains(rest[:got.n], []byte("\t;")) {
		return
	}
	stream := bufio.NewReader(bytes.NewReader(append(bytes.TrimPrefix(bytes.Clone(head), []byte("\r\n")), rest...)))
	want, err := http.ReadRequest(stream)
	if err != nil {
		t.Fatal(err) // it was good without its body
	}
	if _, err = io.Copy(io.Discard, want.Body); err != nil {
		t.Fatalf("body: net/http refuses: %v\n%q", err, rest)
	}
	left, _ := io.ReadAll(stream)
	same(t, "end of the body", got.n, len(rest)-len(left))
}

func FuzzResponse(f *testing.F) {
	for _, c := range goodResponses {
		f.Add([]byte(c.head))
	}
	for _, c := range badResponses {
		f.Add([]byte(c.head))
	}
	for _, c := range badHeads {
		f.Add([]byte(strings.Replace(c.head, "START", "HTTP/1.1 200 OK", 1)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		head, ok := scanSameWay(t, b)
		if !ok {
			return
		}
		var r Response
		if err := ParseResponse(head, Limits{}, &r); err != nil {
			wantError(t, err, err.(*Error).Status, "")
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
		if err != nil {
			if hasTrailer(r.Field) {
				return
			}
			t.Fatalf("net/http refuses: %v\n%q", err, head)
		}
		same(t, "status", r.Status, want.StatusCode)
		same(t, "minor", r.Minor, want.ProtoMinor)
		same(t, "length", r.ContentLength, want.ContentLength)
		bodiless := r.Status < 200 || r.Status == 204 || r.Status == 304
		same(t, "chunked", r.Chunked, len(want.TransferEncoding) > 0 && !bodiless)
		same(t, "keep alive", r.KeepAlive, !want.Close)
		want.Header.Del("Connection") // it takes a "close" out of there
		sameFields(t, want.Header, r.Field)
	})
}

// scanSameWay returns the head at the front of b, if there is a whole one. It checks that a HeadScanner which is given b
// byte by byte says the same as one that is given all of it.
func scanSameWay(t *testing.T, b []byte) (head []byte, ok bool) {
	var whole, single HeadScanner
	n, done, err := whole.Scan(b, Limits{})
	var got scanned
	for i := 0; i < len(b) && !got.done && got.err == nil; i++ {
		k := 0
		k, got.done, got.err = single.Scan(b[i:i+1], Limits{})
		got.n += k
	}
	if want := (scanned{n, done, err}); !got.equal(want) || single != whole {
		t.Fatalf("byte by byte %+v %+v, whole %+v %+v", got, single, want, whole)
	}
	return b[:n], done
}

func hasTrailer(field func(string) ([]byte, bool)) bool { _, ok := field("Trailer"); return ok }

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, net/http says %v", what, got, want)
	}
}

func sameFields(t *testing.T, want http.Header, field func(string) ([]byte, bool)) {
	t.Helper()
	for name, values := range want {
		got, ok := field(name)
		if name == "Cache-Control" && !ok {
			continue // it makes one out of Pragma
		}
		if wanted := textproto.TrimString(values[0]); !ok || string(got) != wanted {
			t.Errorf("field %s: got %q, %v; net/http says %q", name, got, ok, wanted)
		}
	}
}

// What we decode, the chunked reader of net/http decodes to the same bytes; it does not look at trailers, tires of bodies
// with more than 16 KiB of extensions, and refuses the white space before an extension that RFC 9112 section 7.1.1 wants
// parsed. The data, cut into chunks again, must come back.
func FuzzChunk(f *testing.F) {
	for _, s := range []string{LastChunk, "5\r\nhello\r\n" + LastChunk, "5;a=b\r\nhello\r\n0;c\r\nA: b\r\n\r\nrest", "0 ;\r\n", "a \r\n0123456789\r\n0\r\n",
		"ffffffffffffffff\r\n", "fffffffffffffff\r\nx", "5\nhello\r\n", "5\r\nhello!\r\n", "00005\r\nhello\r\n1\r\n!\r\n" + LastChunk} {
		f.Add([]byte(s), uint16(3), uint16(8))
	}
	f.Fuzz(func(t *testing.T, b []byte, i, j uint16) {
		if len(b) > 16<<10 {
			return
		}
		want, err := decode([][]byte{b})
		if err != nil {
			t.Fatal(err)
		}
		lo, hi := min(int(i), int(j), len(b)), min(max(int(i), int(j)), len(b))
		pieces := [][]byte{b[:lo], b[lo:hi], b[hi:]}
		var single [][]byte
		for i := range b {
			single = append(single, b[i:i+1])
		}
		for _, pieces := range [][][]byte{pieces, single} {
			if got, err := decode(pieces); err != nil || got != want {
				t.Fatalf("cut: got %+v, %v; whole: %+v", got, err, want)
			}
		}
		data, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b)))
		switch {
		case want.err != "", bytes.Contains(b, []byte(" ;")), bytes.Contains(b, []byte("\t;")):
		case string(data) != want.data:
			t.Fatalf("got %q, net/http says %q", want.data, data)
		case want.ended && err != nil, err != nil && err != io.ErrUnexpectedEOF:
			t.Fatalf("ended %v, net/http says %v", want.ended, err)
		}
		body := AppendChunk(AppendChunk(AppendChunk(nil, pieces[0]), pieces[1]), pieces[2])
		back, err := decode([][]byte{append(body, LastChunk...)})
		if err != nil || back.data != string(b) || !back.ended {
			t.Fatalf("%q came back as %+v, %v", b, back, err)
		}
	})
}

// Whatever the text and however it is cut, the stamps are those of the definition; a stamp put behind a space is found.
func FuzzStamp(f *testing.F) {
	for _, c := range stampTexts {
		f.Add(c.text, "1", uint64(1), uint64(1), int64(1<<32), int64(5000), uint16(5))
	}
	for _, id := range goodIDs {
		f.Add(" ", id, uint64(aRun), uint64(7), aDue, int64(-1), uint16(20))
	}
	f.Fuzz(func(t *testing.T, text, id string, run, seq uint64, due, lag int64, cut uint16) {
		text += " " + string(AppendStamp(nil, RunTag(run), []byte(id), seq, due, time.Duration(lag))) + " "
		want := fmt.Sprint(slowStamps(text))
		cut = min(cut, uint16(min(len(text), 1<<16-1)))
		for _, pieces := range [][][]byte{{[]byte(text)}, {[]byte(text[:cut]), []byte(text[cut:])}} {
			found, rest := readStamps(t, pieces)
			if got := fmt.Sprint(found); got != want || rest != "" {
				t.Fatalf("%q: got %s, rest %q; want %s", text, got, rest, want)
			}
		}
	})
}

// html.EscapeString and url.PathUnescape are the oracles; ours refuses %00 too.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "Hello World", "<b>&\"'", "12345678<", "%41%00", "/%2F%zz", "%", "\xe4%e4+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := AppendHTMLEscaped(nil, []byte(s)), html.EscapeString(s); string(got) != want {
			t.Errorf("escaped: got %q, want %q", got, want)
		}
		got, err := AppendUnescaped(nil, []byte(s))
		want, wantErr := url.PathUnescape(s)
		if strings.Contains(s, "%00") {
			wantErr = io.EOF
		}
		if (err == nil) != (wantErr == nil) || err == nil && string(got) != want {
			t.Errorf("unescaped: got %q, %v; want %q, %v", got, err, want, wantErr)
		}
	})
}
