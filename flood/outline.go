package flood

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"cometctl/internal/ramp"
)

// Outline is what a Config asks for in numbers: how many connections, and when. It does not change, and may be used by any goroutine.
type Outline struct {
	*form // nil: every target is opened once and held
	ramp  ramp.Ramp
	rate  string // of arrivals
	perS  float64
	most  int
	asked int
}

// Errors of a Config whose parts do not go together.
var (
	errShapes      = errors.New("flood: give a ramp, arrivals, or a pace for each target once: they say the same thing in different ways")
	errUnending    = errors.New("flood: arrivals need a lifetime, or there are more and more connections")
	errMannered    = errors.New("flood: who misbehaves is a share of the targets, which come and go with a ramp or with arrivals; leave out the one or the other")
	errWantsNobody = errors.New("flood: the ramp wants no connection at any time")
)

// Outline lays out what cfg asks for. Where cfg.Seed is 0 it draws one, and sets it.
func (cfg *Config) Outline() (*Outline, error) {
	o := &Outline{ramp: cfg.Ramp, rate: cfg.Arrivals.String(), perS: cfg.Arrivals.PerSecond(), most: cfg.Targets.Len(), asked: cfg.Targets.Len()}
	for cfg.Seed == 0 {
		cfg.Seed = rand.Uint64() >> 11 // JSON numbers are exact to 2^53
	}
	ramped, arriving := !cfg.Ramp.None(), !cfg.Arrivals.Unlimited()
	if !ramped && !arriving && cfg.Lifetime.None() {
		return o, nil
	}
	o.form = &form{lifetime: cfg.Lifetime, arrivals: arriving, seed: cfg.Seed, origins: o.most, herd: max(DefaultInFlight/max(cfg.Loops, 1), 1)}
	if cfg.InFlight > 0 {
		o.herd = max(cfg.InFlight/max(cfg.Loops, 1), 1)
	}
	var err error
	switch {
	case ramped && arriving, (ramped || arriving) && !cfg.Pace.Unlimited():
		return nil, errShapes
	case (ramped || arriving) && cfg.Manners.Any():
		return nil, errMannered
	case arriving && cfg.Lifetime.None():
		return nil, errUnending
	case arriving:
		o.schedule, err = ramp.Arrivals(cfg.Arrivals).Plan(cfg.Seed)
		o.most, o.asked = crowd(o.perS*cfg.Lifetime.Mean.Seconds()), 0
	case ramped:
		o.schedule, err = cfg.Ramp.Plan(cfg.Seed)
	}
	if err != nil {
		return nil, fmt.Errorf("flood: %w", err)
	}
	if ramped {
		o.most, o.asked = o.schedule.Peak(), o.schedule.Opens()
	}
	if ramped && o.most == 0 {
		return nil, errWantsNobody
	}
	o.origins = o.most
	return o, nil
}

// crowd is how many are open at most where that many are on average: a Poisson distribution's mean and six times its deviation.
func crowd(mean float64) int { return int(min(math.Ceil(mean+6*math.Sqrt(mean)), maxTargets)) + 1 }

// Most is how many connections are open at a time at most; with Arrivals, but for one time in a thousand million.
func (o *Outline) Most() int { return o.most }

// Asked is how many connections are asked for in all; with Arrivals 0, since nobody knows before the end.
func (o *Outline) Asked() int { return o.asked }

// Round is after how many connections the turns of several runs begin anew that share the schedule with one another, so many of them: Config.Round.
// 0 is never.
func (o *Outline) Round(runs int) int {
	switch {
	case !o.scheduled():
		return 0
	case o.arrivals:
		return runs
	}
	return o.most
}

// scheduled reports whether connections come and go by a schedule; ends, whether it comes to an end.
func (o *Outline) scheduled() bool { return o.form != nil && o.schedule != nil }
func (o *Outline) ends() bool      { return o.scheduled() && !o.arrivals }

// Result is what t, which one run has counted or several have together, makes of the outline.
func (o *Outline) Result(t *Tally) Result {
	r := t.Result(o.asked)
	o.complete(&r, t)
	return r
}

// Progress is how a run is getting on that has counted t, or several together.
func (o *Outline) Progress(t *Tally, phase Phase) Progress {
	p := t.Progress(o.asked, phase)
	o.label(&p, t)
	return p
}

// label makes p tell of the stage that is under way.
func (o *Outline) label(p *Progress, t *Tally) {
	if !o.scheduled() || t.shape.stage == 0 {
		return
	}
	p.Wanted = t.shape.wanted
	stages := o.schedule.Stages()
	i := min(t.shape.stage, len(stages)) - 1
	p.Stage = stages[i].Text
	if o.arrivals {
		p.Asked, p.Wanted = t.shape.due, 0
		return
	}
	p.StageOf = fmt.Sprintf("%d/%d", i+1, len(stages))
}

// share narrows an outline to one of several runs: those of the schedule's connections that are its own.
func (o *Outline) share(t Turns, round int) {
	if !o.scheduled() || round == 0 {
		return
	}
	size := t.before(uint64(round))
	if o.arrivals {
		o.most = crowd(o.perS * o.lifetime.Mean.Seconds() * float64(size) / float64(round))
	} else {
		o.most = size
		o.asked = o.asked/round*size + t.before(uint64(o.asked%round))
	}
	o.origins = max(o.most, 1)
}

// own reports whether connection n of a schedule is a run's own.
func (t Turns) own(n, round int) bool {
	if round == 0 {
		return true
	}
	n %= round
	return t.before(uint64(n)+1) > t.before(uint64(n))
}
