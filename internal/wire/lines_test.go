package wire

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestAppendLine(t *testing.T) {
	for _, c := range []struct {
		id, msg string
		n       uint64
		want    string
	}{
		{"12", "text", 912345678901, `{"id":"12","n":912345678901,"msg":"text"}`},
		{"12", "text", 0, `{"id":"12","msg":"text"}`},
		{"a.b_c~d-e", "", 1, `{"id":"a.b_c~d-e","n":1,"msg":""}`},
		{`"`, "x", 1<<64 - 1, `{"id":"\"","n":18446744073709551615,"msg":"x"}`},
		{"1", `"quoted" \ and / left`, 1, `{"id":"1","n":1,"msg":"\"quoted\" \\ and / left"}`},
		{"1", "a\nb\r\nc\td\x00\x1f\x7f\b\f", 1, `{"id":"1","n":1,"msg":"a\nb\r\nc\td\u0000\u001f` + "\x7f" + `\u0008\u000c"}`},
		{"1", "</script>&amp;<!--", 1, `{"id":"1","n":1,"msg":"\u003c/script\u003e\u0026amp;\u003c!--"}`},
		{"1", "ä€😀", 1, `{"id":"1","n":1,"msg":"ä€😀"}`},
		{"1", "a\u2027\u2028\u2029\u202a", 1, `{"id":"1","n":1,"msg":"a` + "\u2027" + `\u2028\u2029` + "\u202a" + `"}`},
		{"1", "\xffa\xc3\xe2\x80", 1, `{"id":"1","n":1,"msg":"` + "\ufffda\ufffd\ufffd" + `"}`},
	} {
		if got := AppendLine([]byte("x"), []byte(c.id), c.n, []byte(c.msg)); string(got) != "x"+c.want+"\n" {
			t.Errorf("%q: got  %q\nwant %q", c.msg, got[1:], c.want+"\n")
		}
	}
}

func TestAppendGap(t *testing.T) {
	for _, c := range []struct {
		id   string
		n    uint64
		want string
	}{{"12", 57, `{"id":"12","n":57,"gap":true}`}, {"a~b", 0, `{"id":"a~b","n":0,"gap":true}`}, {"\n", 1, `{"id":"\n","n":1,"gap":true}`}} {
		if got := AppendGap([]byte("x"), []byte(c.id), c.n); string(got) != "x"+c.want+"\n" {
			t.Errorf("%q: got %q, want %q", c.id, got[1:], c.want+"\n")
		}
	}
}

// Each byte, at each place of a word and among each neighbour that could disturb eight-at-a-time arithmetic.
func TestIndexEight(t *testing.T) {
	for name, f := range map[string]struct {
		index func([]byte) int
		is    func(c byte) bool
	}{
		"indexJSON":    {indexJSON, func(c byte) bool { return c < 0x20 || c >= 0x80 || bytes.IndexByte([]byte(`"\<>&`), c) >= 0 }},
		"indexLineEnd": {indexLineEnd, func(c byte) bool { return c == '\r' || c == '\n' }},
	} {
		for c := range 256 {
			for fill := range 256 {
				b := bytes.Repeat([]byte{byte(fill)}, 17)
				b[c%len(b)] = byte(c)
				want := -1
				for i, x := range b {
					if f.is(x) {
						want = i
						break
					}
				}
				if got := f.index(b); got != want {
					t.Fatalf("%s: %#02x among %#02x: got %d, want %d", name, c, fill, got, want)
				}
			}
		}
	}
}

// encoding/json is the oracle: it reads back what was written, one line each, and what it writes itself has the same escapes.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "plain text of more than eight bytes", "\"\\\x00\n\r\t<>&\u2028\u2029", "\xff\xed\xa0\x80ä", "1234567\"", "12345678\x7f"} {
		f.Add("12", uint64(7), s)
	}
	f.Add("a\"b\n", uint64(0), "x")
	f.Fuzz(func(t *testing.T, id string, n uint64, msg string) {
		line := AppendLine(nil, []byte(id), n, []byte(msg))
		gap := AppendGap(nil, []byte(id), n)
		for _, b := range [][]byte{line, gap} {
			if bytes.IndexByte(b, '\n') != len(b)-1 || bytes.ContainsAny(b, "\r<>&\u2028\u2029") || !json.Valid(b) {
				t.Fatalf("%q is no line of JSON, or not a safe one", b)
			}
		}
		var got struct {
			ID  string
			N   *uint64
			Msg *string
			Gap bool
		}
		if err := json.Unmarshal(line, &got); err != nil || got.Msg == nil || got.ID != decodeUTF8(id) || *got.Msg != decodeUTF8(msg) || got.Gap ||
			(got.N == nil) != (n == 0) || n != 0 && *got.N != n {
			t.Fatalf("%q reads as %+v, %v", line, got, err)
		}
		got.N, got.Msg = nil, nil
		if err := json.Unmarshal(gap, &got); err != nil || got.Msg != nil || got.ID != decodeUTF8(id) || got.N == nil || *got.N != n || !got.Gap {
			t.Fatalf("%q reads as %+v, %v", gap, got, err)
		}
		if want, _ := json.Marshal(decodeUTF8(msg)); jsonText(t, string(want[1:len(want)-1])) != decodeUTF8(msg) {
			t.Fatal("the oracle is broken")
		}
	})
}
