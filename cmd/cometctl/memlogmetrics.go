package main

import (
	"time"

	"cometctl/internal/promise"
	"cometctl/memlog"
	"cometctl/report"
)

// memlogSeen is what a memory log has shown so far. Run's goroutine owns it until Run is over.
type memlogSeen struct {
	rows        int
	first, last memlog.Sample
	peakRSS     int64 // KB; 0: none yet
	peakConns   int64
	hours, rss  []float64 // every step-th row that has an RSS, the RSS in bytes
	step, next  int       // next counts down to the next of them
}

// trendRows is how many rows of a log are kept for its slope at most; half of them are given up whenever there are more.
const trendRows = 2048

// add takes a row.
func (m *memlogSeen) add(row memlog.Sample) {
	if m.rows++; m.rows == 1 {
		m.first, m.step = row, 1
	}
	m.last = row
	m.peakRSS, m.peakConns = max(m.peakRSS, row.RSS), max(m.peakConns, row.Conns)
	if row.RSS < 0 {
		return
	}
	if m.next--; m.next > 0 {
		return
	}
	m.next = m.step
	m.hours, m.rss = append(m.hours, row.Elapsed.Hours()), append(m.rss, float64(row.RSS*1024))
	if len(m.rss) > trendRows {
		m.hours, m.rss, m.step = everySecond(m.hours), everySecond(m.rss), 2*m.step
	}
}

func everySecond(v []float64) []float64 {
	n := 0
	for i := 0; i < len(v); i += 2 {
		v[n] = v[i]
		n++
	}
	return v[:n]
}

// cpu is the share of a processor that the target took between the first row and the last.
func (m *memlogSeen) cpu() (float64, bool) {
	took := m.last.Elapsed - m.first.Elapsed
	if m.first.CPU < 0 || m.last.CPU < m.first.CPU || took <= 0 {
		return 0, false
	}
	return (m.last.CPU - m.first.CPU).Seconds() / took.Seconds(), true
}

// memlogMetrics is what a memory log can be judged by, at its end and at each row.
func memlogMetrics() metrics[*memlogSeen, *memlogSeen] {
	var m metrics[*memlogSeen, *memlogSeen]
	add := func(name string, unit promise.Unit, help string, of func(*memlogSeen) (float64, bool)) {
		m = append(m, metric[*memlogSeen, *memlogSeen]{promise.Metric{Name: name, Unit: unit, Help: help}, of, of})
	}
	cell := func(name string, unit promise.Unit, help string, of func(*memlogSeen) int64) {
		add(name, unit, help, func(s *memlogSeen) (float64, bool) {
			n := of(s)
			if unit == promise.Bytes {
				return float64(n) * 1024, n >= 0
			}
			return float64(n), n >= 0
		})
	}
	cell("rss", promise.Bytes, "resident size", func(s *memlogSeen) int64 { return s.last.RSS })
	add("peak_rss", promise.Bytes, "highest resident size of all rows", func(s *memlogSeen) (float64, bool) { return float64(s.peakRSS) * 1024, s.peakRSS > 0 })
	cell("anon", promise.Bytes, "anonymous part of the resident size", func(s *memlogSeen) int64 { return s.last.Anon })
	cell("pss", promise.Bytes, "proportional size: pages that several processes share count once", func(s *memlogSeen) int64 { return s.last.PSS })
	cell("slab", promise.Bytes, "kernel objects of sockets, files and epoll, the whole machine's", func(s *memlogSeen) int64 { return s.last.Slab })
	cell("sockbuf", promise.Bytes, "kernel buffers of TCP sockets, the whole machine's", func(s *memlogSeen) int64 { return s.last.SockBuf })
	add("slope_bytes_per_hour", promise.BytesPerHour, "growth of the resident size over all rows (Theil-Sen), half a minute at least", func(s *memlogSeen) (float64, bool) {
		slope := report.SlopePerHour(s.hours, s.rss)
		if slope == nil {
			return 0, false
		}
		return *slope, true
	})
	cell("conns", promise.Count, "established connections", func(s *memlogSeen) int64 { return s.last.Conns })
	add("peak_conns", promise.Count, "most established connections of all rows", func(s *memlogSeen) (float64, bool) { return float64(s.peakConns), s.last.Conns >= 0 })
	add("cpu", promise.Fraction, "processors that the target took, from the first row to the last", (*memlogSeen).cpu)
	cell("fds", promise.Count, "open descriptors", func(s *memlogSeen) int64 { return s.last.FDs })
	cell("threads", promise.Count, "threads", func(s *memlogSeen) int64 { return s.last.Threads })
	cell("procs", promise.Count, "processes", func(s *memlogSeen) int64 { return s.last.Procs })
	add("elapsed", promise.Milliseconds, "time since the first row", func(s *memlogSeen) (float64, bool) {
		return float64(s.last.Elapsed) / float64(time.Millisecond), s.rows > 0
	})
	return m
}
