package main

import (
	"cometctl/internal/soak"
	"cometctl/internal/timing"
	"cometctl/report"
)

// soakMetrics is what a soak can be judged by: the figures of its summary, of which some are known while it runs.
func soakMetrics() metrics[report.Summary, soak.Progress] {
	type now = soak.Progress
	stamped := func(of func(now) int64) func(now) (float64, bool) {
		return func(p now) (float64, bool) { return float64(of(p)), p.Received+p.Missing > 0 }
	}
	live := map[string]func(now) (float64, bool){
		"missing":    stamped(func(p now) int64 { return p.Missing }),
		"duplicated": stamped(func(p now) int64 { return p.Duplicated }),
		"reordered":  stamped(func(p now) int64 { return p.Reordered }),
		"corrupt":    stamped(func(p now) int64 { return p.Corrupt }),
		"received":   stamped(func(p now) int64 { return p.Received }),
		"sent":       func(p now) (float64, bool) { return float64(p.Sent), p.Sent > 0 },

		"open":         func(p now) (float64, bool) { return float64(p.Open), p.Settled() },
		"failed":       count(func(p now) int64 { return p.Failed }),
		"closed_early": count(func(p now) int64 { return p.Ended }),
		"asked":        count(func(p now) int64 { return p.Asked }),

		"peak_rss":            func(p now) (float64, bool) { return float64(p.Peak), p.Peak > 0 },
		"user_bytes_per_conn": func(p now) (float64, bool) { return p.PerConn, p.Settled() && p.PerConn != 0 },
	}
	for prefix, of := range map[string]func(now) *timing.Percentiles{
		"":         func(p now) *timing.Percentiles { return p.Latency },
		"lag_":     func(p now) *timing.Percentiles { return p.Lag },
		"service_": func(p now) *timing.Percentiles { return p.Service },
	} {
		for _, k := range percentiles[now](prefix, "", of, of) {
			live[k.Name] = k.live
		}
	}
	var m metrics[report.Summary, soak.Progress]
	for _, k := range report.SummaryMetrics() {
		m = append(m, metric[report.Summary, soak.Progress]{k,
			func(s report.Summary) (float64, bool) { return s.Lookup()(k.Name) }, live[k.Name]})
	}
	return m
}
