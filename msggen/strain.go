package msggen

import (
	"runtime"

	"cometctl/internal/strain"
)

// loops is how many goroutines do the work of one loop each: the workers, where each may have a processor.
func (r *run) loops() int {
	if r.workers > uint64(runtime.NumCPU()) {
		return 0
	}
	return int(r.workers)
}

// weigh tells whether this process was the limit of the result, all of which but this is there.
func (r *run) weigh(reading strain.Reading, res Result) strain.Client {
	f := strain.Figures{Tool: "msggen", Asked: res.Asked.Rate, Achieved: res.Rate, Messages: res.Sent}
	if !r.unlimited {
		f.Lag = &res.Lag
	}
	return strain.Judge([]strain.Reading{reading}, f)
}
