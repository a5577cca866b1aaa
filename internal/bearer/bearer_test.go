package bearer

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const (
	good  = "0123456789abcdefABCDEF-._~+/=="
	other = "another-token-of-24-byte"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		says       []string // of the error; nil: it is read
	}{
		{"one", good + "\n", 0o600, nil},
		{"read-only", good, 0o400, nil},
		{"windows", good + "\r\n" + other + "\r\n", 0o600, nil},
		{"gaps", "\n\n" + good + "\n\n" + other + "\n\n", 0o600, nil},
		{"shortest", "0123456789abcdef", 0o600, nil},
		{"empty", "", 0o600, []string{"it is empty", "at least 16 bytes", "openssl rand"}},
		{"blank", "\n\r\n\n", 0o600, []string{"it is empty"}},
		{"short", "0123456789abcde\n", 0o600, []string{"line 1: a token of 15 bytes can be guessed; give at least 16"}},
		{"second-short", good + "\n1a2b3\n", 0o600, []string{"line 2: a token of 5 bytes"}},
		{"space", "0123456789 abcdef\n", 0o600, []string{"line 1: byte 11 is ' ', which no token holds"}},
		{"behind", good + " \n", 0o600, []string{"line 1: byte 29 is '='"}},
		{"lone-cr", good + "\r" + other, 0o600, []string{"line 1: byte 29 is '='"}},
		{"nul", "0123456789abcdef\x00\n", 0o600, []string{`byte 17 is '\x00'`}},
		{"utf8", "0123456789abcdefü\n", 0o600, []string{`byte 17 is 'Ã'`}},
		{"filling-only", "================\n", 0o600, []string{"byte 1 is '='"}},
		{"large", strings.Repeat(good+"\n", 4000), 0o600, []string{"larger than 64 KiB"}},
		{"group", good, 0o640, nil},
		{"group-writable", good, 0o660, []string{"others may read or write it (mode 0660); chmod 600 "}},
		{"world", good, 0o604, []string{"(mode 0604)"}},
		{"writable", good, 0o602, []string{"(mode 0602)"}},
		{"runnable", good, 0o611, []string{"(mode 0611)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && c.mode&0o077 != 0 {
				t.Skip("there are no modes here")
			}
			path := filepath.Join(dir, c.name)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			got, err := Read(path)
			if c.says == nil {
				if err != nil || !got.Match(strings.Fields(c.text)[0]) || got.Match("") || got.Match(c.text+"x") {
					t.Errorf("%v, %d tokens", err, got.Len())
				}
				return
			}
			if err == nil || got.Len() != 0 {
				t.Fatalf("it was read: %d tokens", got.Len())
			}
			for _, words := range append(c.says, path+": ") {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q does not say %q", err, words)
				}
			}
			for _, token := range strings.Fields(c.text) {
				if len(token) > 4 && strings.Contains(err.Error(), token) {
					t.Errorf("%q tells the token", err)
				}
			}
		})
	}
}

func TestReadNoFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "missing")
	if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), "openssl rand -hex 32 >"+path) {
		t.Errorf("missing: %v", err)
	}
	if runtime.GOOS == "windows" {
		return // a folder cannot be opened there
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestMatch(t *testing.T) {
	tokens, err := Parse([]byte(good + "\n" + other + "\n"))
	if err != nil || tokens.Len() != 2 || tokens.Header() != "Bearer "+good {
		t.Fatalf("%v, %d tokens, %q", err, tokens.Len(), tokens.Header())
	}
	for token, want := range map[string]bool{good: true, other: true, "": false, good[1:]: false, good + "=": false, good + "\n" + other: false,
		strings.ToUpper(other): false} {
		if tokens.Match(token) != want {
			t.Errorf("%q matches: %t", token, !want)
		}
	}
	if (Tokens{}).Match("") || (Tokens{}).Match(good) {
		t.Error("no tokens match")
	}
}

func TestOfHeader(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   string
		ok     bool
	}{
		{[]string{"Bearer " + good}, good, true},
		{[]string{"bearer  " + good + " "}, good, true},
		{[]string{"BEARER x"}, "x", true},
		{nil, "", false},
		{[]string{""}, "", false},
		{[]string{"Bearer"}, "", false},
		{[]string{"Bearer "}, "", false},
		{[]string{good}, "", false},
		{[]string{"Basic " + good}, "", false},
		{[]string{"Bearer " + good, "Bearer " + good}, "", false},
	} {
		got, ok := OfHeader(c.values)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %q, %t", c.values, got, ok)
		}
	}
}

// FuzzParse holds that whatever is taken for a token goes through a header unharmed, and that no error tells one.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "\n", good, good + "\r\n" + other, "short", good + "\n\xff", "a\rb", strings.Repeat("=", 20)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tokens, err := Parse(text)
		if err != nil {
			if tokens.Len() != 0 || tokens.Match(string(text)) {
				t.Errorf("%v, and yet there are tokens", err)
			}
			return
		}
		lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' })
		if len(lines) != tokens.Len() {
			t.Fatalf("%d tokens of %q", tokens.Len(), text)
		}
		for i, line := range lines {
			if len(line) < MinLen || strings.ContainsAny(line, " \t,\"\x00") || !tokens.Match(line) {
				t.Errorf("%q is a token", line)
			}
			if token, ok := OfHeader([]string{"Bearer " + line}); !ok || token != line {
				t.Errorf("%q came through as %q", line, token)
			}
			if i == 0 && tokens.Header() != "Bearer "+line {
				t.Errorf("first of %q is %q", text, tokens.Header())
			}
		}
	})
}
