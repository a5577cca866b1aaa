package msggen

import "time"

const (
	// Up to maxPrecise workers sleep by themselves, each on a thread of its own. More of them would be a crowd of threads:
	// they wait for a token instead, which the metronome, one such thread, gives out when an event of theirs is due.
	maxPrecise = 4

	// coarse is how close to a due time a timer may bring us; what is left is slept precisely, and cannot be interrupted.
	coarse = 20 * time.Millisecond
)

// waiter waits for one goroutine. It may return early: its caller looks at the clock and at the run's state again.
type waiter struct {
	run   *run
	timer *time.Timer         // stopped between waits
	sleep func(time.Duration) // precise; nil where wake does its work
	wake  chan struct{}       // given a token by the metronome; nil where sleep does its work
}

func newWaiter(r *run) waiter {
	timer := time.NewTimer(never)
	timer.Stop()
	return waiter{run: r, timer: timer}
}

// until waits for due or end, whichever comes first, or for gone to be closed, or for the run to stop.
func (w *waiter) until(due, end time.Duration, gone <-chan struct{}) {
	left := end - w.run.elapsed()
	if w.wake == nil {
		left = min(due, end) - w.run.elapsed()
		if left <= coarse {
			if left > 0 {
				w.sleep(left)
			}
			return
		}
		left -= coarse / 2
	}
	w.timer.Reset(left)
	defer w.timer.Stop()
	select {
	case <-w.timer.C:
	case <-w.wake:
	case <-gone:
	case <-w.run.soft.Done():
	}
}

// listen waits for news, and at most until the time at. It is not precise. A run that is given up ends it, as stop does.
func (w *waiter) listen(at time.Duration, news <-chan struct{}, stop <-chan struct{}) {
	w.timer.Reset(at - w.run.elapsed())
	defer w.timer.Stop()
	select {
	case <-w.timer.C:
	case <-w.wake:
	case <-news:
	case <-stop:
	case <-w.run.hard.Done():
	}
}

// pass waits for d, and returns false as soon as the run stops or is given up.
func (w *waiter) pass(d time.Duration) bool {
	w.timer.Reset(d)
	defer w.timer.Stop()
	select {
	case <-w.timer.C:
		return !w.run.stopping()
	case <-w.run.soft.Done():
	case <-w.run.hard.Done():
	}
	return false
}

// metronome gives each worker a token when an event of its share falls due, until the run stops or its workers are done.
// A worker that is busy keeps one token: it takes all events that are due by then.
func (r *run) metronome(workers []*worker, done <-chan struct{}) {
	wait := newWaiter(r)
	wait.sleep = r.sleep()
	schedule := view(r.schedule)
	for n := uint64(0); n < r.total && !r.stopping(); {
		select {
		case <-done:
			return
		default:
		}
		now := r.elapsed()
		if due := schedule.Due(n); due > now {
			wait.until(due, never, done)
			continue
		}
		last := min(schedule.DueBy(now), r.total)
		for n = max(n, last-min(last, r.workers)); n < last; n++ { // the last W events wake everybody
			select {
			case workers[n%r.workers].wait.wake <- struct{}{}:
			default:
			}
		}
	}
}
