package msggen

import (
	"time"

	"cometctl/internal/timing"
)

// log writes the lag's intervals until all workers have ended, and the last one then; or until that fails, of which the writer knows.
func (r *run) log(done <-chan struct{}) {
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
		lag := r.lag.Snapshot() // a copy: no worker waits for more
		r.mu.Unlock()
		err = l.Write(r.start.Add(r.elapsed()), lag)
	}
}
