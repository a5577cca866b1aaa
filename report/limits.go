package report

import "slices"

// limits are what flood and msggen say of themselves where they were the limit of a run, and what that makes doubtful. It stands before every
// other reason.
func limits(e Evidence) (say, doubtful []string) {
	if e.Flood != nil {
		say, doubtful = append(say, e.Flood.Client.Bottleneck...), append(doubtful, e.Flood.Client.Doubtful...)
	}
	if e.Msggen != nil {
		say, doubtful = append(say, e.Msggen.Client.Bottleneck...), append(doubtful, e.Msggen.Client.Doubtful...)
	}
	return say, doubtful
}

// inDoubt tells whether a run shows nothing, as its client was the limit. The verdict rests on connections and messages, and not on how
// fast they opened or how late they came: a late generator is said, and changes nothing. A run as fast as it goes (rate 0) is to find some limit,
// the client's as soon as another; only what it misses then may be the client's fault.
func inDoubt(doubtful []string, rate float64, found bool) bool {
	if slices.Contains(doubtful, "connections") {
		return true
	}
	return slices.Contains(doubtful, "messages") && (found || rate > 0)
}
