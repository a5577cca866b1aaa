package workers

import (
	"slices"
	"time"
)

// A connection whose SYN went to a worker that will not accept it, because it is full, dead or stuck, would wait there while others have room: the
// weights are of a moment ago. The parent has that worker's listening socket, too. It accepts the connection itself and sends it on.

const (
	handful   = 64                     // connections in one message
	sendLimit = 100 * time.Millisecond // for a message to a worker that reads slowly
)

// rehome sends on who waits with workers that will not take them: to those who have room, or, if nobody has, to a worker that runs and
// is full itself, which refuses them. Those of a worker that does not run wait for it, or for room. It tells whether there was anything to do.
func (f *Family) rehome(seats []seat) (moved bool) {
	for i := range seats {
		s := &seats[i]
		for s.queued > 0 && (s.full || !s.takes) {
			to := roomiest(seats, i)
			if to < 0 {
				break
			}
			n := min(handful, s.queued)
			if to != i {
				n = min(n, seats[to].room)
			}
			sent := f.sendOn(i, to, n)
			s.queued -= sent
			seats[to].room -= sent
			moved = moved || sent > 0
			if sent < n {
				break
			}
		}
	}
	return moved
}

// roomiest is the worker that gets what waits with worker from; -1 if nobody does.
func roomiest(seats []seat, from int) int {
	best := -1
	for i, s := range seats {
		if s.takes && s.room > 0 && (best < 0 || s.room > seats[best].room) {
			best = i
		}
	}
	if best < 0 && seats[from].takes {
		return from
	}
	return best
}

// sendOn accepts up to n connections of one worker's queue and sends them to another, and says how many those were. Who was accepted and could not
// be sent is the first of the next ones. Whom the other one does not take any more, because it dies, is lost as are those that it had.
func (f *Family) sendOn(from, to, n int) int {
	for len(f.stray) < n {
		fd, err := f.group.Accept(from)
		if err != nil || fd < 0 {
			break
		}
		f.stray = append(f.stray, fd)
	}
	fds := f.stray[:min(n, len(f.stray))]
	f.mu.Lock()
	w := f.workers[to]
	conns := w.conns
	if len(fds) == 0 || conns == nil {
		f.mu.Unlock()
		return 0
	}
	w.handed += int64(len(fds)) // before it can be told that they were taken
	f.mu.Unlock()
	if err := send(conns, fds); err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		if w.conns == conns {
			w.handed -= int64(len(fds))
		}
		return 0
	}
	for _, fd := range fds {
		shut(fd)
	}
	f.stray = slices.Delete(f.stray, 0, len(fds))
	return len(fds)
}
