package report

import (
	"slices"

	"cometctl/internal/promise"
)

// summaryMetric is a figure of a Summary that conditions can be about.
type summaryMetric struct {
	promise.Metric
	of func(Summary) (value float64, measured bool)
}

// whole and part make a metric of a figure that is nil where it could not be had.
func whole(name, of, help string, unit promise.Unit, get func(Summary) *int64) summaryMetric {
	return summaryMetric{promise.Metric{Name: name, Unit: unit, Of: of, Help: help}, func(s Summary) (float64, bool) {
		p := get(s)
		return float64(value(p)), p != nil
	}}
}

func part(name, help string, unit promise.Unit, get func(Summary) *float64) summaryMetric {
	return summaryMetric{promise.Metric{Name: name, Unit: unit, Help: help}, func(s Summary) (float64, bool) {
		p := get(s)
		if p == nil {
			return 0, false
		}
		return *p, true
	}}
}

// summaryMetrics is the table of a Summary.
func summaryMetrics() []summaryMetric {
	msg := func(name, help string, get func(MessageSummary) *int64) summaryMetric {
		return whole(name, "sent", help, promise.Count, func(s Summary) *int64 { return get(s.Messages) })
	}
	mem := func(name, help string, get func(MemorySummary) *int64) summaryMetric {
		return whole(name, "", help, promise.Bytes, func(s Summary) *int64 { return get(s.Memory) })
	}
	rateOfAsked := part("rate", "messages sent a second", promise.PerSecond, func(s Summary) *float64 { return s.Rate.Achieved })
	rateOfAsked.Of = "rate_asked"
	out := slices.Concat(
		times("", "latency, from when a message was due to when it was received", func(s Summary) LatencySummary { return s.LatencyMS }),
		times("lag_", "the part of the latency before a message was written: the generator's", func(s Summary) LatencySummary { return s.LagMS }),
		times("service_", "the part of the latency from when a message was written: the server's", func(s Summary) LatencySummary { return s.ServiceMS }))
	return append(out,
		msg("missing", "messages sent and never received", func(m MessageSummary) *int64 { return m.Missing }),
		msg("duplicated", "messages that came again", func(m MessageSummary) *int64 { return m.Duplicated }),
		msg("reordered", "messages that came after a later one", func(m MessageSummary) *int64 { return m.Reordered }),
		msg("corrupt", "messages whose stamp was spoilt on their way; they are missing as well", func(m MessageSummary) *int64 { return m.Corrupt }),
		msg("received", "messages received, each counted once", func(m MessageSummary) *int64 { return m.Received }),
		msg("delivered", "messages that the server wrote to a socket whole", func(m MessageSummary) *int64 { return m.Delivered }),
		msg("offline", "messages for an id that nobody held", func(m MessageSummary) *int64 { return m.Offline }),
		msg("dropped", "messages that met the policy for slow readers", func(m MessageSummary) *int64 { return m.Dropped }),
		msg("gone", "messages that were queued when the connection ended", func(m MessageSummary) *int64 { return m.Gone }),
		msg("lost", "messages that NATS took and no node received", func(m MessageSummary) *int64 { return m.Lost }),
		msg("overrun", "messages thrown away by NATS's limits for slow consumers", func(m MessageSummary) *int64 { return m.Overrun }),
		msg("unpublished", "messages that could not be given to NATS", func(m MessageSummary) *int64 { return m.Unpublished }),
		whole("sent", "", "messages sent", promise.Count, func(s Summary) *int64 { return s.Messages.Sent }),
		rateOfAsked,
		summaryMetric{promise.Metric{Name: "rate_asked", Unit: promise.PerSecond, Help: "messages a second that were asked for"},
			func(s Summary) (float64, bool) { return s.Rate.Asked, s.Rate.Asked > 0 }},

		whole("open", "asked", "connections that were opened", promise.Count, func(s Summary) *int64 { return s.Conns.Peak }),
		whole("failed", "asked", "connections that could not be opened", promise.Count, func(s Summary) *int64 { return s.Conns.Failed }),
		whole("closed_early", "asked", "connections that ended before the run did", promise.Count, func(s Summary) *int64 { return s.Conns.ClosedEarly }),
		whole("asked", "", "connections that were asked for", promise.Count, func(s Summary) *int64 { return &s.Conns.Asked }),

		part("user_bytes_per_conn", "user memory of the server for each connection", promise.Bytes, func(s Summary) *float64 { return s.Memory.UserPerConn }),
		part("kernel_bytes_per_conn", "kernel memory for each connection, the server's end", promise.Bytes, func(s Summary) *float64 { return s.Memory.KernelPerConn }),
		mem("base_rss", "RSS of the empty server", func(m MemorySummary) *int64 { return m.BaseRSS }),
		mem("idle_rss", "RSS with all connections open and no traffic", func(m MemorySummary) *int64 { return m.IdleRSS }),
		mem("end_rss", "RSS after the traffic, all connections still open", func(m MemorySummary) *int64 { return m.EndRSS }),
		mem("peak_rss", "highest RSS of all samples", func(m MemorySummary) *int64 { return m.PeakRSS }),
		mem("base_pss", "PSS of the empty server: pages that its processes share count once", func(m MemorySummary) *int64 { return m.BasePSS }),
		mem("idle_pss", "PSS with all connections open and no traffic", func(m MemorySummary) *int64 { return m.IdlePSS }),
		mem("end_pss", "PSS after the traffic, all connections still open", func(m MemorySummary) *int64 { return m.EndPSS }),
		mem("peak_pss", "highest PSS of all samples", func(m MemorySummary) *int64 { return m.PeakPSS }),
		part("slope_bytes_per_hour", "growth of RSS over the traffic (Theil-Sen), half a minute at least", promise.BytesPerHour,
			func(s Summary) *float64 { return s.Memory.SlopePerHour }),
		part("server_cpu", "processors that the server took during the traffic", promise.Fraction, func(s Summary) *float64 { return s.ServerCPU }),
	)
}

// times are the metrics of a distribution of times.
func times(prefix, help string, get func(Summary) LatencySummary) []summaryMetric {
	one := func(name string, of func(LatencySummary) *float64) summaryMetric {
		return part(prefix+name, help, promise.Milliseconds, func(s Summary) *float64 { return of(get(s)) })
	}
	return []summaryMetric{
		one("p50", func(l LatencySummary) *float64 { return l.P50 }),
		one("p90", func(l LatencySummary) *float64 { return l.P90 }),
		one("p99", func(l LatencySummary) *float64 { return l.P99 }),
		one("p999", func(l LatencySummary) *float64 { return l.P999 }),
		one("max", func(l LatencySummary) *float64 { return l.Max }),
		one("mean", func(l LatencySummary) *float64 { return l.Mean }),
	}
}

// SummaryMetrics are the figures of a Summary that conditions can be about.
func SummaryMetrics() promise.Metrics {
	var out promise.Metrics
	for _, m := range summaryMetrics() {
		out = append(out, m.Metric)
	}
	return out
}

// Lookup looks the figures of s up for conditions.
func (s Summary) Lookup() promise.Lookup {
	table := summaryMetrics()
	return func(name string) (float64, bool) {
		for _, m := range table {
			if m.Name == name {
				return m.of(s)
			}
		}
		return 0, false
	}
}

// judgePromises judges the conditions of a run. One that cannot be read any more is one about what was not measured.
func judgePromises(texts []string, s Summary) *promise.Report {
	var conditions []promise.Condition
	known := SummaryMetrics()
	for _, text := range texts {
		c, _ := promise.Parse(text, known)
		conditions = append(conditions, c)
	}
	r := promise.Judge(conditions, s.Lookup())
	return &r
}

// onlyLatency reports whether all conditions that hold are about times, which a slow client spoils and a slow server alike.
func (s Summary) onlyLatency() bool {
	return !slices.ContainsFunc(s.Promises.Conditions, func(f promise.Finding) bool { return f.Holds && f.Unit != promise.Milliseconds.String() })
}

// promised are the reasons that the conditions of a run give: those that hold, and those that cannot be judged.
func (s Summary) promised() (broken, unknown []string) {
	if s.Promises == nil {
		return nil, nil
	}
	return s.Promises.Reasons()
}
