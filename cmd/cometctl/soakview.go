package main

import (
	"fmt"
	"strings"
	"time"

	"cometctl/internal/soak"
)

// progressText is soak's live line behind the phase: connections, rate, memory, what
// a connection costs, latency, and how long it will still take. What is not known yet
// is left out. What matters least stands last, where a narrow terminal cuts it.
func progressText(p soak.Progress) string {
	parts := []string{fmt.Sprintf("%d/%d conns", p.Open, p.Asked)}
	if p.Sent > 0 {
		parts = append(parts, fmt.Sprintf("%.0f msg/s", p.Rate))
	}
	if p.RSS > 0 {
		parts = append(parts, fmt.Sprintf("%.1f MB", float64(p.RSS)/(1<<20)))
	}
	if p.PerConn > 0 {
		parts = append(parts, fmt.Sprintf("%.0f B/conn", p.PerConn))
	}
	if p.P99 > 0 {
		parts = append(parts, fmt.Sprintf("p50 %s p99 %s", milliseconds(p.P50), milliseconds(p.P99)))
	}
	parts = append(parts, "ETA "+p.ETA.Round(time.Second).String())
	return strings.Join(parts, "  ")
}

// milliseconds writes a latency with about two digits that mean something.
func milliseconds(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}
