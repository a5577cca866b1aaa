package timing

import "time"

// Counts is what a Histogram recorded, as programs hand it to each other: pairs of a duration in microseconds and of how many were as long
// as that to the Histogram's three digits, the shortest first. Counts of several intervals are added up in one Histogram (Add).
type Counts [][2]int64

// Interval tells what a Histogram that only ever grows recorded since it was last asked. The zero Interval was never asked.
type Interval struct{ growth }

// Next returns what h recorded since the call before. All calls must be with one histogram's states, in their order.
func (i *Interval) Next(h Histogram) Counts {
	counts := Counts{}
	i.each(h.Snapshot(), func(_, to, count int64) { counts = append(counts, [2]int64{to, count}) })
	return counts
}

// Add records what c counts. What a Histogram never told, counts below 1, is left out.
func (h Histogram) Add(c Counts) {
	for _, pair := range c {
		if pair[1] > 0 {
			_ = h.h.RecordValues(min(max(pair[0], 0), int64(Max/time.Microsecond)), pair[1]) // within its bounds
		}
	}
}
