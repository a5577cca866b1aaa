package cluster

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"cometctl/server/router"
)

func TestSubject(t *testing.T) {
	for id, want := range map[string]string{
		"123": "comet.id.123", "007": "comet.id.007", "a.b": "comet.id.a=b", ".": "comet.id.=", "...": "comet.id.===",
		"Anna": "comet.id.Anna", "anna": "comet.id.anna", "~1.2_3-4~": "comet.id.~1=2_3-4~",
		strings.Repeat(".", router.MaxID): "comet.id." + strings.Repeat("=", router.MaxID),
	} {
		if got := Subject([]byte(id)); got != want {
			t.Errorf("id %q has subject %q, want %q", id, got, want)
		}
	}
	for _, subject := range []string{"", "comet", "comet.node.a", "comet.id.a.b", "comet.id"} {
		if id, ok := appendID(nil, subject); ok {
			t.Errorf("subject %q is of id %q, want none", subject, id)
		}
	}
}

// FuzzSubject holds that a valid id becomes a subject without wildcards that NATS accepts, and comes back; that two ids are one
// subject exactly if they are one id; and that what is no id, wildcards above all, is refused before it becomes a subject.
func FuzzSubject(f *testing.F) {
	for _, ids := range [][2]string{
		{"a.b", "a=b"}, {"a.b", "a_b"}, {"*", ">"}, {"a.*", "a.>"}, {"a", "A"}, {"..", "."}, {"7", "007"}, {"", " "}, {"a b", "a\tb"}, {"comet.id.1", "1"},
	} {
		f.Add([]byte(ids[0]), []byte(ids[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if router.ValidID(a) != nil || router.ValidID(b) != nil {
			if bytes.ContainsAny(append(bytes.Clone(a), b...), "*>= ") {
				return
			}
			t.Skip()
		}
		sa, sb := Subject(a), Subject(b)
		if !server.IsValidLiteralSubject(sa) || strings.Count(sa, ".") != 2 {
			t.Errorf("id %q has subject %q", a, sa)
		}
		if (sa == sb) != bytes.Equal(a, b) {
			t.Errorf("ids %q and %q have subjects %q and %q", a, b, sa, sb)
		}
		if id, ok := appendID([]byte("x"), sa); !ok || string(id) != "x"+string(a) {
			t.Errorf("id %q came back as %q, %v", a, id, ok)
		}
	})
}

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

func TestKind(t *testing.T) {
	nonce := strings.Repeat("N", nonceLen)
	for reply, want := range map[string]string{
		"": "", "_INBOX.abc": "", answerPrefix: "", answerPrefix + nonce: "", answerPrefix + nonce + ".": "",
		answerPrefix + nonce + ".c.1": kindConfirm, answerPrefix + nonce + ".v.77": kindVoid, answerPrefix + nonce + ".d": kindDone,
	} {
		if got := kind(reply); got != want {
			t.Errorf("kind(%q) = %q, want %q", reply, got, want)
		}
	}
}
