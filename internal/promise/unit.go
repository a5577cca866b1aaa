package promise

import (
	"math"
	"strconv"
)

// Unit is what the values of a metric are measured in.
type Unit int

// The units. Values are in them when they are looked up, as in the JSON results; what people may write is another matter.
const (
	Count        Unit = iota // things; also a share of others, in percent, if the metric has an Of
	Milliseconds             // a time
	Bytes                    // of memory
	BytesPerHour             // growth
	PerSecond                // things a second
	Fraction                 // 1 is all, or one processor; people write it in percent too
	Plain                    // a number without a unit
)

// String is the unit's name in a Report; empty for Count, Fraction and Plain.
func (u Unit) String() string {
	return [...]string{Milliseconds: "ms", Bytes: "bytes", BytesPerHour: "bytes/h", PerSecond: "/s", Fraction: "", Plain: ""}[u]
}

// suffix is a word that may stand behind a number: it is worth times/by of the metric's unit. Two numbers, as 100us is 0.1 ms to the last bit
// when it is divided, and not when it is multiplied.
type suffix struct {
	word      string
	times, by float64
}

var (
	timeWords = []suffix{{"ns", 1, 1e6}, {"us", 1, 1e3}, {"µs", 1, 1e3}, {"μs", 1, 1e3}, {"ms", 1, 1}, {"s", 1e3, 1}, {"m", 60e3, 1}}
	// A KB is 1024 bytes everywhere in cometctl, as in the memory log.
	byteWords = []suffix{{"B", 1, 1}, {"KB", 1 << 10, 1}, {"KiB", 1 << 10, 1}, {"MB", 1 << 20, 1}, {"MiB", 1 << 20, 1}, {"GB", 1 << 30, 1},
		{"GiB", 1 << 30, 1}, {"", 1, 1}}
	plain = suffix{"", 1, 1}
)

// words are what may stand behind a number of this unit, and want says it to people.
func (u Unit) words() (words []suffix, want string) {
	switch u {
	case Milliseconds:
		return timeWords, "a time with its unit, such as 200ms (ns, us, ms, s, m)"
	case Bytes:
		return byteWords, "a number of bytes, such as 1KiB (B, KiB, MiB, GiB)"
	case BytesPerHour:
		words = byteWords
		for _, w := range byteWords[:len(byteWords)-1] {
			words = append(words[:len(words):len(words)], suffix{w.word + "/h", w.times, w.by})
		}
		return words, "a number of bytes an hour, such as 1MiB/h (B, KiB, MiB, GiB)"
	case PerSecond:
		return []suffix{plain, {"/s", 1, 1}, {"/m", 1, 60}}, "a number a second, such as 1000/s"
	case Fraction:
		return []suffix{plain, {"%", 1, 100}}, "a share, such as 10%"
	case Plain:
		return []suffix{plain}, "a number"
	}
	return []suffix{plain}, "a number"
}

// Format writes a value of this unit for people.
func (u Unit) Format(v float64) string {
	switch u {
	case Milliseconds:
		return digits(v) + " ms"
	case Bytes:
		return bytes(v)
	case BytesPerHour:
		return bytes(v) + "/h"
	case PerSecond:
		return digits(v) + "/s"
	case Fraction:
		return digits(100*v) + " %"
	}
	return digits(v)
}

// bytes writes 1536 as "1.5 KiB".
func bytes(v float64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB"}
	i := 0
	for ; math.Abs(v) >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	return digits(v) + " " + units[i]
}

// digits writes whole numbers whole, and of others four digits at least.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1<<53, a >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
