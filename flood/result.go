package flood

import (
	"cometctl/internal/strain"
	"cometctl/internal/timing"
)

// Result is what a run has found. Its JSON keys are an interface: other programs read them.
type Result struct {
	Asked       int                   `json:"asked"`                 // targets; with a ramp the connections that it opens in all, with arrivals those that were due
	Open        int                   `json:"open"`                  // connections that were open to the end of the hold
	Failed      int                   `json:"failed"`                // connections that never had the head of a 200
	FailedBy    map[string]int        `json:"failed_by"`             // Failed by cause
	ClosedEarly int                   `json:"closed_early"`          // connections that were open and ended before the hold did
	ClosedBy    map[string]int        `json:"closed_by"`             // ClosedEarly by cause
	Refusals    []Refusal             `json:"refusals,omitempty"`    // what servers said by a status that is not the one that was asked for
	Opened      int                   `json:"opened"`                // connections that were open at some time: Open, ClosedEarly and Retired together
	Retired     int                   `json:"retired"`               // connections that flood has ended by plan: a ramp has gone down, or they have lived
	Replaced    int                   `json:"replaced"`              // connections that have opened in the place of one that had lived
	Chunks      uint64                `json:"chunks"`                // chunks of the chunked coding; reads of a body without it
	Messages    uint64                `json:"messages"`              // stamps, each counted once
	Bytes       uint64                `json:"bytes"`                 // all bytes received: heads, framing and bodies
	Missing     uint64                `json:"missing"`               // messages whose successors came, but not they
	Duplicated  uint64                `json:"duplicated"`            // stamps that came again
	Reordered   uint64                `json:"reordered"`             // messages that came after one of their successors
	Corrupt     uint64                `json:"corrupt"`               // stamps that were spoilt on their way; nobody knows whose they were, so they are missing as well
	Late        uint64                `json:"late"`                  // of Messages, those that came after the hold, while Config.Drain lasted
	Runs        []Run                 `json:"runs,omitempty"`        // who sent the messages, by the tags of their runs
	Reconnects  int                   `json:"reconnects"`            // connections that opened after an earlier one of their target had failed or ended
	Resumed     int                   `json:"tls_resumed,omitempty"` // handshakes of TLS that went on with an earlier session: of reconnects only
	Misbehaving map[string]Misbehaved `json:"misbehaving,omitempty"` // with Config.Manners, by manner; nothing of it is in the rest
	Recovery    *Recovery             `json:"recovery,omitempty"`    // with Config.Redial: what was lost at a time, and how it came back; nil where nothing was lost
	OpenPerS    float64               `json:"open_per_s"`            // connections opened a second, from the first dial to the last head
	Connect     *timing.Percentiles   `json:"connect_ms"`            // from dial to connected; this, ttfb_ms and latency_ms are null where nothing was measured
	TLS         *timing.Percentiles   `json:"tls_ms,omitempty"`      // from connected to the end of the TLS handshake; nil where there was none
	TTFB        *timing.Percentiles   `json:"ttfb_ms"`               // from when the request leaves, connected and behind the handshake, to the first byte
	Latency     *timing.Percentiles   `json:"latency_ms"`            // from due, as the stamp says, to received
	Lag         *timing.Percentiles   `json:"lag_ms"`                // from due to written, as the stamp says
	Service     *timing.Percentiles   `json:"service_ms"`            // from written to received: Latency without Lag
	ByDue       *timing.Buckets       `json:"by_due,omitempty"`      // Messages by the time at which they were due; nil without Config.ByDue
	OpenAsked   float64               `json:"open_asked_per_s"`      // what OpenPerS was to be; 0: as fast as it went
	Hold        float64               `json:"hold_s"`                // seconds from when every connection was open or had failed to the end
	HoldAsked   float64               `json:"hold_asked_s"`          // what Hold was to be; 0: until somebody ends it
	Ramp        *RampResult           `json:"ramp,omitempty"`        // nil without Config.Ramp; likewise the next two
	Arrivals    *ArrivalsResult       `json:"arrivals,omitempty"`
	Lifetime    *LifetimeResult       `json:"lifetime,omitempty"`
	Client      strain.Client         `json:"client"` // what the flood itself took, and whether it was the limit
}

// Held reports whether the run did what was asked: a connection to every target was open at the end, or as many as the ramp wanted then. Who comes by
// itself is asked only to be answered.
func (r Result) Held() bool {
	switch {
	case r.Arrivals != nil:
		return r.Failed+r.ClosedEarly == 0
	case r.Ramp != nil:
		return r.Open == r.Ramp.Wanted
	}
	return r.Open == r.Asked
}

// Progress is how a run is getting on. Open, Failed, and so on mean what they mean in Result, so far.
type Progress struct {
	Asked       int                 `json:"asked"`
	Open        int                 `json:"open"`
	Failed      int                 `json:"failed"`
	ClosedEarly int                 `json:"closed_early"`
	Chunks      uint64              `json:"chunks"`
	Messages    uint64              `json:"messages"`
	Missing     uint64              `json:"missing"` // so far: one that is only on its way behind its successor is none later
	Duplicated  uint64              `json:"duplicated"`
	Reordered   uint64              `json:"reordered"`
	Corrupt     uint64              `json:"corrupt"`
	Reconnects  int                 `json:"reconnects"`
	Bytes       uint64              `json:"bytes"`
	Phase       Phase               `json:"phase"`
	Wanted      int                 `json:"wanted,omitzero"`   // with a ramp: connections that are to be open now
	Stage       string              `json:"stage,omitzero"`    // with a ramp: the stage that is under way
	StageOf     string              `json:"stage_of,omitzero"` // which of how many, as "2/3"
	Latency     *timing.Percentiles `json:"latency_ms"`
	Lag         *timing.Percentiles `json:"lag_ms"`
	Service     *timing.Percentiles `json:"service_ms"`
	Interval    *Interval           `json:"interval_us,omitempty"` // nil unless Since was called

	all [3]timing.Histogram // the whole of Latency, Lag and Service; good until Watch returns
}

// Interval is what the distributions of a Progress have got since an earlier one, in microseconds.
type Interval struct {
	Latency timing.Counts `json:"latency"`
	Lag     timing.Counts `json:"lag"`
	Service timing.Counts `json:"service"`
}

// Since sets Interval to what has come since the last call with s. It must be called before Config.Watch returns.
func (p *Progress) Since(s *[3]timing.Interval) {
	p.Interval = &Interval{s[0].Next(p.all[0]), s[1].Next(p.all[1]), s[2].Next(p.all[2])}
}

// Phase is where a run stands.
type Phase string

// The phases of a run, in their order.
const (
	Ramp  Phase = "ramp"  // connections are being opened
	Hold  Phase = "hold"  // every connection is open or has failed
	Late  Phase = "late"  // with Config.Drain: the hold is over, and what comes now is late
	Drain Phase = "drain" // connections are being closed
)
