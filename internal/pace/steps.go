package pace

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Schedule says when events are due. A Rate is one, so are Steps and Poisson.
type Schedule interface {
	// Due is the time from the start at which event n is due, n counting from 0, and math.MaxInt64 where it never is.
	Due(n uint64) time.Duration
	// DueBy is the number of events that are due at the time elapsed since the start or before.
	DueBy(elapsed time.Duration) uint64
}

// forever is the time of what never ends, and of what is never due.
const forever = time.Duration(math.MaxInt64)

// maxSteps is how many steps a schedule has at most: whoever counts keeps a distribution for each.
const maxSteps = 100

// Steps is a schedule of rates that follow each other. Each step counts from its own beginning: its event k is due there
// plus what its rate makes of k, exactly, rounded down to a nanosecond, and its events are all that are due before it
// ends. The zero Steps has none. A Steps does not change; any goroutine may use it.
type Steps struct {
	steps []Step
	burst uint64 // events that are due together; 0: 1
}

// Step is a part of Steps: a rate, a ramp from one rate to another, or a pause.
type Step struct {
	Text   string        // as ParseSteps reads it, without its time: "1000/s", "ramp 1000/s..5000/s", "pause"
	Begin  time.Duration // since the start
	For    time.Duration // how long it lasts; math.MaxInt64: without end
	First  uint64        // number of its first event
	Events uint64        // how many it has; math.MaxUint64: without end

	rate  Rate  // of a constant step; zero in a ramp or a pause
	slope slope // of a ramp; its length is 0 elsewhere
}

// OfRate is the schedule of one rate without end, which must not be unlimited.
func OfRate(r Rate) Steps {
	return Steps{steps: []Step{{Text: r.String(), For: forever, Events: math.MaxUint64, rate: r}}}
}

// InBursts is the schedule whose events come in bursts of n, all of one due when the first of them was; the rates are
// kept. The last burst of a step may be smaller. n of 0 and 1 change nothing.
func (s Steps) InBursts(n uint64) Steps {
	s.burst = n
	return s
}

// All returns the steps, in their order. They are not to be changed.
func (s Steps) All() []Step { return s.steps }

// End is when the last step ends, and math.MaxInt64 where it does not.
func (s Steps) End() time.Duration {
	if len(s.steps) == 0 {
		return 0
	}
	return s.steps[len(s.steps)-1].end()
}

// Events is the number of events of all steps, and math.MaxUint64 where the last one does not end.
func (s Steps) Events() uint64 {
	if len(s.steps) == 0 {
		return 0
	}
	last := &s.steps[len(s.steps)-1]
	if last.Events == math.MaxUint64 {
		return math.MaxUint64
	}
	return last.First + last.Events
}

// At is the index of the step that elapsed lies in, and the number of steps where it is behind them all.
func (s Steps) At(elapsed time.Duration) int {
	from, to := 0, len(s.steps)
	for from < to {
		if middle := (from + to) / 2; s.steps[middle].end() <= elapsed {
			from = middle + 1
		} else {
			to = middle
		}
	}
	return from
}

// Due is the time from the start at which event n is due, and math.MaxInt64 for one behind the last step.
func (s Steps) Due(n uint64) time.Duration {
	from, to := 0, len(s.steps)
	for from < to {
		if middle := (from + to) / 2; s.steps[middle].First > n {
			to = middle
		} else {
			from = middle + 1
		}
	}
	// Behind a pause, or a rate too low for its time, several steps begin with one event: it is the last one's.
	if from == 0 {
		return forever
	}
	step := &s.steps[from-1]
	k := n - step.First
	if k >= step.Events {
		return forever
	}
	if s.burst > 1 {
		k -= k % s.burst
	}
	return step.Begin + min(step.due(k), forever-step.Begin)
}

// DueBy is the number of events that are due at the time elapsed since the start or before.
func (s Steps) DueBy(elapsed time.Duration) uint64 {
	if elapsed < 0 {
		return 0
	}
	i := s.At(elapsed)
	if i == len(s.steps) {
		return s.Events()
	}
	step := &s.steps[i]
	n := step.dueBy(elapsed - step.Begin)
	if rest := n % max(s.burst, 1); rest > 0 {
		n += min(s.burst-rest, math.MaxUint64-n)
	}
	return step.First + min(n, step.Events, math.MaxUint64-step.First)
}

// Peak is the highest rate of all steps, in events per second.
func (s Steps) Peak() (peak float64) {
	for i := range s.steps {
		step := &s.steps[i]
		peak = max(peak, step.rate.PerSecond(), step.slope.peak())
	}
	return peak
}

// PerSecond is the mean rate of all steps, in events per second; of one without end it is that one's alone.
func (s Steps) PerSecond() float64 {
	if end := s.End(); end > 0 && end != forever {
		return float64(s.Events()) / end.Seconds()
	}
	if len(s.steps) == 0 {
		return 0
	}
	return s.steps[len(s.steps)-1].rate.PerSecond()
}

// PerSecond is the mean rate of the step, in events per second.
func (s *Step) PerSecond() float64 {
	if s.slope.length > 0 {
		return s.slope.mean() / s.For.Seconds()
	}
	return s.rate.PerSecond()
}

func (s *Step) end() time.Duration {
	if s.For == forever {
		return forever
	}
	return s.Begin + s.For
}

// due is when event k of the step is due, from the step's beginning.
func (s *Step) due(k uint64) time.Duration {
	if s.slope.length > 0 {
		return s.slope.due(k)
	}
	return s.rate.Due(k)
}

// dueBy is how many events of the step are due at elapsed from its beginning, which lies within it.
func (s *Step) dueBy(elapsed time.Duration) uint64 {
	switch {
	case s.slope.length > 0:
		return s.slope.dueBy(elapsed)
	case s.rate.Unlimited(): // a pause
		return 0
	}
	return s.rate.DueBy(elapsed)
}

// String is the form that ParseSteps reads.
func (s Steps) String() string {
	var b strings.Builder
	for i, step := range s.steps {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(step.Text)
		if step.For != forever {
			fmt.Fprintf(&b, " for %v", step.For)
		}
	}
	return b.String()
}
