package main

import (
	"fmt"
	"strings"
	"time"

	"cometctl/internal/soak"
	"cometctl/report"
)

// progressText is soak's live line behind the phase: how long the run will still take,
// connections, messages received a second, the server's memory, what a connection
// costs of it, and the latency so far. What is not known yet is left out. It fits
// into 80 columns when all is well, and what a narrower terminal cuts stands last. Of a
// server of several processes the memory is PSS, and how many they are stands last.
func progressText(p soak.Progress) string {
	parts := []string{"ETA " + p.ETA.Round(time.Second).String()}
	if p.Open == p.Asked {
		parts = append(parts, fmt.Sprintf("%d conns", p.Open))
	} else {
		parts = append(parts, fmt.Sprintf("%d/%d conns", p.Open, p.Asked))
	}
	if p.Sent > 0 {
		parts = append(parts, fmt.Sprintf("%.0f/s", p.Rate))
	}
	if p.PSS > 0 {
		parts = append(parts, report.Bytes(float64(p.PSS))+" PSS")
	} else if p.RSS > 0 {
		parts = append(parts, fmt.Sprintf("%.1f MB", float64(p.RSS)/(1<<20)))
	}
	if p.PerConn > 0 {
		parts = append(parts, fmt.Sprintf("%.0f B/conn", p.PerConn))
	}
	if l := p.Latency; l != nil && p.Procs == 0 {
		parts = append(parts, fmt.Sprintf("p50 %s p99 %s ms", twoDigits(l.P50), twoDigits(l.P99)))
	} else if l != nil {
		parts = append(parts, fmt.Sprintf("p99 %s ms", twoDigits(l.P99)))
	}
	if p.Procs > 0 {
		parts = append(parts, fmt.Sprintf("%d procs", p.Procs))
	}
	return strings.Join(parts, "  ")
}

// twoDigits writes a latency in milliseconds with about two digits that mean something.
func twoDigits(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f", ms)
	case ms < 10:
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}
