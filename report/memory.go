package report

import (
	"slices"
	"time"

	"cometctl/memlog"
)

// slopePoints bounds the points that Theil-Sen compares in pairs: 24 hours of one sample a second become medians of
// neighbours first. 400 points make 79,800 pairs, a few milliseconds.
const slopePoints = 400

// reading is what the figures need of a sample, in bytes; below zero is not known.
type reading struct {
	at          time.Time
	rss, kernel int64
}

func readings(samples []memlog.Sample) []reading {
	out := make([]reading, len(samples))
	var clock rowClock
	for i := range samples {
		s := &samples[i]
		r := reading{clock.at(s), -1, -1}
		if s.RSS >= 0 {
			r.rss = s.RSS << 10
		}
		if s.Slab >= 0 && s.SockBuf >= 0 {
			r.kernel = (s.Slab + s.SockBuf) << 10
		}
		out[i] = r
	}
	return out
}

// summarizeMemory computes the figures that stand on samples. conns is the number of connections of the idle plateau.
func summarizeMemory(e Evidence, conns int64) MemorySummary {
	var m MemorySummary
	all := readings(e.Samples)
	rss := func(r reading) int64 { return r.rss }
	kernel := func(r reading) int64 { return r.kernel }

	m.BaseRSS = medianWithin(all, e.Phases.Empty, rss)
	m.IdleRSS = medianWithin(all, e.Phases.Idle, rss)
	for _, r := range all {
		if r.rss < 0 {
			continue
		}
		if m.PeakRSS == nil || r.rss > *m.PeakRSS {
			m.PeakRSS = new(r.rss)
		}
		if e.Phases.Traffic.Contains(r.at) {
			m.EndRSS = new(r.rss)
		}
	}
	m.UserPerConn = perConn(m.BaseRSS, m.IdleRSS, conns)
	ends := conns
	if e.ClientHere {
		ends *= 2
	}
	m.KernelPerConn = perConn(
		medianWithin(all, e.Phases.Empty, kernel), medianWithin(all, e.Phases.Idle, kernel), ends)
	m.SlopePerHour = slopePerHour(all, e.Phases.Traffic)
	return m
}

func perConn(base, idle *int64, n int64) *float64 {
	if base == nil || idle == nil || n <= 0 {
		return nil
	}
	return new(float64(*idle-*base) / float64(n))
}

// medianWithin is the median of a column over the samples of a span; nil if it has none.
func medianWithin(all []reading, span Span, column func(reading) int64) *int64 {
	var v []int64
	for _, r := range all {
		if x := column(r); x >= 0 && span.Contains(r.at) {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return nil
	}
	slices.Sort(v)
	return new((v[(len(v)-1)/2] + v[len(v)/2]) / 2)
}

// slopePerHour is the median of the slopes between all pairs of samples in the span (Theil-Sen). Unlike least squares it
// forgives a warm-up step and single outliers, and calls only steady growth a leak. Nil for fewer than three samples.
func slopePerHour(all []reading, span Span) *float64 {
	var t, y []float64
	for _, r := range all {
		if r.rss >= 0 && span.Contains(r.at) {
			t = append(t, r.at.Sub(span.From).Hours())
			y = append(y, float64(r.rss))
		}
	}
	if len(t) < 3 {
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
