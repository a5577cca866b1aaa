package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

var brokenTexts = []struct{ text, want string }{
	{"", ""}, {"plain", "plain"}, {"äöü€😀", "äöü€😀"}, {"\x00\x7f", "\x00\x7f"}, {"\ufffd\ufeff", "\ufffd\ufeff"},
	{"\x80", "\ufffd"}, {"\xbf\x80", "\ufffd\ufffd"}, {"\xc0\xaf", "\ufffd\ufffd"}, {"\xc1", "\ufffd"}, {"\xf5\x80", "\ufffd\ufffd"}, {"\xff\xfe", "\ufffd\ufffd"},
	{"a\xc3", "a\ufffd"}, {"\xc3(", "\ufffd("}, {"\xe2\x82", "\ufffd"}, {"\xe2\x82x", "\ufffdx"}, {"\xe2\x82\xe2\x82\xac", "\ufffd€"},
	{"\xe0\x80\x80", "\ufffd\ufffd\ufffd"}, {"\xe0\x9f\xbf", "\ufffd\ufffd\ufffd"}, {"\xe0\xa0", "\ufffd"}, {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"}, {"\xed\x9f", "\ufffd"},
	{"\xf0\x8f\xbf\xbf", "\ufffd\ufffd\ufffd\ufffd"}, {"\xf0\x9f\x98", "\ufffd"}, {"\xf0\x9f", "\ufffd"}, {"\xf0\x9f\x98!", "\ufffd!"},
	{"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"}, {"\xf4\x8f\xbf\xbf", "\U0010ffff"}, {"\xf1\x80\x80\xc3\xa4", "\ufffdä"},
	// Unicode 15, section 3.9, tables 3-8 to 3-11.
	{"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82A", strings.Repeat("\ufffd", 8) + "A"},
	{"\xed\xa0\x80\xed\xbf\xbf\xed\xafA", strings.Repeat("\ufffd", 8) + "A"},
	{"\xf4\x91\x92\x93\xffA\x80\xbfB", strings.Repeat("\ufffd", 5) + "A\ufffd\ufffdB"},
	{"\xe1\x80\xe2\xf0\x91\x92\xf1\xbfA", "\ufffd\ufffd\ufffd\ufffdA"},
}

func TestAppendUTF8Repaired(t *testing.T) {
	for _, c := range brokenTexts {
		if got := AppendUTF8Repaired([]byte("x"), []byte(c.text)); string(got) != "x"+c.want {
			t.Errorf("%q: got %q, want %q", c.text, got[1:], c.want)
		}
	}
}

// decodeUTF8 is the decoder of the WHATWG Encoding standard, byte by byte as it is written there.
func decodeUTF8(text string) string {
	var out strings.Builder
	var point rune
	needed, seen := 0, 0
	lower, upper := byte(0x80), byte(0xbf)
	for i := 0; i < len(text); i++ {
		c := text[i]
		if needed == 0 {
			switch {
			case c <= 0x7f:
				out.WriteByte(c)
			case c >= 0xc2 && c <= 0xdf:
				needed, point = 1, rune(c&0x1f)
			case c >= 0xe0 && c <= 0xef:
				if c == 0xe0 {
					lower = 0xa0
				}
				if c == 0xed {
					upper = 0x9f
				}
				needed, point = 2, rune(c&0xf)
			case c >= 0xf0 && c <= 0xf4:
				if c == 0xf0 {
					lower = 0x90
				}
				if c == 0xf4 {
					upper = 0x8f
				}
				needed, point = 3, rune(c&0x7)
			default:
				out.WriteString("\ufffd")
			}
			continue
		}
		if c < lower || c > upper {
			point, needed, seen, lower, upper = 0, 0, 0, 0x80, 0xbf
			out.WriteString("\ufffd")
			i-- // restore the byte
			continue
		}
		lower, upper = 0x80, 0xbf
		point = point<<6 | rune(c&0x3f)
		if seen++; seen == needed {
			out.WriteRune(point)
			point, needed, seen = 0, 0, 0
		}
	}
	if needed > 0 {
		out.WriteString("\ufffd")
	}
	return out.String()
}

// The decoder that browsers have is the oracle.
func FuzzUTF8(f *testing.F) {
	for _, c := range brokenTexts {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := string(AppendUTF8Repaired(nil, []byte(s)))
		if want := decodeUTF8(s); got != want || !utf8.ValidString(got) {
			t.Fatalf("%q: got %q, want %q", s, got, want)
		}
	})
}

// jsonText decodes a JSON string as encoding/json does.
func jsonText(t *testing.T, inside string) (s string) {
	t.Helper()
	if err := json.Unmarshal([]byte(`"`+inside+`"`), &s); err != nil {
		t.Fatalf("%q is no JSON: %v", inside, err)
	}
	return s
}
