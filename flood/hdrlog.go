package flood

import (
	"io"
	"time"

	"cometctl/internal/timing"
)

// DefaultInterval is the length of the intervals in an interval log.
const DefaultInterval = time.Second

// HDRLog writes the distributions of a run to w while it goes on, in HdrHistogram's interval log format, each Every: latency,
// service (from written to received) and lag (from due to written). Where w fails, the run goes on without the log. It is for one
// run, of this package or of several processes together, whose goroutine calls all its methods.
type HDRLog struct {
	w     io.Writer
	every time.Duration
	log   *timing.IntervalLog // nil before the run begins, and after an error
}

// NewHDRLog returns the log of a run that has not begun.
func NewHDRLog(w io.Writer, every time.Duration) *HDRLog { return &HDRLog{w: w, every: every} }

// Every is the length of an interval; 0 where there is no log.
func (i *HDRLog) Every() time.Duration {
	if i == nil {
		return 0
	}
	return i.every
}

// Begin begins the first interval. Without a log, it and Add do nothing.
func (i *HDRLog) Begin(at time.Time) {
	if i == nil {
		return
	}
	if log, err := timing.NewIntervalLog(i.w, at, "latency", "service", "lag"); err == nil {
		i.log = log
	}
}

// Add ends an interval of a run that has counted t by now.
func (i *HDRLog) Add(now time.Time, t *Tally) {
	if i != nil && i.log != nil && i.log.Write(now, t.latency.Snapshot(), t.service.Snapshot(), t.lag.Snapshot()) != nil {
		i.log = nil
	}
}
