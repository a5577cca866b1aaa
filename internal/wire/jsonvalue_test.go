package wire

import (
	"bytes"
	"encoding/json"
	"testing"
)

// scanValue scans text in two pieces.
func scanValue(text, name string, cut int) (string, bool) {
	var s ValueScanner
	value := s.Scan([]byte(text[:cut]), name, make([]byte, 0, 32))
	value = s.Scan([]byte(text[cut:]), name, value)
	return string(value), s.Long()
}

func TestValueScanner(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"next":"abc"}`, "abc"},
		{`{ "a" : [1,{"next" : 42 }]}`, "42"},
		{`{"next":-1.5e3,"x":1}`, "-1.5e3"},
		{`{"next":null}`, "null"},
		{`{"next":"a\"b\\c\/\n\u0041\u00e9\ud83d\ude00"}`, "a\"b\\c/\nA\u00e9\U0001f600"},
		{`{"next":"first"} {"next":"last"}`, "last"},
		{`{"next":"a","next":{"next":"b"}}`, "b"},
		{`{"next":"a","other":{"next":[1]}}`, "a"},
		{`{"nextt":"a","nex":"b","xnext":"c","n\u0065xt":"d"}`, ""},
		{`{"a":"next","b":"\"next\":1"}`, ""},
		{`["next","next"]`, ""},
		{`{"next":""}`, ""},
		{`{"next" "a"}`, ""},
		{`{"next":"0123456789012345678901234567890123456789"}`, "01234567890123456789012345678901"},
		{`{"next":"\uzz"}`, ""},
		{``, ""},
	} {
		for cut := range len(c.text) + 1 {
			got, long := scanValue(c.text, "next", cut)
			if got != c.want || long != (len(c.want) == 32) {
				t.Errorf("%s cut at %d: %q, long %t; want %q", c.text, cut, got, long, c.want)
			}
		}
	}
}

// FuzzValueScanner: of an object with one member of the name, encoding/json finds the same.
func FuzzValueScanner(f *testing.F) {
	for _, s := range []string{`{"next":"a\u00e9\ud83d\ude00"}`, `{"next":12}`, `{"a":{"b":"\"next\":1"},"next":"x\/"}`, `{"next":true}`, `{"next":"\ud800x"}`} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		cut = max(0, min(cut, len(text)))
		var s ValueScanner
		value := s.Scan(text[:cut], "next", make([]byte, 0, 64))
		value = s.Scan(text[cut:], "next", value)
		if len(value) > 64 {
			t.Fatal("it grew")
		}
		if bytes.Count(text, []byte("next")) != 1 || bytes.Contains(text, []byte(`\u`)) || bytes.ContainsAny(text, "\xc0\xff") {
			return
		}
		var all map[string]any
		var one struct{ Next *string }
		if json.Unmarshal(text, &all) != nil || json.Unmarshal(text, &one) != nil || one.Next == nil || s.Long() {
			return
		}
		if _, exact := all["next"]; exact && !bytes.ContainsRune(bytes.ToValidUTF8(text, []byte("\ufffd")), '\ufffd') && string(value) != *one.Next {
			t.Fatalf("%q: %q, want %q", text, value, *one.Next)
		}
	})
}
