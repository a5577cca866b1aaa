package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"cometctl/internal/soak"
	"cometctl/internal/timing"
	"cometctl/report"
)

func TestProgressText(t *testing.T) {
	for _, c := range []struct {
		p    soak.Progress
		want string
	}{
		{soak.Progress{Phase: "empty", Asked: 10000, ETA: 69 * time.Second}, "ETA 1m9s  0/10000 conns"},
		{soak.Progress{Phase: "ramp", Asked: 10000, Open: 4000, RSS: 6 << 20, ETA: 66500 * time.Millisecond}, "ETA 1m7s  4000/10000 conns  6.0 MB"},
		{soak.Progress{Phase: "traffic", Asked: 10000, Open: 10000, Sent: 5000, Rate: 999.6, RSS: 13107200, PerConn: 612.4,
			Latency: &timing.Percentiles{P50: 0.194, P99: 2.71}, ETA: 41 * time.Second},
			"ETA 41s  10000 conns  1000/s  12.5 MB  612 B/conn  p50 0.19 p99 2.7 ms"},
		{soak.Progress{Phase: "ramp", Asked: 1e6, Open: 400_000, RSS: 1 << 30, PSS: 512 << 20, Procs: 53, PerConn: 1234.5, ETA: 90 * time.Second},
			"ETA 1m30s  400000/1000000 conns  512 MB PSS  1234 B/conn  53 procs"},
		{soak.Progress{Phase: "traffic", Asked: 1e5, Open: 1e5, Sent: 5000, Rate: 19999.6, PSS: 1400 << 20, Procs: 7, PerConn: 1234.5, Latency: &timing.Percentiles{P50: 2, P99: 27.3}, ETA: 5 * time.Second},
			"ETA 5s  100000 conns  20000/s  1.4 GB PSS  1234 B/conn  p99 27 ms  7 procs"},
		{soak.Progress{Phase: "drain", Asked: 1, Sent: 1, Latency: &timing.Percentiles{P99: 123.4}}, "ETA 0s  0/1 conns  0/s  p50 0.00 p99 123 ms"},
	} {
		if got := progressText(c.p); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		} else if shown, _, _ := strings.Cut(c.p.Phase+": "+got, " procs"); len(shown) > 79 { // that word may be cut
			t.Errorf("%d columns: %s", len(c.p.Phase+": "+got), got)
		}
	}
}

func TestVerdictError(t *testing.T) {
	for _, c := range []struct {
		verdict     report.Verdict
		interrupted error
		want        exitCode
	}{
		{report.Pass, nil, exitOK},
		{report.Fail, nil, exitVerdict},
		{report.Inconclusive, nil, exitInconclusive},
		{report.Inconclusive, soak.ErrInterrupted, exitInterrupted},
		{report.Pass, soak.ErrInterrupted, exitInterrupted},
	} {
		err := verdictError(report.Summary{Verdict: c.verdict}, "the-folder", c.interrupted)
		if got := codeOf(errors.Join(nil, err)); got != c.want {
			t.Errorf("%s, %v: exit code %d, want %d", c.verdict, c.interrupted, got, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "the-folder") {
			t.Errorf("%v does not say where the folder is", err)
		}
	}
}
