package report

import (
	"slices"

	"cometctl/internal/promise"
)

// chaosMetric is a figure of a run with faults that conditions can be about.
type chaosMetric struct {
	promise.Metric
	of func(Chaos) (value float64, measured bool)
}

// chaosMetrics is the table of a Chaos. Messages are those of all slots together.
func chaosMetrics() []chaosMetric {
	sum := func(name, of, help string, get func(Slot) int64) chaosMetric {
		return chaosMetric{promise.Metric{Name: name, Of: of, Help: help}, func(c Chaos) (float64, bool) {
			n, due := int64(0), int64(0)
			for _, s := range c.Slots {
				n, due = n+get(s), due+s.Bins.Due
			}
			return float64(n), due > 0
		}}
	}
	longest := func(name, help string, get func(Slot) *float64) chaosMetric {
		return chaosMetric{promise.Metric{Name: name, Unit: promise.Milliseconds, Help: help}, func(c Chaos) (float64, bool) {
			var all []float64
			for _, s := range c.Slots {
				p := get(s)
				if p == nil && s.At != 0 {
					return 0, false // a fault that was never mended took longer than all others
				}
				if p != nil {
					all = append(all, *p)
				}
			}
			if len(all) == 0 {
				return 0, false
			}
			return slices.Max(all), true
		}}
	}
	return []chaosMetric{
		longest("detect_max", "longest time from a fault to the first public sign of it", func(s Slot) *float64 { return s.DetectMS }),
		longest("recover_max", "longest time from a repair until everything was whole", func(s Slot) *float64 { return s.RecoverMS }),
		sum("delivered", "due", "messages received by a client", func(s Slot) int64 { return s.Bins.Delivered }),
		sum("offline", "due", "messages for an id that nobody held", func(s Slot) int64 { return s.Bins.Offline }),
		sum("dropped", "due", "messages that met the policy for slow readers", func(s Slot) int64 { return s.Bins.Dropped }),
		sum("gone", "due", "messages that were queued when the connection ended", func(s Slot) int64 { return s.Bins.Gone }),
		sum("overrun", "due", "messages thrown away by NATS's limits for slow consumers", func(s Slot) int64 { return s.Bins.Overrun }),
		sum("unpublished", "due", "messages that a node had no NATS to publish to", func(s Slot) int64 { return s.Bins.Unpublished }),
		sum("unsent", "due", "messages that were due and not written", func(s Slot) int64 { return s.Bins.Unsent }),
		sum("pending", "due", "messages still queued at the end of a slot", func(s Slot) int64 { return s.Bins.Pending }),
		sum("lost", "due", "messages that are in no other bin: in transit, or with what a killed process held", func(s Slot) int64 { return s.Bins.Lost }),
		sum("missing", "due", "messages that were sent and not received, whatever bin they are in", func(s Slot) int64 { return s.Bins.Missing() }),
		sum("unexplained", "due", "messages that did not arrive and were due when no fault covers them", func(s Slot) int64 { return s.Unexplained }),
		sum("duplicated", "due", "messages that came again", func(s Slot) int64 { return s.Duplicated }),
		sum("unconfirmed", "due", "messages that NATS took and did not confirm", func(s Slot) int64 { return s.Unconfirmed }),
		sum("due", "", "messages that were due", func(s Slot) int64 { return s.Bins.Due }),
		{promise.Metric{Name: "skipped", Help: "faults that could not be tried here"}, func(c Chaos) (float64, bool) {
			n := 0
			for _, s := range c.Slots {
				if s.Skipped != "" {
					n++
				}
			}
			return float64(n), len(c.Slots) > 0
		}},
		{promise.Metric{Name: "memory_growth", Unit: promise.Bytes, Help: "most that the RSS of a piece has grown over a fault that it lived through"}, func(c Chaos) (float64, bool) {
			var all []int64
			for _, s := range c.Slots {
				for _, l := range s.Memory {
					all = append(all, l.After-l.Before)
				}
			}
			if len(all) == 0 {
				return 0, false
			}
			return float64(slices.Max(all)), true
		}},
	}
}

// ChaosMetrics are the figures of a Chaos that conditions can be about.
func ChaosMetrics() promise.Metrics {
	var out promise.Metrics
	for _, m := range chaosMetrics() {
		out = append(out, m.Metric)
	}
	return out
}

// Lookup looks the figures of c up for conditions.
func (c Chaos) Lookup() promise.Lookup {
	table := chaosMetrics()
	return func(name string) (float64, bool) {
		for _, m := range table {
			if m.Name == name {
				return m.of(c)
			}
		}
		return 0, false
	}
}
