package report

import (
	"cometctl/internal/promise"
	"cometctl/internal/timing"
)

// Summary is what summary.json holds. A nil pointer is a number that could not be had; it is null in the file and a dash in
// the table, never a zero that looks like a measurement.
type Summary struct {
	Server    string          `json:"server,omitempty"` // which one it was, if it was not our own
	Nodes     int64           `json:"nodes"`            // processes with a router that the server consists of
	Conns     ConnSummary     `json:"conns"`
	Memory    MemorySummary   `json:"memory"`
	Messages  MessageSummary  `json:"messages"`
	LatencyMS LatencySummary  `json:"latency_ms"` // from when a message was due to when it was received
	LagMS     LatencySummary  `json:"lag_ms"`     // of it, until it was written: the generator's
	ServiceMS LatencySummary  `json:"service_ms"` // and from then on: the server's
	Rate      RateSummary     `json:"rate"`
	DurationS DurationSummary `json:"duration_s"`
	// ServerCPU is the processor time of the server over the traffic phase, by its length: 1 is one processor. Null where it was not measured.
	ServerCPU *float64 `json:"server_cpu"`
	Verdict   Verdict  `json:"verdict"`
	Reasons   []string `json:"reasons"` // full sentences, the weightiest first
	// Promises are the conditions under which the run fails, and what was found; nil where there were none.
	Promises *promise.Report `json:"promises,omitempty"`
}

// ConnSummary counts connections.
type ConnSummary struct {
	Asked       int64  `json:"asked"`
	Peak        *int64 `json:"peak"` // most that were open at once; the server's count where flood left no result
	Failed      *int64 `json:"failed"`
	ClosedEarly *int64 `json:"closed_early"`
}

// MemorySummary compares the server's memory between the phases of a run, of all its processes together. PSS counts a page
// that several processes share once in all; RSS counts it once for each.
type MemorySummary struct {
	BaseRSS *int64 `json:"base_rss_bytes"` // median while the server was empty
	IdleRSS *int64 `json:"idle_rss_bytes"` // median of the idle plateau
	PeakRSS *int64 `json:"peak_rss_bytes"` // highest of all samples
	EndRSS  *int64 `json:"end_rss_bytes"`  // last sample of the traffic, all connections still open

	BasePSS   *int64 `json:"base_pss_bytes"` // as with RSS, of the samples that have it
	IdlePSS   *int64 `json:"idle_pss_bytes"`
	PeakPSS   *int64 `json:"peak_pss_bytes"`
	EndPSS    *int64 `json:"end_pss_bytes"`
	Processes *int64 `json:"processes"` // that all this is of, on the idle plateau

	// UserPerConn is (idle - base) per open connection: of PSS where the server has several nodes, or is not our own and has several
	// processes, and PSS is known in both phases, otherwise of RSS.
	UserPerConn *float64 `json:"user_bytes_per_conn"`
	// KernelPerConn is the growth of the kernel's socket memory from base to idle, per open connection and for the server's
	// end alone: where the client runs on the same machine, half of what a connection cost its kernel. The samples are the
	// whole machine's: null where other programs' sockets made it shrink.
	KernelPerConn *float64 `json:"kernel_bytes_per_conn"`
	// SlopePerHour is the Theil-Sen slope of RSS over the traffic phase, in bytes per hour; null where that took less than
	// half a minute.
	SlopePerHour *float64 `json:"slope_bytes_per_hour"`
}

// MessageSummary is the account of the messages: sent by the generator, received by the client, the rest by the server.
type MessageSummary struct {
	Sent      *int64 `json:"sent"`
	Delivered *int64 `json:"delivered"`
	Received  *int64 `json:"received"` // each message once
	Offline   *int64 `json:"offline"`
	Dropped   *int64 `json:"dropped"`
	Gone      *int64 `json:"gone"`
	// With several nodes: what got lost on NATS between them, what its limits for slow consumers threw away, and what could
	// not be given to it.
	Lost        *int64 `json:"lost"`
	Overrun     *int64 `json:"overrun"`
	Unpublished *int64 `json:"unpublished"`
	// Missing are the messages that were sent and never received, whether the server's ledger explains them or not.
	Missing    *int64 `json:"missing"`
	Duplicated *int64 `json:"duplicated"`
	Reordered  *int64 `json:"reordered"`
	Corrupt    *int64 `json:"corrupt"` // spoilt on their way; they are missing as well
}

// LatencySummary holds percentiles of times, in milliseconds.
type LatencySummary struct {
	P50  *float64 `json:"p50"`
	P90  *float64 `json:"p90"`
	P99  *float64 `json:"p99"`
	P999 *float64 `json:"p999"`
	Max  *float64 `json:"max"`
	Mean *float64 `json:"mean"`
}

// DurationSummary is how many seconds the traffic took, to the end of msggen.
type DurationSummary struct {
	Asked    float64  `json:"asked"`
	Achieved *float64 `json:"achieved"` // null: there was none
}

// RateSummary is in messages per second.
type RateSummary struct {
	Asked    float64  `json:"asked"` // 0 is as fast as it goes
	Achieved *float64 `json:"achieved"`
}

// Summarize computes every figure of a Summary, and judges it.
func Summarize(e Evidence) Summary {
	s := Summary{
		Server:    e.Server,
		Nodes:     e.Nodes,
		Conns:     ConnSummary{Asked: e.Asked.Conns},
		Rate:      RateSummary{Asked: e.Asked.Rate},
		DurationS: DurationSummary{Asked: e.Asked.DurationS},
	}
	conns := int64(0)
	if f := e.Flood; f != nil {
		conns = f.Open
		s.Conns.Peak, s.Conns.Failed, s.Conns.ClosedEarly = new(f.Open), new(f.Failed), new(f.ClosedEarly)
	} else if conns = mostConns(e.Samples); conns > 0 && e.Nodes <= 1 { // nodes are connected to NATS, and count that too
		s.Conns.Peak = new(conns) // the server's own count tells at least that
	}
	s.Memory = summarizeMemory(e, conns)
	s.Messages = summarizeMessages(e)
	if f := e.Flood; f != nil {
		s.LatencyMS, s.LagMS, s.ServiceMS = summarizeLatency(f.LatencyMS), summarizeLatency(f.LagMS), summarizeLatency(f.ServiceMS)
	}
	if t := e.Phases.Traffic; t.To.After(t.From) {
		s.DurationS.Achieved = new(t.To.Sub(t.From).Seconds())
	}
	if e.Msggen != nil {
		s.Rate.Achieved = new(e.Msggen.Rate)
	}
	s.ServerCPU = busy(e.Samples, e.Phases.Traffic)
	if len(e.FailIf) > 0 {
		s.Promises = judgePromises(e.FailIf, s)
	}
	s.Verdict, s.Reasons = judge(s, e)
	return s
}

func summarizeLatency(p *timing.Percentiles) LatencySummary {
	if p == nil {
		return LatencySummary{}
	}
	return LatencySummary{new(p.P50), new(p.P90), new(p.P99), new(p.P999), new(p.Max), new(p.Mean)}
}

func mostConns(samples []Sample) int64 {
	most := int64(0)
	for _, s := range samples {
		most = max(most, s.Conns)
	}
	return most
}

func summarizeMessages(e Evidence) MessageSummary {
	var m MessageSummary
	ledger := e.Ledger
	if g := e.Msggen; g != nil {
		m.Sent = new(g.Sent)
		if ledger == nil {
			ledger = g.Ledger
		}
	}
	if ledger != nil {
		m.Delivered, m.Offline = new(ledger.Delivered), new(ledger.Offline)
		m.Dropped, m.Gone = new(ledger.Dropped), new(ledger.Gone)
		m.Lost, m.Overrun, m.Unpublished = new(max(ledger.Lost(), 0)), new(ledger.Overrun), new(ledger.Unpublished)
	}
	if f := e.Flood; f != nil {
		m.Received, m.Missing = new(f.Messages), new(f.Missing)
		m.Duplicated, m.Reordered, m.Corrupt = new(f.Duplicated), new(f.Reordered), new(f.Corrupt)
		if m.Sent != nil { // the sum also sees lost last messages, which leave no gap
			m.Missing = new(max(f.Missing, *m.Sent-f.Messages))
		}
		if ledger != nil {
			// A node that died may have received more than it told, and the client knows better: of what is missing, only
			// that can be lost which is in no other bin.
			rest := *m.Missing - ledger.Offline - ledger.Dropped - ledger.Gone - ledger.Overrun - ledger.Unpublished
			m.Lost = new(max(min(*m.Lost, rest), 0))
		}
	}
	return m
}
