package flood

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Manner is how a subscriber behaves, see the constants.
type Manner uint8

// The manners. All but the first come back about a second after they have ended, or were ended.
const (
	Behaves   Manner = iota
	Slow             // reads so many bytes a second, and has room for few
	Stall            // asks, and never reads
	Abort            // reads for a while, then resets the connection
	HalfOpen         // connects and never says a word
	Slowloris        // sends its request a byte at a time
	manners
)

// String is the manner's name, as its flag and the JSON result have it.
func (m Manner) String() string {
	return [...]string{"behaves", "slow", "stall", "abort", "half-open", "slowloris"}[m]
}

// Misconduct is a share of a run's connections, and how its manner does what it does.
type Misconduct struct {
	Percent float64       `json:"percent"`
	Rate    int64         `json:"rate,omitzero"`     // Slow: bytes a second
	Every   time.Duration `json:"every_ns,omitzero"` // Abort: from opening to resetting, in the mean; Slowloris: between two bytes
}

// Defaults of a Misconduct, as ParseMisconduct makes it.
const (
	DefaultSlowRate       = 1024            // bytes a second
	DefaultAbortAfter     = 5 * time.Second // it is drawn evenly, up to twice as long
	DefaultSlowlorisEvery = time.Second
)

// Bounds of a Misconduct.
const (
	maxSlowRate = 1 << 30
	leastEvery  = time.Millisecond
)

// Manners say which of a run's connections misbehave: Of their number, so many percent each way, to one at least; Seed draws which. The zero Manners
// is nobody. Where several processes share a run, First is the number of this one's first connection among all of theirs, and Whole is the number
// of all; otherwise both are 0.
type Manners struct {
	By    [manners - 1]Misconduct `json:"by"` // by Manner, from Slow on
	Seed  uint64                  `json:"seed"`
	First int                     `json:"first"`
	Whole int                     `json:"whole"`
}

// Set makes c what is done in the manner m.
func (s *Manners) Set(m Manner, c Misconduct) { s.By[m-1] = c }

// Any reports whether somebody misbehaves.
func (s Manners) Any() bool { return s.By != [manners - 1]Misconduct{} }

// Errors of a Misconduct's text. Each reads on from the text itself.
var (
	errPercent = errors.New("give a share of all connections, such as 5%")
	errRate    = errors.New("give bytes a second, such as 1KiB/s")
	errEvery   = errors.New("give a time, such as 5s")
)

// ParseMisconduct reads the value of a manner's flag: a share such as 5%, and for some of them behind an @ how: Slow a rate such as 1KiB/s, Abort and Slowloris a
// time. Its errors read on from the flag.
func ParseMisconduct(m Manner, s string) (c Misconduct, err error) {
	share, how, given := strings.Cut(s, "@")
	number, percent := strings.CutSuffix(share, "%")
	if c.Percent, err = strconv.ParseFloat(number, 64); err != nil || !percent || !(c.Percent > 0 && c.Percent < 100) {
		return c, fmt.Errorf("%q: %q at 0 is no share of more than 0%% and less than 100%%; %w", s, share, errPercent)
	}
	at := len(share) + len("@")
	switch m {
	case Slow:
		c.Rate = DefaultSlowRate
		if given {
			if c.Rate, err = byteRate(how); err != nil {
				return c, fmt.Errorf("%q: %q at %d is no rate of 1B/s to 1GiB/s; %w", s, how, at, errRate)
			}
		}
	case Abort, Slowloris:
		if c.Every = DefaultAbortAfter; m == Slowloris {
			c.Every = DefaultSlowlorisEvery
		}
		if given {
			if c.Every, err = time.ParseDuration(how); err != nil || c.Every < leastEvery || c.Every > maxWait {
				return c, fmt.Errorf("%q: %q at %d is no time from %v to %v; %w", s, how, at, leastEvery, maxWait, errEvery)
			}
		}
	default:
		if given {
			return c, fmt.Errorf("%q: %q at %d is one word too many; %w", s, "@"+how, at-1, errPercent)
		}
	}
	return c, nil
}

// byteRate reads "1KiB/s", "500B/s", "1.5MB/s".
func byteRate(s string) (int64, error) {
	s, ok := strings.CutSuffix(s, "/s")
	for _, u := range []struct {
		name string
		of   float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}} {
		number, is := strings.CutSuffix(s, u.name)
		if !is {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if n *= u.of; !ok || err != nil || !(n >= 1 && n <= maxSlowRate) {
			return 0, errRate
		}
		return int64(n), nil
	}
	return 0, errRate
}

// Check refuses what ParseMisconduct never makes, as it may come from another process, and shares that leave nobody of targets connections who behaves.
func (s Manners) Check(targets int) error {
	if !s.Any() {
		return nil
	}
	for i, c := range s.By {
		m := Manner(i + 1)
		if c == (Misconduct{}) {
			continue
		}
		if !(c.Percent > 0 && c.Percent < 100) || (m == Slow) != (c.Rate > 0) || c.Rate > maxSlowRate ||
			(m == Abort || m == Slowloris) != (c.Every >= leastEvery) || c.Every < 0 || c.Every > maxWait {
			return fmt.Errorf("flood: %+v is no way to be %v", c, m)
		}
	}
	if s.First < 0 || s.Whole < 0 || s.Whole > maxTargets || s.Whole > 0 && s.First+targets > s.Whole {
		return fmt.Errorf("flood: connections %d to %d of %d", s.First, s.First+targets, s.Whole)
	}
	if all := s.whole(targets); s.bad(all) >= all {
		return fmt.Errorf("flood: of %d connections %d would misbehave, which leaves none to be measured; ask for smaller shares, or for more connections", all, s.bad(all))
	}
	return nil
}

func (s Manners) whole(targets int) int {
	if s.Whole > 0 {
		return s.Whole
	}
	return targets
}

// count is how many of n connections have the manner m.
func (s Manners) count(m Manner, n int) int {
	share := s.By[m-1].Percent
	if share == 0 {
		return 0
	}
	return max(int(math.Round(share*float64(n)/100)), 1)
}

// bad is how many of n connections misbehave.
func (s Manners) bad(n int) (sum int) {
	for m := Slow; m < manners; m++ {
		sum += s.count(m, n)
	}
	return sum
}

// cast says who has which manner. The zero cast behaves.
type cast struct {
	first  uint64
	half   uint   // bits of half a number of a connection
	n      uint64 // connections
	seed   uint64
	places [manners - 1]uint64 // the first places of the shuffled connections are of the first manner, those up to here
}

// cast deals the manners out among the connections of a run with so many targets.
func (s Manners) cast(targets int) (c cast) {
	if !s.Any() {
		return c
	}
	n := s.whole(targets)
	c = cast{first: uint64(s.First), n: uint64(n), seed: s.Seed, half: uint(bits.Len64(uint64(n-1))+1) / 2}
	sum := 0
	for m := Slow; m < manners; m++ {
		sum += s.count(m, n)
		c.places[m-1] = uint64(sum)
	}
	return c
}

// of is the manner of connection i of this process.
func (c *cast) of(i int) Manner {
	if c.n == 0 {
		return Behaves
	}
	place := c.place(c.first + uint64(i))
	for m, end := range c.places {
		if place < end {
			return Manner(m + 1)
		}
	}
	return Behaves
}

// place is where connection i stands when all were shuffled by the seed: a permutation that needs no memory (a Feistel network over the next power of
// four, walked until it leads back below n), so that each share is exact and spread over all targets.
func (c *cast) place(i uint64) uint64 {
	mask := uint64(1)<<c.half - 1
	for {
		left, right := i>>c.half, i&mask
		for round := range uint64(4) {
			left, right = right, left^mix(c.seed^right<<8^round)&mask
		}
		if i = left<<c.half | right; i < c.n {
			return i
		}
	}
}

// mix is SplitMix64's output function: each bit of x changes about half of the bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
