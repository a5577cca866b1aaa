package workers

import (
	"slices"
	"time"
)

// How often the counters are looked at. Connections come at tens of thousands a second: with less room than a calm pause may take, it is
// rather done often, as long as they come.
const (
	steerCalm = 50 * time.Millisecond
	steerFull = 2 * time.Millisecond
	calmRoom  = 2048
)

// seat is what steering knows of a worker.
type seat struct {
	takes  bool // it runs, answers, and does not drain
	full   bool // it has all that it may have, and accepts nobody
	queued int  // connections that wait in its queue
	room   int  // connections that it could still take; those that are on their way to it have theirs already
	max    int  // connections that it may have at once
	out    bool // it had no room, and has not got enough again
}

// low is the room below which a worker leaves the group: what may come until the counters are looked at again.
func (s *seat) low() int { return max(1, s.max/128) }

// look decides whether the worker is out. Who left comes back only with twice the room, or half of all it has.
func (s *seat) look() {
	switch {
	case s.room < s.low():
		s.out = true
	case s.room >= min(2*s.low(), max(1, s.max/2)):
		s.out = false
	}
}

// weights says in which proportion the workers get new connections.
//
// Workers with comfortable room, a quarter of what they may have, get the same; below that, what they get goes down with their room, so that all
// are full at the same time and nobody is refused while another has room. When none is left in the group, the last places are given
// away in proportion. When there are none either, everybody who runs may refuse: an answer is better than silence. When nobody
// runs, connections wait in all queues.
func weights(seats []seat) []int {
	w := make([]int, len(seats))
	comfort := 1
	for _, s := range seats {
		comfort = max(comfort, s.max/4)
	}
	for _, of := range []func(s seat) int{
		func(s seat) int {
			if s.out {
				return 0
			}
			return min(s.room, comfort)
		},
		func(s seat) int { return s.room },
		func(seat) int { return 1 },
	} {
		for i, s := range seats {
			if s.takes {
				w[i] = max(0, of(s))
			}
		}
		if slices.Max(w) > 0 {
			return w
		}
	}
	return w
}

// pause is how long the counters may be left alone. before are the seats as they were at the last look.
func pause(before, seats []seat) time.Duration {
	for i, s := range seats {
		if s.takes && s.room < calmRoom && before[i].room > s.room {
			return steerFull
		}
	}
	return steerCalm
}

// steer gives new connections to those who have room, until the family ends.
func (f *Family) steer() {
	seats := make([]seat, len(f.workers))
	failed := false
	for wait := time.Duration(0); ; {
		select {
		case <-time.After(wait):
		case <-f.resteer:
		case <-f.stop:
			return
		}
		before := slices.Clone(seats)
		f.look(seats)
		wait = pause(before, seats)
		if f.rehome(seats) {
			wait = steerFull
		}
		if err := f.steerBy(weights(seats)); err != nil && !failed {
			failed = true
			f.cfg.Log.Error("workers: who gets a new connection cannot be chosen; the kernel spreads them blindly", "error", err)
		}
	}
}

// look reads how much room each worker has.
func (f *Family) look(seats []seat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, w := range f.workers {
		s := &seats[i]
		s.takes = w.state == running
		s.room, s.max = w.page.Room()
		s.full = s.room <= 0
		s.queued, _ = f.group.Waiting(i)
		s.room -= int(w.handed - w.page.Taken())
		if !s.full {
			s.room -= s.queued
		}
		s.look()
	}
}

// steerBy makes the weights those in force, unless they are.
func (f *Family) steerBy(weights []int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	same := true
	for i, w := range f.workers {
		same = same && w.weight == weights[i]
		w.weight = weights[i]
	}
	if same {
		return nil
	}
	return f.group.Steer(weights)
}
