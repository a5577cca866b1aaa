package msggen

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"cometctl/internal/wire"
)

func TestParseLines(t *testing.T) {
	l, err := ParseLines([]byte("one\r\n\nзвук\t\"quoted\" \\ <b>\nlast"))
	if err != nil || l.Len() != 4 {
		t.Fatal(l, err)
	}
	for n, want := range []string{"one", "", "звук\t\"quoted\" \\ <b>", "last", "one"} {
		if got := string(l.of(uint64(n))); got != want {
			t.Errorf("message %d says %q, want %q", n, got, want)
		}
	}
	for text, want := range map[string]string{
		"":                         "there is no line in it",
		"one\nt\xffwo\n":           "line 2 is no UTF-8: its byte 2 is 0xff",
		"one\n\xed\xa0\x80":        "line 2 is no UTF-8: its byte 1",
		strings.Repeat("x", 1<<20): "line 1 has 1048576 bytes",
		"a\nb ~17000000001230007.x.1.1700000000500000000~": "line 2 holds the stamp of another message (id x, number 1)",
		"~17000000001230007.x.1":                           "line 1 holds the beginning of a stamp",
	} {
		if l, err := ParseLines([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseLines(%.30q) = %v, %v, want an error with %q", text, l, err, want)
		}
	}
}

// FuzzLines: whatever a line says, its message holds one stamp, which is found, at the message's end, whole in a line of the stream and as JSON.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\n"))
	f.Add([]byte("~1.x.1.~\n~17000000001230007.x.1\n~~~~"))
	f.Add([]byte("\"\\\u2028<&>\x00\x7f"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLines(text)
		if err != nil {
			return
		}
		c := newComposer(3, &Config{IDs: 10, Lines: l})
		c.tag = wire.NewRunTag(testStart, 3)
		for n := range uint64(min(l.Len(), 50)) {
			line := c.appendLine(nil, n+1, 1_700_000_000_500_000_000, 0)
			if bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Fatalf("torn: %q", line)
			}
			id, msg, _ := bytes.Cut(line[:len(line)-1], []byte("\t"))
			if !bytes.HasPrefix(msg, l.of(n)) {
				t.Fatalf("message %q of line %q", msg, l.of(n))
			}
			s, end, ok := wire.NextStamp(msg)
			if !ok || end != len(msg) || !bytes.Equal(s.ID, id) {
				t.Fatalf("message %q: stamp %+v, %d, %v", msg, s, end, ok)
			}
			var back string
			if err := json.Unmarshal(wire.AppendJSON(nil, msg), &back); err != nil || back != string(msg) || !utf8.ValidString(back) {
				t.Fatalf("message %q as JSON is %q, %v", msg, back, err)
			}
		}
	})
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string][2]int{"0": {}, "200": {200, 0}, "100..4000": {100, 4000}, "100..100": {100, 100}} {
		if size, to, err := ParseSize(text); err != nil || [2]int{size, to} != want {
			t.Errorf("ParseSize(%q) = %d, %d, %v", text, size, to, err)
		}
	}
	for text, want := range map[string]string{
		"":            `"": "" at 1 is no number of bytes`,
		"-20":         `"-20" at 1 is no number`,
		"100..":       `"" at 6 is no number`,
		"100..x":      `"x" at 6 is no number`,
		"100...4":     `".4" at 6 is no number`,
		"4000..100":   `sizes go from a smaller number`,
		"0..100":      `sizes go from a smaller number`,
		"99999999999": `"99999999999" at 1 is no number`,
		"1KiB":        `"1KiB" at 1 is no number`,
	} {
		if size, to, err := ParseSize(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseSize(%q) = %d, %d, %v, want an error with %q", text, size, to, err, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("200")
	f.Add("100..4000")
	f.Fuzz(func(t *testing.T, text string) {
		if size, to, err := ParseSize(text); err == nil && (size < 0 || to != 0 && to < size) {
			t.Errorf("ParseSize(%q) = %d, %d", text, size, to)
		}
	})
}

// TestSizesAreUniform: each size of the span comes, none outside, and ids are those of messages without sizes.
func TestSizesAreUniform(t *testing.T) {
	cfg := Config{IDs: 100, Size: 100, SizeTo: 149, Seed: 1}
	sized, plain := newComposer(0, &cfg), newComposer(0, &Config{IDs: 100, Seed: 1})
	const n = 50_000
	counts := make([]int, 50)
	for i := range uint64(n) {
		line, other := sized.appendLine(nil, i+1, 1<<32, 0), plain.appendLine(nil, i+1, 1<<32, 0)
		id, msg, _ := bytes.Cut(line, []byte("\t"))
		if want, _, _ := bytes.Cut(other, []byte("\t")); !bytes.Equal(id, want) {
			t.Fatalf("message %d goes to %s, without sizes to %s", i, id, want)
		}
		size := len(msg) - 1
		if size < 100 || size > 149 {
			t.Fatalf("a message of %d bytes", size)
		}
		counts[size-100]++
	}
	if off := chiSquare(counts, n, func(int) float64 { return 1.0 / 50 }); off > 4 || off < -4 {
		t.Errorf("chi-square of the sizes is %.1f standard deviations off", off)
	}
}
