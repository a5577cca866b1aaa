package server

import (
	"sync/atomic"
	"time"
)

// MinAcceptRate is the least that Config.AcceptRate may be, a connection in a hundred seconds. The most is more than any machine accepts.
const MinAcceptRate, maxAcceptRate = 0.01, 1e6

// bucket lets so many a second through, and as many at once as may come in a second. It is a virtual schedule (ITU-T I.371, GCRA), whose
// state is one number. Any goroutine may take; time is what it is told.
type bucket struct {
	every int64        // nanoseconds between two; 0: nothing is limited
	burst int64        // how far the schedule may be ahead
	next  atomic.Int64 // when the next one is due
}

func (b *bucket) init(perSecond float64) {
	if perSecond > 0 {
		b.every = int64(float64(time.Second) / perSecond)
		b.burst = max(0, int64(time.Second)-b.every)
	}
}

// take tells whether one more may come now.
func (b *bucket) take(now time.Duration) bool {
	if b.every == 0 {
		return true
	}
	for {
		old := b.next.Load()
		due := max(old, int64(now))
		if due-int64(now) > b.burst {
			return false
		}
		if b.next.CompareAndSwap(old, due+b.every) {
			return true
		}
	}
}
