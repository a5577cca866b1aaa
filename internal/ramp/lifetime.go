package ramp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Lifetime is how long connections live: Mean, give or take up to Spread, each time in between as likely as the other. The zero Lifetime is no bound.
type Lifetime struct{ Mean, Spread time.Duration }

// ParseLifetime reads a lifetime: "60s", "60s±20s" or, for keyboards, "60s+-20s". Errors quote s and name the place in it.
func ParseLifetime(s string) (Lifetime, error) {
	mean, spread, given := strings.Cut(s, "±")
	if !given {
		mean, spread, given = strings.Cut(s, "+-")
	}
	d, err := time.ParseDuration(mean)
	if err != nil || d <= 0 || d > MaxLength {
		return Lifetime{}, fmt.Errorf("%q: %q at 1 is no time; give one with its unit, such as 60s, or 60s±20s", s, mean)
	}
	l := Lifetime{Mean: d}
	if !given {
		return l, nil
	}
	at := len([]rune(s)) - len([]rune(spread)) + 1
	if l.Spread, err = time.ParseDuration(spread); err != nil || l.Spread < 0 {
		return Lifetime{}, fmt.Errorf("%q: %q at %d is no time; give one with its unit, such as 20s", s, spread, at)
	}
	if l.Spread > l.Mean {
		return Lifetime{}, fmt.Errorf("%q: %q at %d is more than the %v that it is taken from; give at most as much", s, spread, at, l.Mean)
	}
	return l, nil
}

// None reports whether there is no bound.
func (l Lifetime) None() bool { return l.Mean <= 0 }

// Draw is one connection's lifetime; a nanosecond at least.
func (l Lifetime) Draw(random *rand.Rand) time.Duration {
	d := l.Mean - l.Spread
	if l.Spread > 0 {
		d += time.Duration(random.Int64N(int64(l.Spread)*2 + 1))
	}
	return max(d, 1)
}

// String is the form that ParseLifetime reads; empty for none.
func (l Lifetime) String() string {
	switch {
	case l.None():
		return ""
	case l.Spread == 0:
		return l.Mean.String()
	}
	return l.Mean.String() + "±" + l.Spread.String()
}
