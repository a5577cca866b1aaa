// Package offset measures how this machine's clock differs from another one, by asking for the time there. It has no connection of its
// own but for HTTP (http.go): the workers of a flood ask over NATS.
//
// Nothing here is shared; any goroutine may measure.
package offset

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// How a clock is measured: at most so many round trips, and so long.
const (
	trips   = 50
	tripsIn = time.Second
)

// ErrAnswer is returned, wrapped, where what was answered is no time.
var ErrAnswer = errors.New("offset: an answer that is no time")

// Reading is how a clock differs from this machine's.
type Reading struct {
	Offset time.Duration // what the other is ahead; 0 where it may be none
	Error  time.Duration // how wrong that may be
}

// Measure asks for the time, in ns since the epoch and decimal, until it knows it well: of all round trips the shortest counts, in whose middle
// the other clock was read, give or take half of it (as NTP does, RFC 5905 section 8). An offset that is no greater than its error counts as none,
// which is exact where both clocks are one machine's. now is this machine's clock.
func Measure(now func() time.Time, ask func() ([]byte, error)) (Reading, error) {
	began := now()
	var best Reading
	for trip := 0; trip < trips && (trip < 3 || now().Sub(began) < tripsIn); trip++ {
		sent := now()
		answer, err := ask()
		if err != nil {
			return Reading{}, err
		}
		took := now().Sub(sent)
		theirs, err := strconv.ParseInt(string(answer), 10, 64)
		if err != nil {
			return Reading{}, fmt.Errorf("%w: %.40q", ErrAnswer, answer)
		}
		if r := (Reading{time.Duration(theirs-sent.UnixNano()) - took/2, took/2 + 1}); trip == 0 || r.Error < best.Error {
			best = r
		}
	}
	if best.Offset.Abs() <= best.Error {
		best.Offset = 0
	}
	return best, nil
}

// And is the reading of a clock that was measured twice, before a run and after it: what it has drifted by meanwhile is a part of the error of
// the first.
func (r Reading) And(later Reading) Reading {
	drift := (later.Offset - r.Offset).Abs()
	if drift <= r.Error+later.Error { // no more than the readings differ by
		drift = 0
	}
	return Reading{r.Offset, max(r.Error, drift+later.Error)}
}
