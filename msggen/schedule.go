package msggen

import (
	"fmt"
	"math"
	"time"

	"cometctl/internal/pace"
	"cometctl/internal/timing"
)

// unlimited tells whether there is no schedule: messages go as fast as they can.
func (c *Config) unlimited() bool { return c.Rate.Unlimited() && len(c.Steps.All()) == 0 }

// steps is what the messages follow, when that is more than one Rate.
func (c *Config) steps() pace.Steps {
	s := c.Steps
	if len(s.All()) == 0 {
		s = pace.OfRate(c.Rate)
	}
	return s.InBursts(uint64(max(c.Burst, 1)))
}

// end is when nothing more falls due, and never where time does not say.
func (c *Config) end() time.Duration {
	end := never
	if c.Duration > 0 {
		end = c.Duration
	}
	if len(c.Steps.All()) > 0 {
		end = min(end, c.Steps.End())
	}
	return end
}

// schedule is when messages fall due. It belongs to one goroutine: see view.
func (c *Config) schedule() pace.Schedule {
	switch {
	case c.unlimited():
		return c.Rate
	case c.Poisson:
		return pace.NewPoisson(c.steps(), c.Seed, c.end())
	case c.Burst > 1 || len(c.Steps.All()) > 0:
		return c.steps()
	}
	return c.Rate
}

// view is the same schedule for another goroutine.
func view(s pace.Schedule) pace.Schedule {
	if p, ok := s.(*pace.Poisson); ok {
		return p.View()
	}
	return s
}

// total is how many messages the run is asked for, and math.MaxUint64 where only time or a signal ends it. How many arrive at
// random within a time is not known before.
func (c *Config) total() uint64 {
	total := uint64(math.MaxUint64)
	if c.Count > 0 {
		total = c.Count
	}
	switch end := c.end(); {
	case c.unlimited() || c.Poisson:
	case end != never:
		total = min(total, c.schedule().DueBy(end-1))
	}
	return total
}

// peak and mean are rates of the schedule, in messages per second; 0 where there is none.
func (c *Config) peak() float64 {
	if len(c.Steps.All()) > 0 {
		return c.Steps.Peak()
	}
	return c.Rate.PerSecond()
}

func (c *Config) mean() float64 {
	if len(c.Steps.All()) > 0 {
		return c.Steps.PerSecond()
	}
	return c.Rate.PerSecond()
}

// checkSchedule is Check for what only a schedule has.
func (c *Config) checkSchedule() error {
	switch {
	case c.Burst < 0 || c.Burst > maxBurst:
		return fmt.Errorf("--burst %d: give the messages of a burst, 1 to %d", c.Burst, maxBurst)
	case c.unlimited() && c.Burst > 1:
		return fmt.Errorf("--burst %d without a rate: as fast as it goes there are no bursts; give a --rate", c.Burst)
	case c.unlimited() && c.Poisson:
		return fmt.Errorf("--poisson without a rate: as fast as it goes there are no arrivals; give a --rate")
	}
	return nil
}

// due is when the worker's own event k is.
func (w *worker) due(k uint64) time.Duration { return w.schedule.Due(w.event(k)) }

// over tells whether the worker has no more events.
func (w *worker) over() bool {
	if w.run.unlimited {
		return w.next >= w.share || w.run.elapsed() >= w.run.end
	}
	return w.next >= w.share || w.due(w.next) == never
}

// Step is what was asked for in a step of the schedule, and what came of it. Sent, Late and Lag are of the messages that were due
// in it, whenever they left.
type Step struct {
	Step  string  `json:"step"`    // "1000/s", "ramp 1000/s..5000/s", "pause"
	Begin float64 `json:"begin_s"` // seconds since the start
	For   float64 `json:"for_s"`   // how long it was, in seconds; less than asked for where the run ended in it

	Asked     uint64             `json:"asked"`      // messages that were due in it
	AskedRate float64            `json:"asked_rate"` // in messages per second, the mean
	Sent      uint64             `json:"sent"`
	Rate      float64            `json:"rate"` // messages that left within it, whenever they were due, per second
	Late      uint64             `json:"late"`
	Lag       timing.Percentiles `json:"lag_ms"`
}

// account counts the messages of each step. It is under the lock of the run.
type account struct {
	plan  pace.Steps
	steps []stepCount
}

type stepCount struct {
	sent, late uint64
	left       uint64 // messages that left while the step was on
	lag        *timing.Histogram
}

// newAccount is nil where there are no steps.
func newAccount(plan pace.Steps) *account {
	if len(plan.All()) == 0 {
		return nil
	}
	return &account{plan: plan, steps: make([]stepCount, len(plan.All()))}
}

// add counts a message that was due at due and left at at.
func (a *account) add(due, at time.Duration) {
	if i := a.plan.At(due); i < len(a.steps) {
		s := &a.steps[i]
		if s.lag == nil {
			s.lag = new(timing.New()) // 260 KB: not for steps that are never reached
		}
		s.sent++
		s.lag.Record(at - due)
		if at-due > LateAfter {
			s.late++
		}
	}
	if i := a.plan.At(at); i < len(a.steps) {
		a.steps[i].left++
	}
}

// result is what became of the steps that were begun by end, of a run whose schedule is that.
func (a *account) result(schedule pace.Schedule, total uint64, end time.Duration) (all []Step) {
	for i, plan := range a.plan.All() {
		if plan.Begin >= end {
			break
		}
		until := end
		if plan.For != never {
			until = min(end, plan.Begin+plan.For)
		}
		count := &a.steps[i]
		s := Step{Step: plan.Text, Begin: plan.Begin.Seconds(), For: (until - plan.Begin).Seconds(),
			Asked:     min(schedule.DueBy(until-1), total) - min(schedule.DueBy(plan.Begin-1), total),
			AskedRate: plan.PerSecond(), Sent: count.sent, Late: count.late}
		if s.For > 0 {
			s.Rate = float64(count.left) / s.For
		}
		if count.lag != nil {
			s.Lag = *count.lag.Percentiles()
		}
		all = append(all, s)
	}
	return all
}
