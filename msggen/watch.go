package msggen

import (
	"fmt"
	"math"
	"slices"
	"time"

	"cometctl/internal/pace"
)

// watch tells the progress and gives the run up when it must not go on. It returns the time at which the run was told to
// stop, or never.
func (r *run) watch(done <-chan struct{}) (stopped time.Duration) {
	stopped = never
	look := time.NewTicker(max(r.cfg.Grace/8, time.Millisecond))
	defer look.Stop()
	var tell <-chan time.Time
	if r.cfg.Progress != nil && r.cfg.ProgressEvery > 0 {
		t := time.NewTicker(r.cfg.ProgressEvery)
		defer t.Stop()
		tell = t.C
	}
	told, soft, schedule := Progress{}, r.soft.Done(), view(r.schedule)
	moved, count := time.Duration(0), uint64(0) // when something last moved, and the sum of what moves
	for {
		select {
		case <-done:
			if soft != nil && r.soft.Err() != nil {
				stopped = r.elapsed()
			}
			return stopped
		case <-soft:
			stopped, soft = r.elapsed(), nil
		case <-tell:
			told = r.progress(told)
			r.cfg.Progress(told)
		case <-look.C:
			now := r.elapsed()
			if c := r.generated.Load() + r.accepted.Load() + r.bad.Load(); c != count {
				moved, count = now, c
			}
			r.giveUp(schedule, now, moved, stopped)
		}
	}
}

// giveUp ends the run when it was told to stop a Grace ago, when its Duration was over a Grace ago, or when nothing more
// falls due and nothing has moved for a Grace.
func (r *run) giveUp(schedule pace.Schedule, now, moved, stopped time.Duration) {
	grace := r.cfg.Grace
	over := r.end // when the last event falls due
	switch {
	case stopped != never && now-stopped >= grace, r.end != never && now-r.end >= grace:
		r.give(errGaveUp(grace))
		return
	case now-moved < grace:
		return
	}
	if r.total != math.MaxUint64 && (!r.unlimited || r.end == never) {
		over = min(over, schedule.Due(r.total-1))
	}
	if now-over >= grace {
		r.give(errGaveUp(grace))
	}
}

// errGaveUp is what ends the connections of a run that is given up: how long it has waited.
type errGaveUp time.Duration

func (e errGaveUp) Error() string {
	return fmt.Sprintf("the server did not take or answer everything within %v", time.Duration(e))
}

// incomplete is the error of a run with this result, or nil. Who interrupts a run leaves messages unsent; that is no
// failure as long as every worker had its connection.
func (r *run) incomplete(res Result, workers []*worker) error {
	lost := res.Bad + res.Unconfirmed
	down := slices.ContainsFunc(workers, func(w *worker) bool { return w.broke != nil })
	if down || r.soft.Err() == nil || r.fatal != nil {
		lost += res.Unsent
	}
	if lost == 0 {
		return nil
	}
	err := fmt.Errorf("msggen: %w: %d unconfirmed, %d refused as bad, %d never sent",
		ErrIncomplete, res.Unconfirmed, res.Bad, res.Unsent)
	switch {
	case r.fatal != nil:
		return fmt.Errorf("%w; %w", err, r.fatal)
	case r.first == nil:
		return err
	case r.last.Error() == r.first.Error():
		return fmt.Errorf("%w; %w", err, r.first)
	}
	return fmt.Errorf("%w; first: %w; last: %w", err, r.first, r.last)
}
