package msggen

import (
	"time"

	"cometctl/internal/timing"
)

// log writes the lag's intervals until all workers have ended, and the last one then; or until that fails, of which the writer knows.
//
// A copy of a distribution takes longer than a message may be late. So the workers get an empty one for each interval, and what they have
// filled is added up here, where nobody waits; all of it is the run's again in the end.
func (r *run) log(done <-chan struct{}) {
	all, part := timing.New(), timing.New()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lag.Merge(all)
	}()
	l, err := timing.NewIntervalLog(r.cfg.HDR, r.start, "lag")
	tick := time.NewTicker(r.cfg.HDREvery)
	defer tick.Stop()
	for over := false; !over && err == nil; {
		select {
		case <-tick.C:
		case <-done:
			over = true
		}
		r.mu.Lock()
		r.lag, part = part, r.lag
		r.mu.Unlock()
		all.Merge(part)
		part.Reset()
		err = l.Write(r.start.Add(r.elapsed()), all.Snapshot())
	}
}
