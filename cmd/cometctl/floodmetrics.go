package main

import (
	"time"

	"cometctl/flood"
	"cometctl/internal/promise"
	"cometctl/internal/timing"
)

// floodEnd is what a flood is judged by at its end, and floodNow while it runs.
type floodEnd struct {
	flood.Result
	rate rateMeter
}

type floodNow struct {
	flood.Progress
	rate rateMeter
}

// rateMeter measures how many messages a second came since every connection was open or had failed. The zero rateMeter has measured nothing.
type rateMeter struct {
	began    time.Time // of the hold; zero: not yet
	messages uint64    // until then
	perS     float64
	measured bool
	over     bool // the hold is
}

// watch takes a progress of the time now into account.
func (m *rateMeter) watch(p flood.Progress, now time.Time) {
	if p.Phase == flood.Ramp || m.over {
		return
	}
	m.over = p.Phase == flood.Late
	if m.began.IsZero() {
		m.began, m.messages = now, p.Messages
		return
	}
	if took := now.Sub(m.began); took > 0 {
		m.perS, m.measured = float64(p.Messages-min(m.messages, p.Messages))/took.Seconds(), true
	}
}

// floodMetrics is what a flood can be judged by. Nothing is known of what stamps tell until one has come.
func floodMetrics() metrics[floodEnd, floodNow] {
	type (
		end = floodEnd
		now = floodNow
	)
	m := percentiles("", "latency, from when a message was due to when it was received",
		func(r end) *timing.Percentiles { return r.Latency }, func(p now) *timing.Percentiles { return p.Latency })
	m = append(m, percentiles("lag_", "the part of the latency before a message was written: the generator's",
		func(r end) *timing.Percentiles { return r.Lag }, func(p now) *timing.Percentiles { return p.Lag })...)
	m = append(m, percentiles("service_", "the part of the latency from when a message was written: the server's",
		func(r end) *timing.Percentiles { return r.Service }, func(p now) *timing.Percentiles { return p.Service })...)
	m = append(m, percentiles[end, now]("connect_", "time from dialing to connected", func(r end) *timing.Percentiles { return r.Connect }, nil)...)
	m = append(m, percentiles[end, now]("tls_", "time from connected to the end of the TLS handshake", func(r end) *timing.Percentiles { return r.TLS }, nil)...)
	m = append(m, percentiles[end, now]("ttfb_", "time from connected to the first byte", func(r end) *timing.Percentiles { return r.TTFB }, nil)...)

	stamped := func(name, help string, of func(flood.Result) uint64, live func(flood.Progress) uint64) metric[end, now] {
		return metric[end, now]{promise.Metric{Name: name, Of: "sent", Help: help},
			func(r end) (float64, bool) { return float64(of(r.Result)), r.Messages+r.Missing > 0 },
			func(p now) (float64, bool) { return float64(live(p.Progress)), p.Messages+p.Missing > 0 }}
	}
	m = append(m,
		stamped("missing", "messages whose successors came, but not they",
			func(r flood.Result) uint64 { return r.Missing }, func(p flood.Progress) uint64 { return p.Missing }),
		stamped("duplicated", "messages that came again",
			func(r flood.Result) uint64 { return r.Duplicated }, func(p flood.Progress) uint64 { return p.Duplicated }),
		stamped("reordered", "messages that came after one of their successors",
			func(r flood.Result) uint64 { return r.Reordered }, func(p flood.Progress) uint64 { return p.Reordered }),
		metric[end, now]{promise.Metric{Name: "corrupt", Of: "sent", Help: "messages whose stamp was spoilt on their way; they are missing as well"},
			func(r end) (float64, bool) { return float64(r.Corrupt), r.Messages+r.Missing+r.Corrupt > 0 },
			func(p now) (float64, bool) { return float64(p.Corrupt), p.Messages+p.Missing+p.Corrupt > 0 }},
		metric[end, now]{Metric: promise.Metric{Name: "late", Of: "sent", Help: "messages that came after the hold, while --drain lasted"},
			found: func(r end) (float64, bool) { return float64(r.Late), r.Messages > 0 }},
		stamped("received", "messages, each counted once",
			func(r flood.Result) uint64 { return r.Messages }, func(p flood.Progress) uint64 { return p.Messages }),
		metric[end, now]{promise.Metric{Name: "sent", Help: "messages of which the client knows, received or missing"},
			count(func(r end) uint64 { return r.Messages + r.Missing }), count(func(p now) uint64 { return p.Messages + p.Missing })},
		metric[end, now]{promise.Metric{Name: "rate", Unit: promise.PerSecond, Help: "messages received a second, since every connection was open or had failed"},
			func(r end) (float64, bool) { return r.rate.perS, r.rate.measured },
			func(p now) (float64, bool) { return p.rate.perS, p.rate.measured }},
	)

	conns := func(name, help string, of func(flood.Result) int, live func(now) (float64, bool)) metric[end, now] {
		return metric[end, now]{promise.Metric{Name: name, Of: "asked", Help: help}, count(func(r end) int { return of(r.Result) }), live}
	}
	m = append(m, recoveryMetrics()...)
	return append(m,
		conns("open", "connections that were open at the end; while flood runs, not looked at before all are open or have failed",
			func(r flood.Result) int { return r.Open }, func(p now) (float64, bool) { return float64(p.Open), p.Phase != flood.Ramp }),
		conns("failed", "connections that could not be opened",
			func(r flood.Result) int { return r.Failed }, count(func(p now) int { return p.Failed })),
		conns("closed_early", "connections that ended before the run did",
			func(r flood.Result) int { return r.ClosedEarly }, count(func(p now) int { return p.ClosedEarly })),
		conns("reconnects", "connections that were opened again",
			func(r flood.Result) int { return r.Reconnects }, count(func(p now) int { return p.Reconnects })),
		metric[end, now]{promise.Metric{Name: "asked", Help: "connections that were asked for"},
			count(func(r end) int { return r.Asked }), count(func(p now) int { return p.Asked })},
		metric[end, now]{Metric: promise.Metric{Name: "cpu", Help: "share of a processor that the busiest loop or worker of flood took, of 1"},
			found: func(r end) (float64, bool) { return r.Client.CPU, r.Client.CPU > 0 }},
		metric[end, now]{Metric: promise.Metric{Name: "open_rate", Unit: promise.PerSecond, Help: "connections opened a second, from the first dial to the last head"},
			found: func(r end) (float64, bool) { return r.OpenPerS, r.OpenPerS > 0 }},
	)
}
