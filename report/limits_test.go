package report

import (
	"strings"
	"testing"
)

// A client that was the limit is said first. What it makes doubtful decides whether a run still shows something.
func TestLimits(t *testing.T) {
	limit := func(about ...string) Client {
		return Client{Bottleneck: []string{"Flood had no time left."}, Doubtful: about}
	}
	for name, c := range map[string]struct {
		flood, msggen Client
		change        func(*Evidence)
		want          Verdict
		first         string
	}{
		"none":                        {want: Pass, first: "All 10,000 connections opened"},
		"messages":                    {flood: limit("messages", "latency"), want: Inconclusive, first: "Flood had"},
		"of the generator":            {msggen: limit("messages"), want: Inconclusive, first: "Flood had"},
		"latency only":                {msggen: limit("latency"), want: Pass, first: "Flood had"},
		"opening only":                {flood: limit("opening"), want: Pass, first: "Flood had"},
		"lost, and it was the client": {flood: limit("messages"), change: func(e *Evidence) { e.Flood.Missing = 3 }, want: Inconclusive, first: "Flood had"},
		"lost, and it was late":       {flood: limit("latency"), change: func(e *Evidence) { e.Flood.Missing = 3 }, want: Fail, first: "Flood had"},
		"no ports":                    {flood: limit("connections"), change: func(e *Evidence) { e.Flood.Failed, e.Asked.Rate = 4, 0 }, want: Inconclusive, first: "Flood had"},
		"something broke as well":     {flood: limit("messages"), change: func(e *Evidence) { e.Failures = []string{"The server died."} }, want: Fail, first: "Flood had"},
		"cut short":                   {flood: limit("messages"), change: func(e *Evidence) { e.Interrupted = "Somebody pressed Ctrl-C." }, want: Inconclusive, first: "Somebody"},
		"as fast as it goes":          {flood: limit("messages", "latency"), change: func(e *Evidence) { e.Asked.Rate = 0 }, want: Pass, first: "Flood had"},
		"as fast as it goes, lost":    {flood: limit("messages"), change: func(e *Evidence) { e.Asked.Rate = 0; e.Flood.Missing = 3 }, want: Inconclusive, first: "Flood had"},
	} {
		e := goodEvidence()
		e.Flood.Client, e.Msggen.Client = c.flood, c.msggen
		if c.change != nil {
			c.change(&e)
		}
		s := Summarize(e)
		if s.Verdict != c.want || len(s.Reasons) == 0 || !strings.HasPrefix(s.Reasons[0], c.first) {
			t.Errorf("%s: %s %q, want %s and first %q", name, s.Verdict, s.Reasons, c.want, c.first)
		}
	}
}
