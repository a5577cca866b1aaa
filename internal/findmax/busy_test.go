package findmax

import (
	"strings"
	"testing"
	"time"
)

func TestParseSchedstat(t *testing.T) {
	if s, ok := parseSchedstat("5000 300 7\n"); !ok || s != (spent{5000, 300}) {
		t.Errorf("%+v, %v", s, ok)
	}
	for _, text := range []string{"", "1 2", "1 2 3 4", "x 2 3", "-1 2 3", "99999999999999999999 0 0"} {
		if s, ok := parseSchedstat(text); ok {
			t.Errorf("%q: %+v", text, s)
		}
	}
}

func FuzzSchedstat(f *testing.F) {
	f.Add("5000 300 7\n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := parseSchedstat(text); ok && (s.run < 0 || s.wait < 0) {
			t.Errorf("%q: %+v", text, s)
		}
	})
}

func TestSentence(t *testing.T) {
	if s := sentence(spent{600 * time.Millisecond, 200 * time.Millisecond}, time.Second); s != "" {
		t.Errorf("80 %%: %s", s)
	}
	if s := sentence(spent{600 * time.Millisecond, 350 * time.Millisecond}, time.Second); !strings.Contains(s, "ran for 60 % of the time and waited for a processor for 35 %") {
		t.Errorf("95 %%: %s", s)
	}
	if s := sentence(spent{}, 0); s != "" {
		t.Errorf("no time: %s", s)
	}
}
