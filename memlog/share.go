package memlog

import (
	"errors"
	"time"
)

// A share keeps work that grows with what is measured from taking more than a thirtieth of a
// processor: after work that took T the next is due rarely*T later, whatever the interval. A million
// connections take the kernel a second to count. T is processor time: on a busy machine the work
// may be kept waiting for much longer, which costs nobody anything.
type share struct {
	end  time.Time     // of the last work
	took time.Duration // of processor time
}

// rarely is how often T has to pass.
const rarely = 30

// errShare says why there is no count.
var errShare = errors.New("to count takes so long that it is only done in a thirtieth of the time; these rows are between two counts")

// due reports whether the next work may start now.
func (s share) due(now time.Time) bool { return now.Sub(s.end) >= rarely*s.took }

// spent says that work has ended now, and what processor time it took.
func (s *share) spent(now time.Time, took time.Duration) { s.end, s.took = now, took }
