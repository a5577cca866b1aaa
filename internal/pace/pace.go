// Package pace says when events are due. It has no clock: a schedule is arithmetic on durations since its start, so its
// tests are tables, and whoever sleeps, measures and sends does so elsewhere.
//
// Event n (n counts from 0) of a schedule is due n/rate after its start, whatever happened to the events before it. That
// is what keeps a generator honest when the other side stalls: the events that it missed are still due at their own time,
// and their lateness shows (no coordinated omission). The arithmetic is integer and 128 bits wide, so that 3/s or 333333/s
// are as exact after a day as after a second: each due time is the exact one, rounded down to a nanosecond.
//
// Several workers share one schedule by taking turns: worker w of W owns the events w, w+W, w+2W, and so on.
//
// There are three schedules: a Rate; Steps (steps.go, stepsparse.go), rates and ramps (slope.go) that follow each other, as exact as a
// Rate, and if wanted in bursts; and Poisson (poisson.go), the same rates with random arrivals.
//
// A Rate and a Steps are plain values; any goroutine may use them. Poisson remembers, and has a View for each goroutine.
package pace

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Rate is a schedule of Events in each Per, evenly spread. The zero Rate is unlimited: every event is due at once.
type Rate struct {
	Events uint64        // how many; 0 means unlimited
	Per    time.Duration // in how long; positive unless Events is 0
}

// Every is the schedule of one event each d, the wait of the article's programs. Every(0) is unlimited; a negative d is
// taken as 0, ParseInterval is where one is refused.
func Every(d time.Duration) Rate {
	if d <= 0 {
		return Rate{}
	}
	return Rate{Events: 1, Per: d}
}

// Unlimited reports whether every event is due at once.
func (r Rate) Unlimited() bool { return r.Events == 0 || r.Per <= 0 }

// Times is the schedule of n such schedules together, evenly interleaved: what n workers of one interval each make.
func (r Rate) Times(n uint64) Rate {
	if hi, lo := bits.Mul64(r.Events, n); hi == 0 {
		return Rate{Events: lo, Per: r.Per}
	}
	return Rate{Events: math.MaxUint64, Per: r.Per}
}

// Due is the time from the start at which event n is due, n counting from 0. Times beyond time.Duration (292 years) are its
// maximum.
func (r Rate) Due(n uint64) time.Duration {
	if r.Unlimited() {
		return 0
	}
	hi, lo := bits.Mul64(n, uint64(r.Per))
	if hi >= r.Events {
		return math.MaxInt64
	}
	due, _ := bits.Div64(hi, lo, r.Events)
	return time.Duration(min(due, math.MaxInt64))
}

// DueBy is the number of events that are due at the time elapsed since the start or before: Due(n) <= elapsed for exactly
// the events n < DueBy(elapsed). It is 0 before the start and the maximum where the rate is unlimited.
func (r Rate) DueBy(elapsed time.Duration) uint64 {
	if elapsed < 0 {
		return 0
	}
	if r.Unlimited() {
		return math.MaxUint64
	}
	// Due rounds down, so event n is due by elapsed when n*Per/Events < elapsed+1 without rounding.
	hi, lo := bits.Mul64(uint64(elapsed)+1, r.Events)
	if hi >= uint64(r.Per) {
		return math.MaxUint64
	}
	n, rest := bits.Div64(hi, lo, uint64(r.Per))
	if rest > 0 {
		n++
	}
	return n
}

// PerSecond is the rate in events per second, and 0 where it is unlimited.
func (r Rate) PerSecond() float64 {
	if r.Unlimited() {
		return 0
	}
	return float64(r.Events) / r.Per.Seconds()
}

// units are the words that may stand for a whole unit of time after the slash of a rate.
var units = [...]struct {
	word string
	per  time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"ms", time.Millisecond}}

// String is the form that Parse reads: "1000/s", "30/m", "1/10ms", "unlimited".
func (r Rate) String() string {
	if r.Unlimited() {
		return "unlimited"
	}
	for _, u := range units {
		if r.Per == u.per {
			return fmt.Sprintf("%d/%s", r.Events, u.word)
		}
	}
	return fmt.Sprintf("%d/%v", r.Events, r.Per)
}

// Parse reads a rate: "1000" and "1000/s" per second, "30/m", "5/h", "2.5/s", "100/10s" (any Go duration after the slash),
// and "0" or "unlimited" for no limit. The fastest is one event a nanosecond. Errors name the value and the way out.
func Parse(s string) (Rate, error) {
	if s == "unlimited" {
		return Rate{}, nil
	}
	number, unit, slash := strings.Cut(s, "/")
	per := time.Second
	if slash {
		var ok bool
		if per, ok = parseUnit(unit); !ok {
			return Rate{}, fmt.Errorf("%q is no rate: after the slash stands a unit (s, m, h) or a duration (10s)", s)
		}
	}
	events, scale, ok := parseDecimal(number)
	if !ok {
		return Rate{}, fmt.Errorf("%q is no rate: give a number of events per second (1000) or per unit (1000/s, 30/m), 0 for no limit",
			s)
	}
	if events == 0 {
		return Rate{}, nil
	}
	for ; scale > 1 && events%10 == 0; scale /= 10 {
		events /= 10
	}
	if scale > math.MaxInt64/uint64(per) {
		return Rate{}, fmt.Errorf("%q is no rate: too many digits after the point", s)
	}
	per *= time.Duration(scale)
	if events > uint64(per) {
		return Rate{}, fmt.Errorf("%q is no rate: the fastest is 1000000000/s, one a nanosecond", s)
	}
	return Rate{Events: events, Per: per}, nil
}

// ParseInterval reads the other form of a schedule, the time between two events ("10ms"); "0" is unlimited.
func ParseInterval(s string) (Rate, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return Rate{}, fmt.Errorf("%q is no interval: give the time between two events with its unit (10ms, 1s), 0 for no wait", s)
	}
	return Every(d), nil
}

func parseUnit(s string) (time.Duration, bool) {
	for _, u := range units {
		if s == u.word {
			return u.per, true
		}
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// parseDecimal reads digits with at most nine of them after a point; the value is n/scale.
func parseDecimal(s string) (n, scale uint64, ok bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole == "" || len(fraction) > 9 || strings.HasSuffix(s, ".") {
		return 0, 0, false
	}
	scale = 1
	for range fraction {
		scale *= 10
	}
	for _, c := range whole + fraction {
		if c < '0' || c > '9' {
			return 0, 0, false // ParseUint takes no sign either, but is asked about digits only
		}
	}
	n, err := strconv.ParseUint(whole+fraction, 10, 64)
	return n, scale, err == nil
}
