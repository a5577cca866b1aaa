package server

import (
	"os"
	"runtime/metrics"
	"time"

	"cometctl/server/history"
)

// Stats is what GET /stats answers: what the server holds and has done since it was started.
type Stats struct {
	PID      int         `json:"pid"`
	Engine   string      `json:"engine"`
	Loops    int         `json:"loops"`
	Uptime   float64     `json:"uptime_s"`
	Draining bool        `json:"draining"`
	Conns    ConnStats   `json:"conns"`
	Router   RouterStats `json:"router"`
	Ledger   Ledger      `json:"ledger"`
	Work     Work        `json:"work"`
	Memory   MemoryStats `json:"memory"`
	// History is what is kept of messages, of all workers together where there are several.
	History history.Stats `json:"history"`
	// Cluster is how a node stands with the others; nil for a server that is alone.
	Cluster *ClusterStats `json:"cluster,omitempty"`
	// Workers are the processes that share the comet listener, where there are several; the sums above are theirs and this one's.
	Workers []WorkerStats `json:"workers,omitempty"`
	// OpenFiles is the number of descriptors that the process has open; absent where that is not known (not Linux).
	OpenFiles int `json:"open_fds,omitempty"`
}

// ConnStats counts connections of the comet listener. All but the first four and By only grow.
type ConnStats struct {
	Open     int64 `json:"open"`          // now, whatever they have asked for
	Max      int64 `json:"max"`           // the most that may be open
	Waiting  int64 `json:"waiting"`       // of Open, those without a whole request
	Pending  int64 `json:"pending_bytes"` // memory of the output that the kernel has not taken
	Accepted int64 `json:"accepted"`      // ever
	Streams  int64 `json:"streams"`       // logged in, ever
	Refused  int64 `json:"refused"`       // answered with 503 because Max were open
	Bad      int64 `json:"bad"`           // answered with 400, 414, 431, 501 or 505
	NotFound int64 `json:"not_found"`
	Timeout  int64 `json:"timeout"` // cut off because the request head took too long
	Slow     int64 `json:"slow"`    // ended by the slow policy
	TLS      int64 `json:"tls"`     // ended because their TLS handshake failed, or they spoke plain HTTP where TLS was to be spoken
	// By counts the open ones, RefusedBy what was refused and ClosedBy those that have ended, for whatever cause.
	By        Census `json:"by"`
	RefusedBy Causes `json:"refused_by"`
	ClosedBy  Causes `json:"closed_by"`
}

// Ended is what c is when the process has ended: nobody is there any more, and the system has ended who was.
func (c ConnStats) Ended() ConnStats {
	c.ClosedBy[causeError] += c.Open
	c.Open, c.Max, c.Waiting, c.Pending, c.By = 0, 0, 0, 0, Census{}
	return c
}

// Add adds what o counts.
func (c *ConnStats) Add(o ConnStats) {
	c.Open += o.Open
	c.Max += o.Max
	c.Waiting += o.Waiting
	c.Pending += o.Pending
	c.Accepted += o.Accepted
	c.Streams += o.Streams
	c.Refused += o.Refused
	c.Bad += o.Bad
	c.NotFound += o.NotFound
	c.Timeout += o.Timeout
	c.Slow += o.Slow
	c.TLS += o.TLS
	c.By.Add(o.By)
	c.RefusedBy.Add(o.RefusedBy)
	c.ClosedBy.Add(o.ClosedBy)
}

// RouterStats counts who is logged in.
type RouterStats struct {
	Sessions int64 `json:"sessions"`
	IDs      int64 `json:"ids"`
	Logins   int64 `json:"logins"` // pairs of session and id
}

// Add adds what o counts.
func (r *RouterStats) Add(o RouterStats) {
	r.Sessions += o.Sessions
	r.IDs += o.IDs
	r.Logins += o.Logins
}

// WorkerStats is the row of one of several processes that share the comet listener.
type WorkerStats struct {
	Index    int         `json:"index"`
	PID      int         `json:"pid"`      // 0: it has none just now
	State    string      `json:"state"`    // running, starting, stuck (it does not answer), waiting (to be started again) or over
	Restarts int         `json:"restarts"` // how often it was started again
	Conns    ConnStats   `json:"conns"`    // what only grows since its first start
	Router   RouterStats `json:"router"`
	Ledger   Ledger      `json:"ledger"`        // since its first start
	Why      string      `json:"why,omitempty"` // how it last ended
}

// MemoryStats is what the Go runtime says about the process's memory, and what of it the system holds as resident, in bytes.
type MemoryStats struct {
	Heap     uint64 `json:"heap_bytes"`     // live and not yet swept objects
	Stacks   uint64 `json:"stacks_bytes"`   //
	Idle     uint64 `json:"idle_bytes"`     // heap without objects that was not given back
	Released uint64 `json:"released_bytes"` // given back to the system
	Total    uint64 `json:"total_bytes"`    // mapped by the runtime, Released included
	GCs      uint64 `json:"gc_cycles"`
	Resident uint64 `json:"rss_bytes,omitempty"` // of the whole process; absent where it is not known (not Linux)
}

// Stats reads all counters, one after another: connections come and go meanwhile.
func (s *Server) Stats() Stats {
	r := s.here()
	conns := s.counts.stats()
	if !s.cfg.NoFront {
		conns.Max = int64(s.cfg.MaxConns)
	}
	st := Stats{
		PID: os.Getpid(), Engine: s.Engine(), Loops: s.Loops(), Uptime: time.Since(s.born).Seconds(), Draining: s.draining.Load(),
		Conns:  conns,
		Router: RouterStats{Sessions: int64(r.Sessions), IDs: int64(r.IDs), Logins: int64(r.Logins)},
		Ledger: s.ledgerNow(),
		Work:   s.work(),
		Memory: readMemory(), OpenFiles: openDescriptors(),
	}
	if !s.cfg.NoFront {
		st.History = s.history.Stats()
	}
	if s.cluster != nil {
		st.Cluster = new(s.cluster.Status())
	}
	if s.family != nil {
		s.family.Report(&st)
	}
	return st
}

func readMemory() MemoryStats {
	m := MemoryStats{Resident: residentMemory()}
	fields := []struct {
		name string
		to   *uint64
	}{
		{"/memory/classes/heap/objects:bytes", &m.Heap},
		{"/memory/classes/heap/stacks:bytes", &m.Stacks},
		{"/memory/classes/heap/free:bytes", &m.Idle},
		{"/memory/classes/heap/released:bytes", &m.Released},
		{"/memory/classes/total:bytes", &m.Total},
		{"/gc/cycles/total:gc-cycles", &m.GCs},
	}
	samples := make([]metrics.Sample, len(fields))
	for i, f := range fields {
		samples[i].Name = f.name
	}
	metrics.Read(samples)
	for i, f := range fields {
		*f.to = samples[i].Value.Uint64()
	}
	return m
}
