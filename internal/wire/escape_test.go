package wire

import "testing"

func TestAppendUnescaped(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"", ""}, {"/test/1", "/test/1"}, {"/a%20b", "/a b"}, {"%41%5a%5A", "AZZ"}, {"/%2F%25", "//%"}, {"a+b", "a+b"}, {"%e4%Ff", "\xe4\xff"},
		{"%0a", "\n"},
	} {
		if got, err := AppendUnescaped([]byte("x"), []byte(c.path)); string(got) != "x"+c.want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", c.path, got, err, "x"+c.want)
		}
	}
	for _, c := range []struct{ path, reason string }{
		{"/a%", `"%"`}, {"/a%4", `"%4"`}, {"/%4g1", `"%4g"`}, {"/%g4", `"%g4"`}, {"/%%41", `"%%4"`}, {"/a%41%00b", "%00"},
		{"/%\xe4x", `"%\xe4x"`},
	} {
		got, err := AppendUnescaped([]byte("x"), []byte(c.path))
		wantError(t, err, 400, c.reason)
		if string(got) != "x" {
			t.Errorf("%q: got %q with the error, want dst as it was", c.path, got)
		}
	}
}

func TestAppendHTMLEscaped(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"Hello World", "Hello World"}, {"<b>", "&lt;b&gt;"}, {`"'&`, "&#34;&#39;&amp;"},
		{"&&&&&&&&&", "&amp;&amp;&amp;&amp;&amp;&amp;&amp;&amp;&amp;"}, {"1234567<", "1234567&lt;"}, {"12345678>", "12345678&gt;"},
		{"\x00\xa2\xa6\xa7\xbc\xbe#$%;=?!", "\x00\xa2\xa6\xa7\xbc\xbe#$%;=?!"}, {"&amp;", "&amp;amp;"},
	} {
		if got := AppendHTMLEscaped([]byte("x"), []byte(c.text)); string(got) != "x"+c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, "x"+c.want)
		}
	}
}

// Each byte, at each place of a word and among each neighbour that could disturb eight-at-a-time arithmetic.
func TestIndexHTML(t *testing.T) {
	for c := range 256 {
		for fill := range 256 {
			var b [17]byte
			for i := range b {
				b[i] = byte(fill)
			}
			b[c%len(b)] = byte(c)
			want := -1
			for i, x := range b {
				if x == '&' || x == '<' || x == '>' || x == '"' || x == '\'' {
					want = i
					break
				}
			}
			if got := indexHTML(b[:]); got != want {
				t.Fatalf("%#02x among %#02x: got %d, want %d", c, fill, got, want)
			}
		}
	}
}
