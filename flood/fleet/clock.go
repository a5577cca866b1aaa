package fleet

import (
	"fmt"
	"strconv"
	"time"
)

// How the clock is measured: at most so many round trips, and so long.
const (
	clockTrips = 50
	clockTime  = time.Second
)

// reading is how a worker's clock differs from the coordinator's.
type reading struct {
	offset time.Duration // what the coordinator's is ahead
	err    time.Duration // how wrong that may be
}

// measure asks for the time until it knows it well: of all round trips the shortest counts, in whose middle the other clock was
// read, give or take half of it (as NTP does, RFC 5905 section 8). An offset that is no greater than its error counts as none,
// which is exact where both clocks are one machine's. now is this machine's clock.
func measure(now func() time.Time, ask func() ([]byte, error)) (reading, error) {
	began := now()
	var best reading
	for trip := 0; trip < clockTrips && (trip < 3 || now().Sub(began) < clockTime); trip++ {
		sent := now()
		answer, err := ask()
		if err != nil {
			return reading{}, err
		}
		took := now().Sub(sent)
		theirs, err := strconv.ParseInt(string(answer), 10, 64)
		if err != nil {
			return reading{}, fmt.Errorf("%w: the time %.40q", errMessage, answer)
		}
		if r := (reading{time.Duration(theirs-sent.UnixNano()) - took/2, took/2 + 1}); trip == 0 || r.err < best.err {
			best = r
		}
	}
	if best.offset.Abs() <= best.err {
		best.offset = 0
	}
	return best, nil
}
