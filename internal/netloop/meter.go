package netloop

import (
	"sync/atomic"
	"time"

	"cometctl/internal/meter"
)

// Meter is what a loop counts of its turns, at the price of one reading of the clock for each turn and each batch of mail. It holds no pointers, and may lie
// in memory that another process sees. The loop adds to it, anybody may read at any time.
type Meter struct {
	Batch   meter.Sizes  // what came to a turn: posts, sockets that were ready, deadlines
	Turn    meter.Times  // how long a turn took
	Lag     meter.Times  // of turns with mail or deadlines: for how long the oldest of these had been due when the turn began
	Written meter.Times  // from Post until the kernel had taken the first tagged write that Posted did for it; of one post in 64, waits of Post included
	In, Out atomic.Int64 // bytes that the kernel gave and took
	_       [64]byte     // the next loop's is another processor's
}

// Stats is what the loops of an engine have counted.
type Stats struct {
	Batch   meter.Histogram `json:"batch"`
	Turn    meter.Histogram `json:"turn_s"`
	Lag     meter.Histogram `json:"lag_s"`
	Written meter.Histogram `json:"written_s"`
	In      int64           `json:"in_bytes"`
	Out     int64           `json:"out_bytes"`
}

// Read is what was counted.
func (m *Meter) Read() Stats {
	return Stats{Batch: m.Batch.Read(), Turn: m.Turn.Read(), Lag: m.Lag.Read(), Written: m.Written.Read(), In: m.In.Load(), Out: m.Out.Load()}
}

// Add adds what other loops have counted.
func (s *Stats) Add(o Stats) {
	s.Batch.Add(o.Batch)
	s.Turn.Add(o.Turn)
	s.Lag.Add(o.Lag)
	s.Written.Add(o.Written)
	s.In += o.In
	s.Out += o.Out
}

// begin begins a turn that was given so many events.
func (l *core) begin(events int) { l.now, l.events, l.late = l.clock(), events, -1 }

// met notes events of this turn of which the oldest was due at since.
func (l *core) met(events int, since time.Duration) {
	l.events += events
	l.late = max(l.late, l.now-since, 0)
}

// account counts the turn that is about to end.
func (l *core) account() {
	l.meter.Batch.Add(l.events)
	l.meter.Turn.Add(l.clock() - l.now)
	if l.late >= 0 {
		l.meter.Lag.Add(l.late)
	}
	if l.in > 0 {
		l.meter.In.Add(int64(l.in))
		l.in = 0
	}
	if l.out > 0 {
		l.meter.Out.Add(int64(l.out))
		l.out = 0
	}
}

// takeStamp is the stamp for a write of that tag: a post's goes to its first tagged write, whose outcome is its own.
func (l *core) takeStamp(tag uint32) (at uint32) {
	if tag != 0 {
		at, l.stamp = l.stamp, 0
	}
	return at
}

// wroteTimed counts how long a message was on its way that was posted at.
func (l *core) wroteTimed(at uint32) {
	l.meter.Written.Add(time.Duration(stamp(l.clock())-at) * time.Microsecond)
}
