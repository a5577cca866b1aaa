package main

import (
	"cometctl/internal/soak/chaos"
	"cometctl/report"
)

// chaosMetrics is what a run with faults can be judged by: the figures of its result, and what its clients tell while it runs.
func chaosMetrics() metrics[report.Chaos, chaos.Progress] {
	live := map[string]func(chaos.Progress) (float64, bool){
		"delivered":  count(func(p chaos.Progress) int64 { return p.Messages }),
		"duplicated": count(func(p chaos.Progress) int64 { return p.Again }),
	}
	var m metrics[report.Chaos, chaos.Progress]
	for _, k := range report.ChaosMetrics() {
		m = append(m, metric[report.Chaos, chaos.Progress]{k, func(c report.Chaos) (float64, bool) { return c.Lookup()(k.Name) }, live[k.Name]})
	}
	return m
}
