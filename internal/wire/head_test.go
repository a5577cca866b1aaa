package wire

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

// small limits, so that tables can exceed them; both protocols' tables use them.
var small = Limits{Line: 64, Head: 256, Fields: 8}

// badHead is a head that HeadScanner or the parsers refuse, written for a request; badHeads is the table for the rules
// that requests and responses share, with START for a good start line.
type badHead struct {
	name, head string
	status     int
	reason     string
}

var badHeads = []badHead{
	{"bare LF after the start line", "START\nHost: h\r\n\r\n", 400, "bare LF"},
	{"bare LF after a field", "START\r\nHost: h\n\r\n", 400, "bare LF"},
	{"bare LF for the empty line", "START\r\nHost: h\r\n\n", 400, "bare LF"},
	{"bare CR in the start line", "START\rx\r\nHost: h\r\n\r\n", 400, "bare CR"},
	{"bare CR in a value", "START\r\nHost: h\rx\r\n\r\n", 400, "bare CR"},
	{"bare CR at the end", "START\r\nHost: h\r\n\rx", 400, "bare CR"},
	{"CR CR LF", "START\r\nHost: h\r\r\n\r\n", 400, "bare CR"},
	{"NUL in the start line", "START\x00\r\nHost: h\r\n\r\n", 400, "0x00 in the start line"},
	{"NUL in a name", "START\r\nHo\x00st: h\r\n\r\n", 400, "0x00 in a field name"},
	{"NUL in a value", "START\r\nHost: \x00\r\n\r\n", 400, "0x00 in a field value"},
	{"DEL in a value", "START\r\nHost: h\r\nA: \x7f\r\n\r\n", 400, "0x7f in a field value"},
	{"escape in a value", "START\r\nHost: h\r\nA: \x1b[0m\r\n\r\n", 400, "0x1b in a field value"},
	{"non-ASCII in a name", "START\r\nHost: h\r\n\xc3\xa4: 1\r\n\r\n", 400, "0xc3 in a field name"},
	{"space before the colon", "START\r\nHost : h\r\n\r\n", 400, "space between a field's name and its colon"},
	{"tab before the colon", "START\r\nHost\t: h\r\n\r\n", 400, "space between a field's name and its colon"},
	{"folded field", "START\r\nHost: h\r\nA: 1\r\n 2\r\n\r\n", 400, "obs-fold"},
	{"folded with a tab", "START\r\nHost: h\r\nA: 1\r\n\t2\r\n\r\n", 400, "obs-fold"},
	{"space before the first field", "START\r\n Host: h\r\n\r\n", 400, "obs-fold"},
	{"field without a name", "START\r\nHost: h\r\n: x\r\n\r\n", 400, "without a name"},
	{"field without a colon", "START\r\nHost: h\r\nabc\r\n\r\n", 400, "without a colon"},
	{"too many fields", "START\r\nHost: h\r\n" + strings.Repeat("A: 1\r\n", 8) + "\r\n", 431, "more than 8 fields"},
	{"head too long", "START\r\nHost: h\r\nA: " + strings.Repeat("a", 300) + "\r\n\r\n", 431, "longer than 256 bytes"},
	{"head too long by one", "START\r\nHost: h\r\nA: " + strings.Repeat("a", 256-len("START\r\nHost: h\r\nA: \r\n\r\n")+1) +
		"\r\n\r\n", 431, "longer than 256 bytes"},
	{"name too long", "START\r\nHost: h\r\n" + strings.Repeat("a", 300) + ": 1\r\n\r\n", 431, "longer than 256 bytes"},

	{"length and coding", "START\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
		"Content-Length and Transfer-Encoding"},
	{"coding and length", "START\r\nHost: h\r\nTransfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 400,
		"Content-Length and Transfer-Encoding"},
	{"two lengths", "START\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, `"5" and "6"`},
	{"two spellings of a length", "START\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 05\r\n\r\n", 400, `"5" and "05"`},
	{"list of lengths", "START\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n", 400, `"5, 5"`},
	{"empty length", "START\r\nHost: h\r\nContent-Length:\r\n\r\n", 400, `bad Content-Length ""`},
	{"signed length", "START\r\nHost: h\r\nContent-Length: +5\r\n\r\n", 400, `"+5"`},
	{"negative length", "START\r\nHost: h\r\nContent-Length: -5\r\n\r\n", 400, `"-5"`},
	{"hexadecimal length", "START\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n", 400, `"0x5"`},
	{"length of 2^63", "START\r\nHost: h\r\nContent-Length: 9223372036854775808\r\n\r\n", 400, `"9223372036854775808"`},
	{"length of 2^64", "START\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n", 400, `"18446744073709551616"`},
	{"unknown coding", "START\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400, `"gzip" does not end with chunked`},
	{"identity", "START\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", 400, `"identity" does not end with chunked`},
	{"unknown coding before chunked", "START\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, `"gzip"`},
	{"two unknown codings", "START\r\nHost: h\r\nTransfer-Encoding: br, gzip\r\n\r\n", 400, `"br" does not end with chunked`},
	{"unknown codings in two fields", "START\r\nHost: h\r\nTransfer-Encoding: br\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, `"br"`},
	{"coding with a parameter", "START\r\nHost: h\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", 400, `"chunked;q=1" does not`},
	{"coding with a control byte", "START\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400, "0x0b"},
	{"empty coding", "START\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n", 400, "empty Transfer-Encoding"},
	{"empty coding in a list", "START\r\nHost: h\r\nTransfer-Encoding: , chunked\r\n\r\n", 400, "empty Transfer-Encoding"},
	{"chunked not last", "START\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400, `"gzip" after chunked`},
	{"chunked twice", "START\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400, `"chunked" after chunked`},
	{"chunked in two fields", "START\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
		`"chunked" after chunked`},
}

// testBadHeads runs a table of bad heads through scanner and parser, cut in every way.
func testBadHeads(t *testing.T, table []badHead, start string, parse func(head []byte) error) {
	for _, c := range table {
		t.Run(c.name, func(t *testing.T) {
			head := []byte(strings.Replace(c.head, "START", start, 1))
			wantError(t, parse(head), c.status, c.reason)
			whole := scanPieces([][]byte{head})
			if whole.err != nil {
				wantError(t, whole.err, c.status, c.reason)
			}
			for how, pieces := range cuts(head) {
				if got := scanPieces(pieces); !got.equal(whole) {
					t.Fatalf("%s: got %+v, want %+v as for the whole", how, got, whole)
				}
			}
		})
	}
}

type scanned struct {
	n    int
	done bool
	err  error
}

func (a scanned) equal(b scanned) bool {
	var x, y *Error
	errors.As(a.err, &x)
	errors.As(b.err, &y)
	return a.n == b.n && a.done == b.done && (x == y || x != nil && y != nil && *x == *y)
}

// scanPieces scans pieces as a connection would hand them over.
func scanPieces(pieces [][]byte) (r scanned) {
	var s HeadScanner
	for _, p := range pieces {
		var n int
		n, r.done, r.err = s.Scan(p, small)
		r.n += n
		if r.done || r.err != nil {
			break
		}
	}
	return r
}

func TestScanFindsTheEnd(t *testing.T) {
	fields := "Host: h\r\nA:\r\nB: \t \r\nC: a\tb\xe4\r\n"
	fill := strings.Repeat("a", 256-len("GET / HTTP/1.1\r\nA: \r\n\r\n"))
	for _, c := range []struct{ name, head, rest string }{
		{"alone", "GET / HTTP/1.1\r\n" + fields + "\r\n", ""},
		{"with a body", "GET / HTTP/1.1\r\n" + fields + "\r\n", "body\r\n\r\n"},
		{"without fields", "GET / HTTP/1.0\r\n\r\n", "\r\n"},
		{"after an empty line", "\r\nGET / HTTP/1.1\r\n" + fields + "\r\n", "\x00"},
		{"line just fits", "GET /" + strings.Repeat("a", 64-14) + " HTTP/1.1\r\n\r\n", "x"},
		{"head just fits", "GET / HTTP/1.1\r\nA: " + fill + "\r\n\r\n", "x"},
		{"head just fits after an empty line", "\r\nGET / HTTP/1.1\r\nA: " + fill + "\r\n\r\n", "x"},
		{"fields just fit", "GET / HTTP/1.1\r\n" + strings.Repeat("A: 1\r\n", 8) + "\r\n", "A: 1\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for how, pieces := range cuts([]byte(c.head + c.rest)) {
				if got := scanPieces(pieces); got.n != len(c.head) || !got.done || got.err != nil {
					t.Errorf("%s: got %+v, want n %d, done", how, got, len(c.head))
				}
			}
		})
	}
}

// A scanner that is done is ready for the next head; one that has refused a byte refuses it again.
func TestScanAgain(t *testing.T) {
	var s HeadScanner
	two := []byte("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
	for range 2 {
		n, done, err := s.Scan(two, Limits{})
		if n != 18 || !done || err != nil {
			t.Fatalf("got %d, %v, %v", n, done, err)
		}
		if two = two[n:]; s != (HeadScanner{}) {
			t.Fatalf("after a head: %+v, want the zero value", s)
		}
	}
	bad := []byte("GET / HTTP/1.1\r\nA: \x00")
	n, _, first := s.Scan(bad, Limits{})
	again, _, second := s.Scan(bad[n:], Limits{})
	if n != len(bad)-1 || again != 0 || first == nil || second == nil || first.Error() != second.Error() {
		t.Fatalf("got %d, %v, then %d, %v", n, first, again, second)
	}
}

// A megabyte without an end must be refused at the limit, and not read.
func TestScanStopsAtTheLimit(t *testing.T) {
	var s HeadScanner
	n, _, err := s.Scan([]byte("GET /"+strings.Repeat("a", 1<<20)), Limits{})
	wantError(t, err, 414, "longer than 8192 bytes")
	if n != 8192 {
		t.Errorf("refused after %d bytes, want 8192", n)
	}
	s = HeadScanner{}
	n, _, err = s.Scan([]byte("GET / HTTP/1.1\r\n"+strings.Repeat("A: 1\r\n", 10000)), Limits{})
	wantError(t, err, 431, "more than 100 fields")
	if n > 1000 {
		t.Errorf("refused after %d bytes", n)
	}
	s = HeadScanner{}
	_, _, err = s.Scan([]byte("GET / HTTP/1.1"), Limits{Head: 10})
	wantError(t, err, 414, "longer than 10 bytes")
}

func TestParseDecimal(t *testing.T) {
	for _, s := range []string{"", "0", "007", "18446744073709551615", "18446744073709551616", "18446744073709551620", "36893488147419103232",
		"99999999999999999999", "184467440737095516150", "000000000000000000000000000001", "1a", "a", "-1", "+1", "1_0", " 1", "/", ":"} {
		want, err := strconv.ParseUint(s, 10, 64)
		if got, ok := parseDecimal([]byte(s)); ok != (err == nil) || ok && got != want {
			t.Errorf("%q: got %d, %v; strconv says %d, %v", s, got, ok, want, err)
		}
	}
}
