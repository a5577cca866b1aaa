// Package ramp says how many connections are wanted, and when: "0..10000 in 30s; hold 60s; spike 5000 in 1s". It has no clock and
// opens nothing: a Plan is arithmetic on durations since its start, so its tests are tables, and whoever sleeps and dials does so
// elsewhere.
//
// A ramp is stages with semicolons between them, each after the one before it:
//
//	A..B in D            from A to B, evenly over the time D; up opens connections, down closes them
//	to N in D            the same from wherever it stands
//	spike N in D         the same to N more
//	exp A..B in D        from A to B, by the same factor in equal times; neither is 0
//	step N               to N at once
//	poisson RATE for D   connections come by themselves, one independent of the other, RATE (100/s) on average
//	hold D               nothing
//
// Where a stage begins with another number than the one before it has ended with, there is a step at its beginning.
//
// Its parts: Parse (parse.go) reads a ramp; Ramp.Plan lays it out in time for a seed, which decides what a Poisson stage brings; Plan.Events
// are its openings and closings, one by one. The first to be opened is the first to be closed, so the connections that are wanted at any time
// are those from one number to another, and several processes can share a plan by their numbers alone.
//
// A Ramp and a Plan do not change once they are made and may be used by any goroutine; an Events belongs to one.
package ramp

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"time"

	"cometctl/internal/pace"
)

// Bounds of what Parse and Plan accept.
const (
	MaxConnections = 1<<28 - 1                // wanted at a time, and opened in all
	MaxLength      = 365 * 24 * time.Hour     // of all stages together
	maxStages      = 1000                     // of a ramp
	maxPoisson     = 10_000_000               // connections that a Poisson stage brings on average; they stay
	Endless        = time.Duration(1<<63 - 1) // the Length of Arrivals
)

// Ramp is a sequence of stages as Parse has read them. The zero Ramp has none.
type Ramp struct{ stages []stage }

// stage is one of them, before it is known where it begins.
type stage struct {
	kind     kind
	jump     bool // begins with from, wherever the one before it has ended
	from, to int  // connections; spike: to is how many more
	length   time.Duration
	rate     pace.Rate // poisson
}

type kind uint8

const (
	linear kind = iota // A..B, to N
	spike
	exponential
	step
	poisson
	hold
)

// None reports whether there is no stage.
func (r Ramp) None() bool { return len(r.stages) == 0 }

// Arrivals is a ramp of one Poisson stage that does not end: nobody wants a number of connections then, they come.
func Arrivals(rate pace.Rate) Ramp {
	return Ramp{[]stage{{kind: poisson, rate: rate, length: Endless}}}
}

// Stage is a stage of a Plan.
type Stage struct {
	Text          string        // as String writes it
	Begin, Length time.Duration // since the plan's start; Length is Endless where it does not end
	From, Wanted  int           // connections that are wanted before its beginning and at its end
	Opens, Closes int           // how many are opened and closed in it; both only with a step at its beginning
	PerSecond     float64       // openings or closings a second, on average; 0 where there are none, or all at once
}

// Plan is a ramp laid out in time.
type Plan struct {
	ramp   Ramp
	seed   uint64
	stages []Stage
	peak   int
	opens  int
	length time.Duration
}

// Plan lays r out in time. What a Poisson stage brings is decided by the seed: the same each time. It fails where more than MaxConnections
// are wanted.
func (r Ramp) Plan(seed uint64) (*Plan, error) {
	p := &Plan{ramp: r, seed: seed}
	level, peak, opens := 0, 0, 0
	for i, s := range r.stages {
		st := Stage{Text: s.String(), Begin: p.length, Length: s.length, From: level}
		from, to := s.ends(level)
		switch {
		case s.kind == poisson && s.length != Endless:
			n := 0
			for range arrivals(s, seed, i) {
				n++
			}
			to = from + n
			st.PerSecond = s.rate.PerSecond()
		case s.kind == poisson:
			st.PerSecond = s.rate.PerSecond()
		case s.length > 0:
			st.PerSecond = math.Abs(float64(to-from)) / s.length.Seconds()
		}
		st.Wanted = to
		st.Opens = max(from-level, 0) + max(to-from, 0)
		st.Closes = max(level-from, 0) + max(from-to, 0)
		p.stages = append(p.stages, st)
		p.length = min(p.length, Endless-s.length) + s.length
		level = to
		peak, opens = max(peak, from, to), opens+st.Opens
		if peak > MaxConnections || opens > MaxConnections {
			return nil, tooMany(s, opens)
		}
	}
	p.peak, p.opens = peak, opens
	return p, nil
}

// ends are where s begins, once it has stepped there, and where it ends, after a stage that ended with level. A Poisson stage's end is not
// known here.
func (s stage) ends(level int) (from, to int) {
	from = level
	if s.jump {
		from = s.from
	}
	switch s.kind {
	case hold, poisson:
		return from, from
	case spike:
		return from, from + s.to
	}
	return from, s.to
}

// Stages are p's, in their order. The slice is not to be changed.
func (p *Plan) Stages() []Stage { return p.stages }

// Peak is the most connections that are wanted at a time; 0 for Arrivals.
func (p *Plan) Peak() int { return p.peak }

// Opens is how many connections are opened in all; 0 for Arrivals.
func (p *Plan) Opens() int { return p.opens }

// Length is when the last stage ends: Endless for Arrivals.
func (p *Plan) Length() time.Duration { return p.length }

// Wanted is how many connections are wanted at the end.
func (p *Plan) Wanted() int {
	if len(p.stages) == 0 {
		return 0
	}
	return p.stages[len(p.stages)-1].Wanted
}

// At is the stage that the time elapsed since the start is in; the last one when all are over.
func (p *Plan) At(elapsed time.Duration) int {
	for i := len(p.stages) - 1; i > 0; i-- {
		if p.stages[i].Begin <= elapsed {
			return i
		}
	}
	return 0
}

// Event is one connection that is due to be opened, or closed.
type Event struct {
	Due   time.Duration // since the start
	Stage int
	Open  bool // false: the one that was opened first, of those that were not closed yet
	Step  bool // it is one of many at the same time
}

// Events hands out the events of a plan, in the order in which they are due.
type Events struct {
	plan    *Plan
	stage   int  // whose events come next
	jumps   int  // of its step, that are left: openings, or closings where it is negative
	n, all  int  // events behind the step: that were handed out, and all; all is -1 where nobody knows
	down    bool // they close
	from    int  // where they begin
	next    func() (time.Duration, bool)
	entered bool
}

// Events begins with the first event.
func (p *Plan) Events() *Events { return &Events{plan: p} }

// Next returns the next event, and false when there is none any more.
func (e *Events) Next() (Event, bool) {
	for e.stage < len(e.plan.stages) {
		s, st := e.plan.ramp.stages[e.stage], &e.plan.stages[e.stage]
		if !e.entered {
			e.enter(s, st)
		}
		ev := Event{Due: st.Begin, Stage: e.stage, Step: e.jumps != 0 || s.kind == step}
		if e.jumps != 0 {
			if ev.Open = e.jumps > 0; ev.Open {
				e.jumps--
			} else {
				e.jumps++
			}
			return ev, true
		}
		if after, ok := e.behind(s); ok {
			ev.Due, ev.Open = st.Begin+after, !e.down
			e.n++
			return ev, true
		}
		e.stage, e.entered = e.stage+1, false
	}
	return Event{}, false
}

// enter begins a stage.
func (e *Events) enter(s stage, st *Stage) {
	from, to := s.ends(st.From)
	e.entered, e.jumps, e.n, e.from, e.down = true, from-st.From, 0, from, to < from
	e.all = max(to-from, from-to)
	e.next = nil
	if s.kind == poisson {
		e.next = pull(s, e.plan.seed, e.stage)
	}
}

// behind is when event n of the stage is due, counted from its beginning.
func (e *Events) behind(s stage) (time.Duration, bool) {
	if e.next != nil {
		return e.next()
	}
	if e.n == e.all {
		return 0, false
	}
	switch {
	case s.length == 0:
		return 0, true
	case s.kind == exponential:
		to := e.from + e.all
		at := e.from + e.n
		if e.down {
			to, at = e.from-e.all, e.from-e.n
		}
		share := math.Log(float64(at)/float64(e.from)) / math.Log(float64(to)/float64(e.from))
		return min(time.Duration(share*float64(s.length)), s.length), true
	}
	// n/all of the length, 128 bits wide as in package pace: exact, rounded down.
	hi, lo := bits.Mul64(uint64(e.n), uint64(s.length))
	due, _ := bits.Div64(hi, lo, uint64(e.all))
	return time.Duration(due), true
}

// pull returns the times of a Poisson process, one with each call: the gaps between them are exponential. false is behind its length.
func pull(s stage, seed uint64, index int) func() (time.Duration, bool) {
	random := rand.New(rand.NewPCG(seed, uint64(index)))
	gap := float64(s.rate.Per) / float64(s.rate.Events) // ns
	var whole time.Duration                             // what part has in whole seconds, so that it stays exact for years
	part := 0.0
	return func() (time.Duration, bool) {
		part += random.ExpFloat64() * gap
		if over := math.Floor(part / 1e9); over > 0 {
			if over > float64((Endless-whole)/time.Second-1) {
				return 0, false
			}
			whole += time.Duration(over) * time.Second
			part -= over * 1e9
		}
		due := whole + time.Duration(part)
		return due, due < s.length
	}
}

// arrivals are the same times, for a loop.
func arrivals(s stage, seed uint64, index int) func(yield func(time.Duration) bool) {
	return func(yield func(time.Duration) bool) {
		for next := pull(s, seed, index); ; {
			due, ok := next()
			if !ok || !yield(due) {
				return
			}
		}
	}
}
