package main

import (
	"fmt"
	"strings"
	"testing"

	"cometctl/internal/findmax"
	"cometctl/internal/timing"
)

func TestFindMaxLoops(t *testing.T) {
	for _, tt := range []struct {
		receive, options string
		want             int
	}{
		{"http://127.0.0.1:1/", "", 1},
		{"http://127.0.0.1:1/", "--loops 3 --as sse", 3},
		{"http://127.0.0.1:1/", "--loops=2", 2},
		{"http://127.0.0.1:1/", "--engine goroutine", 0},
		{"https://127.0.0.1:1/", "--insecure", 0},
		{"", "wss://127.0.0.1:1/", 0},
		{"", "--loops many", 0},
		{"", "--loops -5", 0},
	} {
		o := findMaxOptions{receive: []string{tt.receive}, floodOptions: strings.Fields(tt.options)}
		if got := o.loops(); got != tt.want {
			t.Errorf("%q %q: %d loops, want %d", tt.receive, tt.options, got, tt.want)
		}
	}
}

func TestFindMaxMetrics(t *testing.T) {
	m := findMaxMetrics()
	p := &timing.Percentiles{P50: 1, P90: 2, P99: 3, P999: 4, Max: 5, Mean: 1.5}
	all := findmax.Trial{Sent: findmax.Sent{Rate: 999, Sent: 100, Accepted: 90, Bad: 8, Unconfirmed: 2, Unsent: 7, Lag: timing.Percentiles{P99: 0.5}}, Missing: 11,
		Came: findmax.Came{Received: 89, Duplicated: 3, Reordered: 4, Corrupt: 6, Connections: 50, Open: 49, Failed: 12, ClosedEarly: 13, Latency: p, Service: p}}
	got := values(m.known(false), m.of(all))
	if len(got) != len(m) {
		t.Errorf("of %d metrics %d were measured: %v", len(m), len(got), got)
	}
	for name, want := range map[string]string{"p99": "3", "lag_p99": "0.5", "service_mean": "1.5", "sent": "100", "received": "89", "missing": "11", "duplicated": "3", "reordered": "4",
		"corrupt": "6", "unsent": "7", "accepted": "90", "bad": "8", "unconfirmed": "2", "asked": "50", "open": "49", "failed": "12", "closed_early": "13", "rate": "999"} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	if got := values(m.known(false), m.of(findmax.Trial{})); got["p99"] != "" || got["service_p50"] != "" {
		t.Errorf("nothing came, yet %v", got)
	}
}

// TestFindMaxVerdict: whose limit was found decides the exit code, and is said first.
func TestFindMaxVerdict(t *testing.T) {
	trials := []findmax.Trial{{Asked: 100, Outcome: findmax.Held, Why: "fine"}, {Asked: 200, Outcome: findmax.Broke, Why: "p99 is 9 s"}, {Asked: 200, Outcome: findmax.Limited, Why: "the receiver was slow"}}
	for _, tt := range []struct {
		name  string
		found findmax.Summary
		code  exitCode
		words []string
	}{
		{"server's", findmax.Summary{Rate: 100, Held: 5, Repeats: 5, Beyond: 200, BeyondFailed: 2, BeyondRepeats: 2}, exitOK,
			[]string{"max         100/s keeps p99<1s", "it held in 5 of 5 trials of 5s", "limit       below 200/s, where 2 of 2 trials did not hold: p99 is 9 s"}},
		{"client's", findmax.Summary{Rate: 100, Held: 5, Repeats: 5, Beyond: 200, BeyondFailed: 2, BeyondRepeats: 2, ClientsLimit: true}, exitInconclusive,
			[]string{"INCONCLUSIVE: the client was the limit, not the server\n  - at 200/s: the receiver was slow\n\nmax         at least 100/s keeps p99<1s"}},
		{"none", findmax.Summary{Beyond: 200, BeyondFailed: 2, BeyondRepeats: 2}, exitVerdict, []string{"max         none: no rate that was tried keeps p99<1s"}},
	} {
		r := findmax.Result{Promises: []string{"p99<1s"}, Summary: tt.found, Step: 5, Trials: trials}
		var b strings.Builder
		if err := printFindMax(&b, r, false); err != nil {
			t.Fatal(err)
		}
		for _, words := range tt.words {
			if !strings.Contains(b.String(), words) {
				t.Errorf("%s: no %q in\n%s", tt.name, words, b.String())
			}
		}
		if got := codeOf(findMaxError(t.Context(), r, nil)); got != tt.code {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.code)
		}
	}
	if got := codeOf(findMaxError(t.Context(), findmax.Result{}, fmt.Errorf("so: %w", findmax.ErrUnmeasured))); got != exitInconclusive {
		t.Errorf("not measured: exit code %d", got)
	}
}
