package ui

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// Everything that the page asks for is there, and comes from the server itself.
func TestThePageIsWhole(t *testing.T) {
	all := Files("")
	asked := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllSubmatch(all["/"].Text, -1)
	if len(asked) < 3 {
		t.Fatalf("the page asks for %d files", len(asked))
	}
	for _, a := range asked {
		name := string(a[1])
		if _, ok := all["/"+name]; !ok && name != "data:," {
			t.Errorf("%s is asked for and not there", name)
		}
	}
	for path, f := range all {
		if len(f.Text) == 0 || f.Type == "" {
			t.Errorf("%s is empty, or of no type", path)
		}
		for _, line := range strings.SplitAfter(f.Fields, "\r\n") {
			if line != "" && (!strings.HasSuffix(line, "\r\n") || !strings.Contains(line, ": ")) {
				t.Errorf("%s: %q is no field", path, line)
			}
		}
		for _, m := range regexp.MustCompile(`(?:https?:)?//[a-zA-Z0-9.-]+`).FindAll(f.Text, -1) {
			if !bytes.Contains(m, []byte("127.0.0.1")) {
				t.Errorf("%s names another host: %s", path, m)
			}
		}
	}
}

// What stands for the admin listener cannot break out of its attribute.
func TestAdminIsText(t *testing.T) {
	for admin, want := range map[string]string{
		"":                            `content=""`,
		":8001":                       `content=":8001"`,
		"http://127.0.0.1:8001":       `content="http://127.0.0.1:8001"`,
		`"><script>alert(1)</script>`: `content="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"`,
	} {
		if index := Files(admin)["/"].Text; !bytes.Contains(index, []byte(`name="cometctl-admin" `+want)) {
			t.Errorf("%q is not written as %s", admin, want)
		}
	}
}
