package flood

import (
	"cmp"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/pace"
	"cometctl/internal/strain"
)

// measure begins to measure this process. What is opened as fast as it goes may take all of a processor; what counts begins with
// the hold, but where a ramp of stages, or arrivals, are asked for: there the whole run is what counts.
func (r *run) measure() *strain.Meter {
	if cmp.Or(r.cfg.Engine, netloop.Engines()[0]) == "goroutine" {
		return strain.Start(0) // its connections share all processors
	}
	return strain.Start(r.cfg.Loops)
}

// Weigh fills r.Client: whether the processes that these are readings of were the limit of what r reports. schedule is when connections
// were to be opened. It looks at the other figures of r, so it comes last.
func (r *Result) Weigh(readings []strain.Reading, schedule pace.Rate) {
	r.OpenAsked = schedule.PerSecond()
	f := strain.Figures{Tool: "flood", NoDescriptors: r.FailedBy[string(causeDescriptors)], NoPorts: r.FailedBy[string(causePorts)],
		NoMemory: r.FailedBy[string(causeMemory)], TimedOut: r.FailedBy[string(causeTimeout)], Messages: r.Messages,
		Lag: r.Lag, Service: r.Service,
		Asked: r.OpenAsked, Achieved: r.OpenPerS}
	if r.Recovery.gone(r.Asked) { // a generator that wrote late had nobody to write to
		f.Lag, f.Service = nil, nil
	}
	f.Arrivals, f.Late = r.timed()
	if r.Connect != nil {
		f.ConnectP99 = r.Connect.P99
	}
	r.Client = strain.Judge(readings, f)
}

// holding fills what the hold was to be, and what it was. A run that was cut short in its ramp has held nothing.
func (r *Result) holding(asked time.Duration, began, ended time.Time) {
	r.HoldAsked = asked.Seconds()
	if !began.IsZero() {
		r.Hold = ended.Sub(began).Seconds()
	}
}
