package server

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cometctl/internal/meter"
)

// This file is GET /metrics: the numbers of Stats, by their names at Prometheus. metrictable.go says which. Nothing of it is made before somebody asks
// for the first time; what its libraries cost a server that nobody asks is in docs/design/server.md.

// metric is one family: how it is named, and how its samples are read from Stats. Its label values are the same in every scrape.
type metric struct {
	name   string // without cometctl_
	help   string
	labels []string
	kind   prometheus.ValueType
	read   func(st *Stats, put func(v float64, labels ...string)) // of a gauge or counter
	spread func(st *Stats) meter.Histogram                        // of a histogram, instead
}

// collector reads Stats once a scrape.
type collector struct {
	s       *Server
	metrics []metric
	descs   []*prometheus.Desc // by index of metrics
}

// newMetrics is the handler of /metrics, with a registry of its own: what other packages do with the global one is not shown.
func (s *Server) newMetrics() http.Handler {
	c := &collector{s: s, metrics: metricTable(s.cluster != nil, s.family != nil)}
	for _, m := range c.metrics {
		c.descs = append(c.descs, prometheus.NewDesc("cometctl_"+m.name, m.help, m.labels, nil))
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{DisableCompression: true, ErrorLog: scrapeLog{s}})
}

// scrapeLog is promhttp.Logger.
type scrapeLog struct{ s *Server }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l.s.cfg.Log.Error("/metrics cannot be told", "error", fmt.Sprint(v...))
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st := c.s.Stats()
	for i, m := range c.metrics {
		if m.spread != nil {
			h := m.spread(&st)
			buckets := make(map[float64]uint64, len(h.Buckets))
			for _, b := range h.Buckets {
				buckets[b.LE] = uint64(b.N)
			}
			ch <- prometheus.MustNewConstHistogram(c.descs[i], uint64(h.Count), h.Sum, buckets)
			continue
		}
		m.read(&st, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v, labels...)
		})
	}
}

// gauge, counter and histogram make a metric of one sample.
func gauge(name, help string, read func(st *Stats) int64) metric {
	return metric{name: name, help: help, kind: prometheus.GaugeValue,
		read: func(st *Stats, put func(float64, ...string)) { put(float64(read(st))) }}
}

func counter(name, help string, read func(st *Stats) int64) metric {
	m := gauge(name, help, read)
	m.kind = prometheus.CounterValue
	return m
}

func histogram(name, help string, spread func(st *Stats) meter.Histogram) metric {
	return metric{name: name, help: help, spread: spread}
}

// by makes a metric of one sample for each of some values of a label.
func by(kind prometheus.ValueType, name, help, label string, read func(st *Stats, put func(v int64, value string))) metric {
	return metric{name: name, help: help, kind: kind, labels: []string{label}, read: func(st *Stats, put func(float64, ...string)) {
		read(st, func(v int64, value string) { put(float64(v), value) })
	}}
}
