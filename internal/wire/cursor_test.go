package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// numbered is "a1,a2,...": so many ids.
func numbered(n int) string {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("a%d", i+1))
	}
	return strings.Join(ids, ",")
}

func TestIDs(t *testing.T) {
	long := strings.Repeat("x", 128)
	var l IDs // one for all: nothing of the last list may stay
	for _, c := range []struct{ list, want string }{
		{"12", "[12]"}, {"12,57", "[12 57]"}, {"12,57,12,57", "[12 57]"}, {"%31%32,57,12", "[12 57]"}, {"a%2Cb,c", "[a,b c]"}, {"a/b", "[a/b]"},
		{long + "," + long, "[" + long + "]"}, {strings.Repeat("%78", 128), "[" + long + "]"}, {"+", "[+]"},
		{numbered(64), fmt.Sprint(strings.Split(numbered(64), ","))}, {numbered(64) + ",a1", fmt.Sprint(strings.Split(numbered(64), ","))},
	} {
		if err := l.Parse([]byte(c.list)); err != nil {
			t.Errorf("%q: %v", c.list, err)
			continue
		}
		var got []string
		for i := range l.Len() {
			got = append(got, string(l.At(i)))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%q: got %v, want %s", c.list, got, c.want)
		}
	}
	if !l.Has([]byte("a64")) || l.Has([]byte("a65")) || l.Has(nil) {
		t.Error("Has is wrong")
	}
	for _, c := range []struct{ list, reason string }{
		{"", "empty id"}, {",", "empty id"}, {"a,", "empty id"}, {",a", "empty id"}, {"a,,b", "empty id"}, {"a,%zz", "bad escape"}, {"%00", "%00"},
		{long + "x", "longer than 128"}, {"a," + strings.Repeat("%78", 129), "longer than 128"}, {strings.Repeat("x", 9000), "longer than 128"}, {numbered(65), "more than 64"},
	} {
		wantError(t, l.Parse([]byte(c.list)), 400, c.reason)
		if l.Len() != 0 || len(l.text) != 0 {
			t.Errorf("%.40q: %d ids are left after the error", c.list, l.Len())
		}
	}
}

func TestParseCursor(t *testing.T) {
	for _, c := range []struct {
		cursor string
		want   []Mark
	}{
		{"", nil}, {"0", []Mark{{nil, 0}}}, {"912345678901", []Mark{{nil, 912345678901}}}, {"007", []Mark{{nil, 7}}}, {"9007199254740991", []Mark{{nil, MaxNumber}}},
		{"12:5", []Mark{{[]byte("12"), 5}}}, {"12:5,57:6", []Mark{{[]byte("12"), 5}, {[]byte("57"), 6}}}, {"a.b_c~d-E:0", []Mark{{[]byte("a.b_c~d-E"), 0}}},
	} {
		kept := []Mark{{[]byte("kept"), 1}}
		got, err := ParseCursor(kept, []byte(c.cursor))
		if err != nil || !sameMarks(got[1:], c.want) || string(got[0].ID) != "kept" {
			t.Errorf("%q: got %v, %v; want %v", c.cursor, got, err, c.want)
		}
	}
	for _, c := range []struct{ cursor, reason string }{
		{"x", "bad cursor"}, {"-1", "bad cursor"}, {"+1", "bad cursor"}, {"1.5", "bad cursor"}, {"1e9", "bad cursor"}, {" 1", "bad cursor"}, {"0x1", "bad cursor"},
		{"9007199254740992", "bad cursor"}, {"99999999999999999999999", "bad cursor"}, {"1,2", "bad cursor"}, {"1,a:2", "bad cursor"}, {"a:2,1", "bad cursor"},
		{",", "bad cursor"}, {"1,", "bad cursor"}, {"a:1,", "bad cursor"}, {",a:1", "bad cursor"}, {":", "bad cursor"}, {":1", "bad cursor"}, {"a:", "bad cursor"},
		{"a:b:1", "bad cursor"}, {"a b:1", "bad cursor"}, {"a%2C:1", "bad cursor"}, {"\x00:1", "bad cursor"}, {"ä:1", "bad cursor"},
		{"a:1,b:2,a:3", "twice"}, {strings.Repeat("x", 129) + ":1", "bad cursor"}, {strings.ReplaceAll(numbered(65), ",", ":1,") + ":1", "more than 64"},
	} {
		got, err := ParseCursor([]Mark{{nil, 1}}, []byte(c.cursor))
		wantError(t, err, 400, c.reason)
		if len(got) != 1 {
			t.Errorf("%q: %d marks with the error", c.cursor, len(got))
		}
	}
}

func TestAppendCursor(t *testing.T) {
	for _, c := range []struct {
		marks []Mark
		want  string
	}{
		{nil, ""}, {[]Mark{{nil, 7}}, "7"}, {[]Mark{{nil, 0}}, ""}, {[]Mark{{[]byte("12"), 7}}, "12:7"},
		{[]Mark{{[]byte("12"), 0}, {[]byte("57"), 6}, {[]byte("x"), MaxNumber}}, "57:6,x:9007199254740991"},
	} {
		if got := AppendCursor([]byte("x"), c.marks); string(got) != "x"+c.want {
			t.Errorf("%v: got %q, want %q", c.marks, got[1:], c.want)
		}
	}
}

func sameMarks(a, b []Mark) bool {
	return slices.EqualFunc(a, b, func(a, b Mark) bool {
		return string(a.ID) == string(b.ID) && (a.ID == nil) == (b.ID == nil) && a.N == b.N
	})
}

// A cursor that was read is written back the same, but for leading zeros and marks of zero; a cursor that was written is a
// good event id, a good field and good in a query as it stands.
func FuzzCursor(f *testing.F) {
	for _, s := range []string{"", "0", "912345678901", "12:5,57:6", "a:0", "1,2", ":1", "a:1,a:1", "9007199254740992"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		marks, err := ParseCursor(nil, []byte(s))
		if err != nil {
			wantError(t, err, 400, "cursor")
			return
		}
		text := AppendCursor(nil, marks)
		if span(text, isText) < len(text) || strings.ContainsAny(string(text), " \t&%+#") {
			t.Fatalf("%q was written as %q", s, text)
		}
		again, err := ParseCursor(nil, text)
		marks = slices.DeleteFunc(marks, func(m Mark) bool { return m.N == 0 })
		if err != nil || !sameMarks(again, marks) {
			t.Fatalf("%q was written as %q, which reads %v, %v", s, text, again, err)
		}
	})
}
