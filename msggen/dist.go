package msggen

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Dist is how messages are spread over the ids 1 to N. The zero Dist is uniform.
type Dist struct {
	Kind DistKind
	Zipf float64 // the exponent of DistZipf; 0: DefaultZipf
	Hot  Hot     // of DistHot; zero: 1%:90%
}

// DistKind names a distribution of ids.
type DistKind string

// The distributions of ids.
const (
	DistUniform    DistKind = "uniform"    // each id with the same probability
	DistZipf       DistKind = "zipf"       // id k with a probability in proportion to k to the power of minus Zipf
	DistSequential DistKind = "sequential" // message n goes to id 1 + n mod N
	DistHot        DistKind = "hot"        // most messages go to the first few ids, see Hot
)

// DefaultZipf is the exponent of DistZipf where none is given.
const DefaultZipf = 1.1

// Hot says which share of the messages goes to which share of the ids, the first ones. Among the hot ids, and among the
// others, each has the same probability. Shares are in billionths.
type Hot struct{ IDs, Messages uint64 }

const hotWhole = 1_000_000_000

// ParseDist reads the name of a distribution.
func ParseDist(name string) (DistKind, error) {
	for _, k := range []DistKind{DistUniform, DistZipf, DistSequential, DistHot} {
		if name == string(k) {
			return k, nil
		}
	}
	return "", fmt.Errorf("%q is no distribution of ids; there are uniform, zipf, sequential and hot", name)
}

// ParseHot reads "1%:90%": 90 % of the messages go to 1 % of the ids. Errors name the text and point at the place.
func ParseHot(text string) (h Hot, err error) {
	ids, messages, ok := strings.Cut(text, ":")
	if !ok {
		return h, fmt.Errorf("%q: give a share of the ids, a colon, and the share of the messages that goes to them, such as 1%%:90%%", text)
	}
	if h.IDs, err = parseShare(ids); err != nil {
		return h, fmt.Errorf("%q: %q at 1 is %w", text, ids, err)
	}
	if h.Messages, err = parseShare(messages); err != nil {
		return h, fmt.Errorf("%q: %q at %d is %w", text, messages, len(ids)+2, err)
	}
	return h, nil
}

var errShare = errors.New("no share: give a number above 0 and below 100 with a percent sign, at most seven digits behind the point")

// parseShare reads a percentage, exactly.
func parseShare(text string) (uint64, error) {
	number, ok := strings.CutSuffix(text, "%")
	whole, fraction, point := strings.Cut(number, ".")
	if !ok || whole == "" || point && fraction == "" || len(whole) > 2 || len(fraction) > 7 {
		return 0, errShare
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", 7-len(fraction)), 10, 64)
	if err != nil || n == 0 {
		return 0, errShare
	}
	return n, nil
}

// String is the form that ParseHot reads.
func (h Hot) String() string {
	share := func(n uint64) string { return strconv.FormatFloat(float64(n)/(hotWhole/100), 'f', -1, 64) + "%" }
	return share(h.IDs) + ":" + share(h.Messages)
}

// String is for a result: "uniform", "zipf 1.1", "hot 1%:90%".
func (d Dist) String() string {
	d = d.whole()
	switch d.Kind {
	case DistZipf:
		return fmt.Sprintf("zipf %g", d.Zipf)
	case DistHot:
		return "hot " + d.Hot.String()
	}
	return string(d.Kind)
}

// whole is d with its defaults.
func (d Dist) whole() Dist {
	switch {
	case d.Kind == "":
		d.Kind = DistUniform
	case d.Kind == DistZipf && d.Zipf == 0:
		d.Zipf = DefaultZipf
	case d.Kind == DistHot && d.Hot == (Hot{}):
		d.Hot = Hot{IDs: hotWhole / 100, Messages: hotWhole / 100 * 90}
	}
	return d
}

// check is Config.Check for the distribution over so many ids.
func (d Dist) check(ids int) error {
	d = d.whole()
	switch d.Kind {
	case DistZipf:
		if !(d.Zipf > 0 && d.Zipf <= 10) {
			return fmt.Errorf("--zipf %v: the exponent must be above 0 and at most 10", d.Zipf)
		}
	case DistHot:
		if d.Hot.IDs == 0 || d.Hot.Messages == 0 || d.Hot.IDs >= hotWhole || d.Hot.Messages >= hotWhole {
			return fmt.Errorf("--hot %v: both shares must be above 0 and below 100%%", d.Hot)
		}
		if ids < 2 {
			return fmt.Errorf("--hot %v with --ids %d: hot ids and others take two ids at least", d.Hot, ids)
		}
	case DistUniform, DistSequential:
	default:
		_, err := ParseDist(string(d.Kind))
		return fmt.Errorf("--dist %w", err)
	}
	return nil
}

// chooser draws ids with one distribution. It allocates nothing, and a draw takes the same time for ten ids and a million.
type chooser struct {
	kind DistKind
	ids  uint64
	rng  *rand.Rand
	hot  uint64 // ids
	most uint64 // of hotWhole draws, how many are hot
	zipf zipf
}

func newChooser(d Dist, ids uint64, rng *rand.Rand) chooser {
	d = d.whole()
	c := chooser{kind: d.Kind, ids: ids, rng: rng}
	switch d.Kind {
	case DistZipf:
		c.zipf = newZipf(ids, d.Zipf)
	case DistHot:
		// The share of the ids, rounded, of 2^30 ids at most: it fits. Neither side may be empty.
		c.hot = min(max((ids*d.Hot.IDs+hotWhole/2)/hotWhole, 1), ids-1)
		c.most = d.Hot.Messages
	}
	return c
}

// draw is whom event n of the run goes to: the id that is one more.
func (c *chooser) draw(n uint64) uint64 {
	switch c.kind {
	case DistSequential:
		return n % c.ids
	case DistZipf:
		return c.zipf.draw(c.rng)
	case DistHot:
		if c.rng.Uint64N(hotWhole) < c.most {
			return c.rng.Uint64N(c.hot)
		}
		return c.hot + c.rng.Uint64N(c.ids-c.hot)
	}
	return c.rng.Uint64N(c.ids)
}

// zipf draws k from 1 to n with a probability in proportion to k^-s, for any s above 0, by rejection-inversion: W. Hörmann and
// G. Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", ACM TOMACS 6(3), 1996. It has no
// table, and needs 1.1 attempts in the mean. (math/rand's Zipf wants s above 1.)
type zipf struct {
	s         float64
	last      uint64  // n
	from, to  float64 // of the integral, between which is drawn
	threshold float64 // how close to an integer a number from the integral is taken without a further look
}

func newZipf(n uint64, s float64) zipf {
	z := zipf{s: s, last: n}
	z.from = z.integral(1.5) - 1
	z.to = z.integral(float64(n) + 0.5)
	z.threshold = 2 - z.inverse(z.integral(2.5)-z.weight(2))
	return z
}

// weight is x^-s.
func (z *zipf) weight(x float64) float64 { return math.Exp(-z.s * math.Log(x)) }

// integral is that of weight from 1 to x: (x^(1-s)-1)/(1-s), and log x where s is 1.
func (z *zipf) integral(x float64) float64 {
	log := math.Log(x)
	return log * ratio(math.Expm1, (1-z.s)*log)
}

// inverse is the x whose integral is y.
func (z *zipf) inverse(y float64) float64 {
	t := max(y*(1-z.s), -1) // below -1 by rounding only
	return math.Exp(y * ratio(math.Log1p, t))
}

// ratio is f(x)/x, and its limit 1 where x is 0.
func ratio(f func(float64) float64, x float64) float64 {
	if x == 0 {
		return 1
	}
	return f(x) / x
}

// draw returns k-1.
func (z *zipf) draw(rng *rand.Rand) uint64 {
	for {
		u := z.to + rng.Float64()*(z.from-z.to)
		x := z.inverse(u)
		k := min(max(math.Floor(x+0.5), 1), float64(z.last))
		if k-x <= z.threshold || u >= z.integral(k+0.5)-z.weight(k) {
			return uint64(k) - 1
		}
	}
}
