package findmax

import (
	"math"
	"slices"
)

// Outcome is what a trial of a rate has shown.
type Outcome string

// The outcomes of a trial.
const (
	Held    Outcome = "held"    // every promise was kept
	Broke   Outcome = "broke"   // one was not, and it was the server's doing
	Limited Outcome = "limited" // the generator or the receiver was the limit: nothing is known of the server
)

// Point is a trial as the search sees it: its rate in messages per second, and its outcome.
type Point struct {
	Rate    uint64
	Outcome Outcome
}

// Plan says how a search goes about it. Next and Sum are functions of the trials so far and of nothing else.
type Plan struct {
	From      uint64  // the first rate that is tried, in messages per second; at least 1
	To        uint64  // the highest; 0: there is none
	Precision float64 // the search ends where the rate that holds and the one that does not differ by no more than this share
	Repeats   int     // trials of the rate that is told in the end, at least
}

// stand is what the trials of one rate say together.
type stand int

const (
	open  stand = iota // not decided
	holds              // more trials have held than not
	fails              // more have not held than have, and at least two: one may be chance
)

// tally is the trials of one rate.
type tally struct {
	Rate                 uint64
	Held, Broke, Limited int
}

func (t tally) trials() int { return t.Held + t.Broke + t.Limited }

func (p Plan) judge(t tally) stand {
	not := t.Broke + t.Limited
	switch {
	case t.Held > not:
		return holds
	case not >= 2 && not > t.Held, not >= 2 && t.trials() >= 2*p.Repeats: // or it would go on for ever
		return fails
	}
	return open
}

// tallies sums the trials up by rate, the lowest first.
func tallies(trials []Point) (all []tally) {
	for _, t := range trials {
		i, found := slices.BinarySearchFunc(all, t.Rate, func(a tally, rate uint64) int {
			return int(min(max(int64(a.Rate)-int64(rate), -1), 1))
		})
		if !found {
			all = slices.Insert(all, i, tally{Rate: t.Rate})
		}
		switch t.Outcome {
		case Held:
			all[i].Held++
		case Broke:
			all[i].Broke++
		default:
			all[i].Limited++
		}
	}
	return all
}

// bracket is the highest rate that holds below every one that fails, and the lowest that fails; nil where there is none.
func (p Plan) bracket(all []tally) (low, high *tally) {
	for i := range all {
		switch p.judge(all[i]) {
		case fails:
			return low, &all[i]
		case holds:
			low = &all[i]
		}
	}
	return low, nil
}

// Next is the rate to try next, or done.
//
//  1. A rate whose trials do not agree is tried again until they do: one trial that did not hold may be chance.
//  2. While all has held, the rate is doubled; while nothing has, it is halved.
//  3. Between the highest that holds and the lowest that fails lies their geometric mean, until the two are close.
//  4. Then the one that holds is tried until it has its repeats. If it fails after all, the search goes on below it.
func (p Plan) Next(trials []Point) (rate uint64, done bool) {
	if len(trials) == 0 {
		return p.clamp(p.From), false
	}
	all := tallies(trials)
	for _, t := range all {
		if p.judge(t) == open {
			return t.Rate, false
		}
	}
	low, high := p.bracket(all)
	switch {
	case low == nil && high.Rate == 1:
		return 0, true
	case low == nil:
		return high.Rate / 2, false
	case high == nil && low.Rate < p.clamp(math.MaxUint64):
		return p.clamp(2 * low.Rate), false
	case high != nil && float64(high.Rate) > float64(low.Rate)*(1+p.Precision) && high.Rate-low.Rate > 1:
		middle := uint64(math.Round(math.Sqrt(float64(low.Rate) * float64(high.Rate))))
		return min(max(middle, low.Rate+1), high.Rate-1), false
	}
	return low.Rate, low.trials() >= p.Repeats
}

// fastest is the highest rate there is: one message a nanosecond.
const fastest = 1_000_000_000

func (p Plan) clamp(rate uint64) uint64 {
	if p.To > 0 {
		rate = min(rate, p.To)
	}
	return min(max(rate, 1), fastest)
}

// Summary is what a search has found. All rates are in messages per second.
type Summary struct {
	Rate    uint64 `json:"rate"`    // the highest that held; 0: none did
	Held    int    `json:"held"`    // of its trials
	Repeats int    `json:"repeats"` // its trials

	// Surely is the least probability that a further trial of Rate would hold: with 95 % confidence it is no lower (Clopper and Pearson 1934, one-sided).
	Surely float64 `json:"surely"`

	// Beyond is the lowest rate that did not hold, so that the limit lies between the two; 0: there is none, the search ended at its highest rate.
	Beyond        uint64 `json:"beyond"`
	BeyondFailed  int    `json:"beyond_failed"`  // of its trials
	BeyondRepeats int    `json:"beyond_repeats"` // its trials
	ClientsLimit  bool   `json:"clients_limit"`  // what did not hold there was the generator or the receiver, in half of its trials or more: that the server would not is not shown
}

// Sum is what the trials have shown so far.
func (p Plan) Sum(trials []Point) Summary {
	low, high := p.bracket(tallies(trials))
	var s Summary
	if low != nil {
		s.Rate, s.Held, s.Repeats = low.Rate, low.Held, low.trials()
		s.Surely = surely(s.Held, s.Repeats)
	}
	if high != nil {
		s.Beyond, s.BeyondFailed, s.BeyondRepeats = high.Rate, high.Broke+high.Limited, high.trials()
		s.ClientsLimit = high.Limited > 0 && high.Limited >= high.Broke
	}
	return s
}

// confidence is what Surely has.
const confidence = 0.95

// surely is the lower bound of the probability of an event that came k times in n: the one with which k or more come with a probability of
// 1 - confidence.
func surely(k, n int) float64 {
	if k == 0 {
		return 0
	}
	low, high := 0.0, 1.0
	for range 60 {
		middle := (low + high) / 2
		if tail(k, n, middle) < 1-confidence {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// tail is the probability of k or more in n, each with probability p, for n of some tens.
func tail(k, n int, p float64) (sum float64) {
	for i := k; i <= n; i++ {
		choose := 1.0
		for j := range i {
			choose *= float64(n-j) / float64(j+1)
		}
		sum += choose * math.Pow(p, float64(i)) * math.Pow(1-p, float64(n-i))
	}
	return sum
}
