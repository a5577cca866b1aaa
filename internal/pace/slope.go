package pace

import (
	"errors"
	"math"
	"math/bits"
	"time"
)

// slope is a rate that changes in a straight line, from a events each per nanoseconds to b, in length nanoseconds. By the time t
//
//	(2*length*a*t + (b-a)*t*t) / (2*length*per)
//
// events have become due, and event k is due when that is k. Both sides are integers of at most 128 bits (fits), so
// that due and dueBy are exact, as those of a Rate are.
type slope struct {
	a, b, per uint64
	length    uint64 // in ns; 0: no slope
}

// newSlope is the slope from one rate to another, with an unlimited Rate for no events, and its length to be set.
func newSlope(from, to Rate) (slope, error) {
	a, p := reduced(from)
	b, q := reduced(to)
	shared := gcd(p, q)
	over, per := bits.Mul64(p, q/shared)
	overA, a := bits.Mul64(a, q/shared)
	overB, b := bits.Mul64(b, p/shared)
	if over|overA|overB != 0 {
		return slope{}, errors.New("rates so far from each other cannot be reckoned exactly; give whole numbers per second")
	}
	return slope{a: a, b: b, per: per}, nil
}

// reduced is a rate in lowest terms, and 0/1 where it is unlimited.
func reduced(r Rate) (events, per uint64) {
	if r.Unlimited() {
		return 0, 1
	}
	shared := gcd(r.Events, uint64(r.Per))
	return r.Events / shared, uint64(r.Per) / shared
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// fits reports whether no intermediate result needs more than 128 bits.
func (s *slope) fits() bool {
	length := bits.Len64(s.length)
	return bits.Len64(max(s.a, s.b)) < 63 && length+1+bits.Len64(max(s.a, s.b))+length < 126 && length+1+bits.Len64(s.per) < 126 && length < 63
}

// events is 2*length*a*t + (b-a)*t*t, for t up to length.
func (s *slope) events(t uint64) wide {
	sum := times(2*s.a, s.length)
	if s.b >= s.a {
		sum = sum.plus(times(s.b-s.a, t))
	} else {
		sum = sum.minus(times(s.a-s.b, t))
	}
	return sum.times(t)
}

// due is when event k is due, rounded down; k is below dueBy(length-1).
func (s *slope) due(k uint64) time.Duration {
	if k == 0 {
		return 0
	}
	// The root as floats have it, in the form that does not subtract. It is a few nanoseconds off, more where the rate nears 0.
	a, b, pk := float64(s.a), float64(s.b), float64(s.per)*float64(k)
	under := max(a*a+2*(b-a)*pk/float64(s.length), 0)
	from := uint64(min(2*pk/(a+math.Sqrt(under)), float64(s.length)))
	from = min(from, s.length)

	// The last t by which no more than k events have become due, as integers have it: bracket it in growing steps, then bisect.
	want := times(2*s.length, s.per).times(k)
	to, step := from, uint64(1)
	if want.less(s.events(from)) {
		for ; want.less(s.events(from)); step *= 2 {
			to, from = from, from-min(step, from)
		}
	} else {
		for ; to < s.length && !want.less(s.events(to)); step *= 2 {
			from, to = to, to+min(step, s.length-to)
		}
		if !want.less(s.events(to)) {
			return time.Duration(to)
		}
	}
	for to-from > 1 {
		if middle := from + (to-from)/2; want.less(s.events(middle)) {
			to = middle
		} else {
			from = middle
		}
	}
	return time.Duration(from)
}

// dueBy is how many events are due at elapsed, which is below length, or before.
func (s *slope) dueBy(elapsed time.Duration) uint64 {
	n := s.events(uint64(elapsed) + 1).over(2 * s.length).over(s.per)
	return n.lo
}

// mean is the number of events of the whole slope, before it is rounded.
func (s *slope) mean() float64 {
	return (float64(s.a) + float64(s.b)) / 2 * float64(s.length) / float64(s.per)
}

// peak is the higher of its rates in events per second.
func (s *slope) peak() float64 {
	if s.per == 0 {
		return 0
	}
	return float64(max(s.a, s.b)) * 1e9 / float64(s.per)
}

// wide is an unsigned integer of 128 bits.
type wide struct{ hi, lo uint64 }

func times(a, b uint64) wide {
	hi, lo := bits.Mul64(a, b)
	return wide{hi, lo}
}

func (w wide) times(n uint64) wide {
	hi, lo := bits.Mul64(w.lo, n)
	return wide{hi + w.hi*n, lo}
}

func (w wide) plus(o wide) wide {
	lo, carry := bits.Add64(w.lo, o.lo, 0)
	return wide{w.hi + o.hi + carry, lo}
}

func (w wide) minus(o wide) wide {
	lo, borrow := bits.Sub64(w.lo, o.lo, 0)
	return wide{w.hi - o.hi - borrow, lo}
}

func (w wide) less(o wide) bool { return w.hi < o.hi || w.hi == o.hi && w.lo < o.lo }

// over is w/n, rounded up.
func (w wide) over(n uint64) wide {
	hi, rest := bits.Div64(0, w.hi, n)
	lo, rest := bits.Div64(rest, w.lo, n)
	if rest > 0 {
		return wide{hi, lo}.plus(wide{0, 1})
	}
	return wide{hi, lo}
}
