package report

import (
	"slices"
	"time"
)

// slopeMin is the shortest time that is drawn out to an hour: less would make gigabytes a day of the first messages.
const slopeMin = 30 * time.Second

// slopePoints bounds the points that Theil-Sen compares in pairs: 24 hours of one sample a second become medians of
// neighbours first. 400 points make 79,800 pairs, a few milliseconds.
const slopePoints = 400

// summarizeMemory computes the figures that stand on samples. conns is the number of connections of the idle plateau.
func summarizeMemory(e Evidence, conns int64) MemorySummary {
	var m MemorySummary
	all := e.Samples
	rss := func(s Sample) int64 { return s.RSS }
	pss := func(s Sample) int64 { return s.PSS }
	kernel := func(s Sample) int64 { return s.Kernel }

	m.BaseRSS = medianWithin(all, e.Phases.Empty, rss)
	m.IdleRSS = medianWithin(all, e.Phases.Idle, rss)
	m.PeakRSS, m.EndRSS = peakAndEnd(all, e.Phases.Traffic, rss)
	m.BasePSS = medianWithin(all, e.Phases.Empty, pss)
	m.IdlePSS = medianWithin(all, e.Phases.Idle, pss)
	m.PeakPSS, m.EndPSS = peakAndEnd(all, e.Phases.Traffic, pss)
	m.Processes = medianWithin(all, e.Phases.Idle, func(s Sample) int64 { return s.Procs })
	m.UserPerConn = perConn(m.BaseRSS, m.IdleRSS, conns)
	if m.severalProcesses(e.Nodes, e.Server) && m.BasePSS != nil && m.IdlePSS != nil {
		// They share the pages of one program, or memory that is meant to be shared, which RSS would count anew for each that touches one.
		m.UserPerConn = perConn(m.BasePSS, m.IdlePSS, conns)
	}
	ends := conns
	if e.ClientHere {
		ends *= 2
	}
	m.KernelPerConn = perConn(
		medianWithin(all, e.Phases.Empty, kernel), medianWithin(all, e.Phases.Idle, kernel), ends)
	if k := m.KernelPerConn; k != nil && *k < 0 {
		m.KernelPerConn = nil // the figure is the whole machine's, and other programs closed more sockets than we opened
	}
	m.SlopePerHour = slopePerHour(all, e.Phases.Traffic)
	return m
}

// severalProcesses reports whether PSS says more than RSS: of our own server with several nodes, and of any other one that has
// more than one process.
func (m MemorySummary) severalProcesses(nodes int64, server string) bool {
	return nodes > 1 || server != "" && value(m.Processes) > 1
}

// peakAndEnd are the highest value of a column and the last one within a span; nil if it has none.
func peakAndEnd(all []Sample, span Span, column func(Sample) int64) (peak, end *int64) {
	for _, s := range all {
		x := column(s)
		if x < 0 {
			continue
		}
		if peak == nil || x > *peak {
			peak = new(x)
		}
		if span.Contains(s.Time) {
			end = new(x)
		}
	}
	return peak, end
}

// busy is the processor time between the first and the last sample of a span, by the time between them; nil for fewer than two samples that have it.
func busy(all []Sample, span Span) *float64 {
	var first, last *Sample
	for i := range all {
		if s := &all[i]; s.CPU >= 0 && span.Contains(s.Time) {
			if first == nil {
				first = s
			}
			last = s
		}
	}
	if first == nil || !last.Time.After(first.Time) || last.CPU < first.CPU {
		return nil
	}
	return new((last.CPU - first.CPU).Seconds() / last.Time.Sub(first.Time).Seconds())
}

func perConn(base, idle *int64, n int64) *float64 {
	if base == nil || idle == nil || n <= 0 {
		return nil
	}
	return new(float64(*idle-*base) / float64(n))
}

// medianWithin is the median of a column over the samples of a span; nil if it has none.
func medianWithin(all []Sample, span Span, column func(Sample) int64) *int64 {
	var v []int64
	for _, s := range all {
		if x := column(s); x >= 0 && span.Contains(s.Time) {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return nil
	}
	slices.Sort(v)
	return new((v[(len(v)-1)/2] + v[len(v)/2]) / 2)
}

// slopePerHour is the SlopePerHour of RSS over the samples of a span.
func slopePerHour(all []Sample, span Span) *float64 {
	var t, y []float64
	for _, s := range all {
		if span.Contains(s.Time) {
			t = append(t, s.Time.Sub(span.From).Hours())
			y = append(y, float64(s.RSS))
		}
	}
	return SlopePerHour(t, y)
}

// SlopePerHour is the median of the slopes between all pairs of points (Theil-Sen); t is in hours and never decreases. Unlike least squares it
// forgives a warm-up step and single outliers, and calls only steady growth a leak. Nil for fewer than three points, and where they lie
// within less than half a minute.
func SlopePerHour(t, y []float64) *float64 {
	if len(t) < 3 || t[len(t)-1]-t[0] < slopeMin.Hours() {
		return nil
	}
	t, y = thin(t, slopePoints), thin(y, slopePoints)
	slopes := make([]float64, 0, len(t)*(len(t)-1)/2)
	for i := range t {
		for j := range i {
			if dt := t[i] - t[j]; dt > time.Millisecond.Hours() {
				slopes = append(slopes, (y[i]-y[j])/dt)
			}
		}
	}
	if len(slopes) == 0 {
		return nil
	}
	return new(medianFloat(slopes))
}

// thin replaces runs of neighbours by their medians, so that at most n values are left.
func thin(v []float64, n int) []float64 {
	if len(v) <= n {
		return v
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = medianFloat(slices.Clone(v[i*len(v)/n : (i+1)*len(v)/n]))
	}
	return out
}

// medianFloat sorts v.
func medianFloat(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
