package subject

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"cometctl/server/router"
)

func TestOf(t *testing.T) {
	for id, want := range map[string]string{
		"123": "comet.id.123", "007": "comet.id.007", "a.b": "comet.id.a=b", ".": "comet.id.=", "...": "comet.id.===",
		"Anna": "comet.id.Anna", "anna": "comet.id.anna", "~1.2_3-4~": "comet.id.~1=2_3-4~",
		strings.Repeat(".", router.MaxID): "comet.id." + strings.Repeat("=", router.MaxID),
	} {
		if got := Of([]byte(id)); got != want {
			t.Errorf("id %q has subject %q, want %q", id, got, want)
		}
	}
	if got := Node("front.1"); got != "comet.node.front=1" {
		t.Errorf("the node's is %q", got)
	}
	for _, subject := range []string{"", "comet", "comet.node.a", "comet.id.a.b", "comet.id"} {
		if id, ok := AppendID(nil, subject); ok {
			t.Errorf("subject %q is of id %q, want none", subject, id)
		}
	}
}

func TestReply(t *testing.T) {
	a, b := NewOrigin(), NewOrigin()
	if len(a) != OriginLen || len(b) != OriginLen || a == b {
		t.Errorf("origins %q and %q", a, b)
	}
	if got, want := Reply("ABC", Void), "comet.re.ABC.v"; got != want {
		t.Errorf("reply %q, want %q", got, want)
	}
	if !server.IsValidLiteralSubject(Reply(a, Void) + ".0") {
		t.Errorf("NATS takes no %q", Reply(a, Void)+".0")
	}
}

// FuzzOf holds that a valid id becomes a subject without wildcards that NATS accepts, and comes back; that two ids are one
// subject exactly if they are one id; and that what is no id, wildcards above all, is refused before it becomes a subject.
func FuzzOf(f *testing.F) {
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
		sa, sb := Of(a), Of(b)
		if !server.IsValidLiteralSubject(sa) || strings.Count(sa, ".") != 2 {
			t.Errorf("id %q has subject %q", a, sa)
		}
		if (sa == sb) != bytes.Equal(a, b) {
			t.Errorf("ids %q and %q have subjects %q and %q", a, b, sa, sb)
		}
		if id, ok := AppendID([]byte("x"), sa); !ok || string(id) != "x"+string(a) {
			t.Errorf("id %q came back as %q, %v", a, id, ok)
		}
	})
}
