package flood

import (
	"fmt"
	"slices"
)

// Share is the part of a run that one of several processes takes.
type Share struct {
	From, To int    // the targets from From to before To
	Turns    Turns  // their events in the schedule that all shares have together
	Rotation uint64 // for Config.Rotation: no two shares use one source address, if all have at least this machine's
}

// Divide cuts n targets into one share for each process, as even as the room that each has allows. It fails where the room of
// all is too small, or a process would get no target. The shares lie in the order of the processes; rotation is where the
// first begins.
func Divide(n int, room []int, rotation uint64) ([]Share, error) {
	if len(room) > n {
		return nil, fmt.Errorf("flood: %d processes for %d targets; give each at least one", len(room), n)
	}
	sizes := make([]int, len(room))
	order := make([]int, len(room))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return room[a] - room[b] })
	left := n
	for k, i := range order {
		rest := len(order) - k
		sizes[i] = min(max(room[i], 0), (left+rest-1)/rest)
		left -= sizes[i]
	}
	if left > 0 || slices.Contains(sizes, 0) {
		return nil, fmt.Errorf("flood: %d targets for processes with room for %v", n, room)
	}
	shares := make([]Share, len(room))
	from := 0
	for i, size := range sizes {
		// A share that begins within a thousand has the whole address, and so has the one before it: hence + i.
		shares[i] = Share{From: from, To: from + size, Rotation: rotation + uint64(from/perOrigin+i)}
		shares[i].Turns = turnsOf(sizes, i)
		from += size
	}
	return shares, nil
}

// Turns are the events of a schedule that are one run's where several share it: in each round, every run that still has
// targets takes the next event. Nil are all events.
type Turns []Turn

// Turn says that from target From on, the events are Event, Event+Every, Event+2*Every and so on.
type Turn struct {
	From  int    `json:"from"`
	Event uint64 `json:"event"`
	Every uint64 `json:"every"`
}

// turnsOf are the turns of run i among runs of these sizes. They change where a shorter run has come to its end.
func turnsOf(sizes []int, i int) (t Turns) {
	ends := slices.Compact(slices.Sorted(slices.Values(sizes)))
	round, event := 0, uint64(0)
	for _, end := range ends {
		if end > sizes[i] {
			break
		}
		var before, all uint64 // runs that still have targets in this round
		for k, size := range sizes {
			if size > round {
				if all++; k < i {
					before++
				}
			}
		}
		t = append(t, Turn{From: round, Event: event + before, Every: all})
		event += uint64(end-round) * all
		round = end
	}
	return t
}

// check refuses what turnsOf never makes, as it may come from another process.
func (t Turns) check() error {
	for i, turn := range t {
		if i == 0 && turn.From != 0 || i > 0 && turn.From <= t[i-1].From || turn.From > maxTargets ||
			turn.Event > maxTargets || turn.Every == 0 || turn.Every > maxTargets {
			return fmt.Errorf("flood: %+v are no turns of a schedule", []Turn(t))
		}
	}
	return nil
}

// event is the number of target k's event in the schedule.
func (t Turns) event(k int) uint64 {
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].From <= k {
			return t[i].Event + uint64(k-t[i].From)*t[i].Every
		}
	}
	return uint64(k)
}

// before is how many targets have an event below n.
func (t Turns) before(n uint64) int {
	if len(t) == 0 {
		return int(min(n, maxTargets))
	}
	k := 0
	for i, turn := range t {
		if turn.Event >= n {
			break
		}
		k = turn.From + int(min((n-turn.Event-1)/turn.Every+1, maxTargets))
		if i+1 < len(t) {
			k = min(k, t[i+1].From)
		}
	}
	return k
}
