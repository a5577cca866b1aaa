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
	if s := sentence("It", spent{600 * time.Millisecond, 200 * time.Millisecond}, time.Second, "x"); s != "" {
		t.Errorf("80 %%: %s", s)
	}
	if s := sentence("It", spent{600 * time.Millisecond, 350 * time.Millisecond}, time.Second, "x"); !strings.Contains(s, "ran for 60 % of the trial and waited for a processor for 35 %; x.") {
		t.Errorf("95 %%: %s", s)
	}
	if s := sentence("It", spent{}, 0, "x"); s != "" {
		t.Errorf("no time: %s", s)
	}
}

func TestBusiest(t *testing.T) {
	before := map[string]spent{"1": {100, 10}, "2": {50, 0}}
	now := map[string]spent{"1": {400, 20}, "2": {150, 100}, "3": {70, 0}} // 300+10, 100+100, 70 more
	for loops, want := range map[int]spent{0: {300, 10}, 1: {470, 10}, 2: {300, 10}} {
		if got := busiest(before, now, loops); got != want {
			t.Errorf("%d loops: %+v, want %+v", loops, got, want)
		}
	}
	if got := busiest(nil, nil, 1); got != (spent{}) {
		t.Errorf("nothing known: %+v", got)
	}
}
