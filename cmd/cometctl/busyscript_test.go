package main

import (
	"regexp"
	"testing"
)

// ownFault matches what flood and msggen say where they had no processor, or were late for lack of one. On a machine that runs many tests at a
// time that may well be so, and is not what a script is about.
var ownFault = regexp.MustCompile(`the client was the limit: (((Its|Workers?|Flood|Msggen) [^;]*?(took more than 90 %|waited for a processor)|Messages were written late)[^;]*(; give [^;.]*)?)+(; besides: |$|\n)`)

// exitsAs reports whether a program that ended with the code got did what a script wants: it ended with want, or was kept from its processor
// and says besides what it would have ended with (something: 1; nothing: 0).
func exitsAs(got, want int, stderr string) bool {
	if got == want {
		return true
	}
	m := ownFault.FindStringSubmatch(stderr)
	if got != int(exitInconclusive) || m == nil {
		return false
	}
	besides := m[len(m)-1] == "; besides: "
	return want == int(exitFailed) && besides || want == int(exitOK) && !besides
}

func TestExitsAs(t *testing.T) {
	const (
		starved = "cometctl flood: the client was the limit: Flood waited for a processor for more than half of 6 of 6 s: other programs had it (or niceness, affinity or a quota kept it away), and its times are not the server's"
		busy    = "cometctl flood: the client was the limit: Its busiest loop took more than 90 % of a processor for 5 of 6 s: it had no time left, and the figures are its own limit, not the server's; give --loops or --workers, or ask for less"
		late    = "cometctl flood: the client was the limit: Messages were written late, p99 5 ms after they were due, and took p99 3 ms from there: most of the latency is the generator's own, or that of whoever kept it waiting (blocked_s of msggen)"
		ports   = "cometctl flood: the client was the limit: 3 connections could not be dialed, as the source address had no ports left"
		besides = "; besides: 3 of 50 connections were not held"
	)
	for _, c := range []struct {
		got, want int
		stderr    string
		ok        bool
	}{
		{0, 0, "", true},
		{1, 0, "", false},
		{4, 4, ports, true},
		{4, 0, starved, true},
		{4, 0, busy, true},
		{4, 0, late, true},
		{4, 0, starved + besides, false},
		{4, 1, starved + besides, true},
		{4, 1, busy + besides, true},
		{4, 1, starved, false},
		{4, 0, ports, false},
		{4, 1, ports + besides, false},
		{4, 3, starved, false},
		{4, 0, "cometctl flood: the verdict is inconclusive", false},
		{1, 0, starved, false},
	} {
		if exitsAs(c.got, c.want, c.stderr+"\n") != c.ok {
			t.Errorf("%d for %d with %q: want %v", c.got, c.want, c.stderr, c.ok)
		}
	}
}
