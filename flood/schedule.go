package flood

import (
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/ramp"
)

// timeline is how far a run is in its schedule. It belongs to the goroutine in Run.
type timeline struct {
	events        *ramp.Events
	next          ramp.Event
	more          bool // next is one
	opens, closes int  // that were due, of all runs which share the schedule
	mine, ended   int  // of them, this run's
	stage         int  // the one that is under way; one more than the last: none
	over          int  // those before it were looked at
	dues          []dues
}

func newTimeline(f *form, lanes int) *timeline {
	if f == nil || f.schedule == nil {
		return nil
	}
	t := &timeline{events: f.schedule.Events(), dues: make([]dues, lanes)}
	t.next, t.more = t.events.Next()
	return t
}

// lost reports whether there is nothing to wait for any more where no connection is left: none is wanted back, and that there is none is nobody's plan.
func (r *run) lost() bool {
	return !r.cfg.Redial.On() && (r.timeline == nil || r.outline.ends() && r.outline.schedule.Wanted() > 0)
}

// advance lets the lanes open and close what is due, looks at the stages that are over, and sets the timer for what comes next.
func (r *run) advance(elapsed time.Duration) {
	t, stages := r.timeline, r.outline.schedule.Stages()
	if r.outline.arrivals && r.phase == Ramp {
		signal(r.plan.changed) // there is no number to wait for: see scheduleOver
	}
	for t.stage < len(stages) {
		r.deal(elapsed)
		end := stages[t.stage].Begin + stages[t.stage].Length
		if elapsed < end {
			if t.more && t.next.Stage == t.stage {
				end = min(end, t.next.Due)
			}
			// A timer is up to a millisecond late anyway; what falls due within one goes together.
			r.due.Reset(max(end-elapsed, time.Millisecond))
			return
		}
		t.stage++
		signal(r.plan.changed) // it may be looked at, see scheduleOver
	}
}

// deal gives the lanes what is due in the stage that is under way.
func (r *run) deal(elapsed time.Duration) {
	t, any := r.timeline, false
	for ; t.more && t.next.Stage == t.stage && t.next.Due <= elapsed; t.next, t.more = t.events.Next() {
		if !any && t.over < t.stage {
			r.look() // before anything moves
		}
		any = true
		if t.next.Open {
			if r.cfg.Turns.own(t.opens, r.cfg.Round) {
				d := &t.dues[t.mine%len(r.lanes)]
				d.seats = append(d.seats, seat{due: r.began + int64(t.next.Due), stage: int16(t.stage), step: t.next.Step})
				t.mine++
			}
			t.opens++
			continue
		}
		if r.cfg.Turns.own(t.closes, r.cfg.Round) {
			t.dues[t.ended%len(r.lanes)].closes++
			t.ended++
		}
		t.closes++
	}
	if !any {
		return
	}
	r.each(func(a *lane, l netloop.Loop) {
		d := &t.dues[a.shape.index]
		if d.stage = t.stage; len(d.seats) > 0 || d.closes > 0 {
			a.take(l, d)
		}
		d.seats, d.closes = d.seats[:0], 0
	})
}

// look notes how many connections are open at the end of the stages that are over.
func (r *run) look() {
	t := r.timeline
	if t.over == t.stage {
		return
	}
	r.each(func(a *lane, _ netloop.Loop) {
		for i := t.over; i < t.stage; i++ {
			a.tally.shape.rows[i].open = a.tally.open
		}
	})
	t.over = t.stage
}

// scheduleOver reports whether the last stage is over, and all that was asked for is open or has failed. A stage that is over is looked at once that is so,
// if nothing falls due before: a handshake takes its time, and is not what the next stage is about.
func (r *run) scheduleOver(settled bool) bool {
	t := r.timeline
	switch {
	case t == nil:
		return settled
	case r.outline.arrivals:
		return true
	case settled && t.stage > 0:
		r.look()
	}
	return settled && t.stage == len(r.outline.schedule.Stages())
}

// stamp notes in r.sum how far the schedule is.
func (r *run) stamp() {
	s := &r.sum.shape
	s.until = r.plan.clock()
	if t := r.timeline; t != nil && s.until >= r.began {
		s.stage, s.over = min(t.stage+1, len(r.outline.schedule.Stages())), t.over
	}
}

// cut looks at the stage in which the run ends.
func (r *run) cut() {
	t := r.timeline
	if t == nil {
		return
	}
	r.look()
	if t.stage < len(r.outline.schedule.Stages()) {
		r.each(func(a *lane, _ netloop.Loop) { a.tally.shape.rows[t.stage].open = a.tally.open })
	}
}
