package flood

import (
	"context"
	"fmt"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/strain"
	"cometctl/internal/timing"
)

// run is a Flood while it runs. It belongs to the goroutine in Run.
type run struct {
	*Flood
	engine   netloop.Engine
	phase    Phase
	timeline *timeline       // nil: targets fall due by Config.Pace
	began    int64           // ns since the epoch
	due      *time.Timer     // the next target falls due
	wake     *time.Timer     // one that has waited falls due again
	sum      *Tally          // scratch: what the lanes have counted together
	total    *timing.Buckets // by due time, of the whole run; nil: nobody asked
	meter    *strain.Meter   // of ourselves
	held     time.Time       // when the hold began; zero: it has not
	ended    time.Time       // when it was over

	tick, interval <-chan time.Time // it is time to show and to log how the run is getting on; nil: it never is
}

// Run opens, holds and closes the connections, and returns what was found: after Hold, when ctx ends (both without an
// error), or when no connection is left and none is to come (with ErrAllEnded). The result is good beside every error but
// one of the engine's making.
func (f *Flood) Run(ctx context.Context) (Result, error) {
	engine, err := netloop.New(netloop.Config{Engine: f.cfg.Engine, Loops: f.cfg.Loops, Log: f.cfg.Log}, handler(f.lanes))
	if err != nil {
		return Result{}, fmt.Errorf("flood: %w", err)
	}
	defer engine.Close()
	r := &run{Flood: f, engine: engine, timeline: newTimeline(f.outline.form, f.cfg.Loops), began: f.plan.clock(), due: time.NewTimer(0), wake: time.NewTimer(0), sum: NewTally(0)}
	if f.cfg.ByDue > 0 {
		r.total = timing.NewBuckets(f.cfg.ByDue)
	}
	if !f.start.IsZero() {
		r.began = f.start.UnixNano()
	}
	defer r.due.Stop()
	defer r.wake.Stop()
	for _, a := range f.lanes {
		a.all(func(b *lane) { b.tracker.wanted = f.cfg.Runs.since(r.began) })
	}
	f.cfg.HDR.Begin(time.Unix(0, r.began))
	var end [2]func()
	r.tick, end[0] = ticks(f.cfg.Every)
	r.interval, end[1] = ticks(f.cfg.HDR.Every())
	defer end[0]()
	defer end[1]()
	r.meter = r.measure()
	r.enter(Ramp)
	err = r.wait(ctx)
	r.ended = time.Now()
	r.cut()
	reading := r.meter.End()
	if f.cfg.Drain > 0 {
		r.drain(ctx)
	}
	return r.finish(reading), err
}

// wait lets the run go on until it is over.
func (r *run) wait(ctx context.Context) error {
	var hold <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hold:
			return nil
		case <-r.tick:
			r.show()
		case <-r.interval:
			r.log()
		case <-r.due.C:
			r.release()
		case <-r.wake.C:
			r.refill()
		case <-r.plan.again:
			r.refill()
		case <-r.plan.changed:
			settled, left := r.state()
			if settled = r.scheduleOver(settled); settled && r.phase == Ramp {
				r.enter(Hold)
				if r.cfg.End && r.outline.ends() {
					return nil
				}
				if r.cfg.Hold > 0 {
					hold = time.After(r.cfg.Hold)
				}
			}
			if settled && left == 0 && r.lost() {
				return ErrAllEnded
			}
		}
	}
}

// release lets the lanes dial the targets that are due, and sets the timer for the next one.
func (r *run) release() {
	elapsed := time.Duration(r.plan.clock() - r.began)
	all := r.cfg.Targets.Len()
	if elapsed < 0 { // StartAt
		r.due.Reset(-elapsed)
		return
	}
	if r.timeline != nil {
		r.advance(elapsed)
		return
	}
	n := min(r.cfg.Turns.before(r.cfg.Pace.DueBy(elapsed)), all)
	r.plan.allowed.Store(int64(n))
	r.each((*lane).fill)
	if n < all {
		// A timer is up to a millisecond late anyway; what falls due within one goes together.
		r.due.Reset(max(r.cfg.Pace.Due(r.cfg.Turns.event(n))-elapsed, time.Millisecond))
	}
}

// refill lets the lanes dial what they can, and sets the timer for the next target that waits to be dialed again.
func (r *run) refill() {
	var next int64
	r.each(func(a *lane, l netloop.Loop) {
		a.all(func(b *lane) {
			b.fill(l)
			next = earlier(next, b.wake())
		})
	})
	if next != 0 {
		r.wake.Reset(max(time.Duration(next-r.plan.clock()), time.Millisecond))
	}
}

// each runs do for every lane in its loop's turn, one after the other, and waits for it.
func (r *run) each(do func(*lane, netloop.Loop)) {
	done := make(chan struct{}, 1) // the engine may run do on this goroutine
	for i, a := range r.lanes {
		r.engine.Do(i, func(l netloop.Loop) {
			do(a, l)
			done <- struct{}{}
		})
		<-done
	}
}

func (r *run) enter(p Phase) {
	r.phase = p
	if p == Hold {
		r.held = time.Now()
	}
	if p == Hold && r.timeline == nil || p == Ramp && r.timeline != nil { // all of a schedule is what was asked for
		if r.timeline == nil { // a ramp of stages, or arrivals, are what is measured
			r.meter.Measure()
		}
	}
	r.show()
}

// state tells whether every target was open or has failed, and how many connections are open or on their way.
func (r *run) state() (settled bool, left int) {
	settled = true
	r.each(func(a *lane, _ netloop.Loop) {
		settled = settled && a.settled
		left += a.tally.open + a.dialing + a.shape.coming()
	})
	return settled, left
}

// show tells who watches how the run is getting on.
func (r *run) show() {
	r.add(r.cfg.Tally != nil, func(a *lane, _ netloop.Loop) { a.snapshot(r.sum) })
	r.tell()
}

// add makes r.sum anew from what each does with the lanes. Counts by due time go over from the lanes to r.sum, and to
// r.total, if they are wanted: there may be many.
func (r *run) add(due bool, each func(*lane, netloop.Loop)) {
	r.sum.Reset()
	if due && r.cfg.ByDue > 0 {
		r.sum.due = timing.NewBuckets(r.cfg.ByDue)
	}
	r.each(each)
	r.sum.began = r.began
	r.stamp()
	if r.sum.due != nil {
		_ = r.total.Merge(r.sum.due) // of the same step
	}
}

func (r *run) tell() {
	if r.cfg.Watch != nil {
		r.cfg.Watch(r.outline.Progress(r.sum, r.phase))
	}
	if r.cfg.Tally != nil {
		r.cfg.Tally(r.phase, r.sum)
	}
}

// ticks is a channel that wakes each so often, never for 0, and its end.
func ticks(every time.Duration) (<-chan time.Time, func()) {
	if every <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// log ends an interval of the log.
func (r *run) log() {
	r.add(false, func(a *lane, _ netloop.Loop) { a.snapshot(r.sum) })
	r.cfg.HDR.Add(time.Unix(0, r.plan.clock()), r.sum)
}

// finish takes the result and closes all connections. reading is what was measured of this process until the hold was over.
func (r *run) finish(reading strain.Reading) Result {
	r.phase = Drain
	r.add(true, func(a *lane, l netloop.Loop) {
		a.snapshot(r.sum)
		a.stop(l)
	})
	r.tell()
	r.cfg.HDR.Add(time.Unix(0, r.plan.clock()), r.sum)
	result := r.outline.Result(r.sum)
	result.ByDue = r.total
	result.Weigh([]strain.Reading{reading}, r.cfg.Pace)
	result.holding(r.cfg.Hold, r.held, r.ended)
	return result
}
