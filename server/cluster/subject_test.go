package cluster

import (
	"strings"
	"testing"
)

// FuzzAnswer holds that what parses is written as it was read.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("3 ABC true node-1"))
	f.Add([]byte("0  false "))
	f.Add([]byte("-1 A true b"))
	f.Add([]byte("4294967296 A 1 b"))
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, ok := parseAnswer(text)
		if !ok {
			return
		}
		if b, ok := parseAnswer(a.append(nil)); !ok || a != b {
			t.Errorf("%q is %+v, written and read again %+v, %v", text, a, b, ok)
		}
	})
}

func TestOrigin(t *testing.T) {
	nonce := strings.Repeat("N", nonceLen)
	for reply, want := range map[string]string{
		"": "", "_INBOX.abc": "", answerPrefix: "", answerPrefix + nonce: "", answerPrefix + nonce + ".": "", answerPrefix + nonce + "x.c": "",
		answerPrefix + nonce + ".c.1": kindConfirm, answerPrefix + nonce + ".b.1": kindBeside,
		answerPrefix + nonce + ".v.77": kindVoid, answerPrefix + nonce + ".d": kindDone,
	} {
		from, got := origin(reply)
		if got != want || (from == nonce) != (want != "") || from != nonce && from != "" {
			t.Errorf("origin(%q) = %q, %q, want kind %q", reply, from, got, want)
		}
	}
}
