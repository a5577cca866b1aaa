package flood

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"

	"cometctl/internal/timing"
)

// ErrTally is returned by Tally.AddBinary for what AppendBinary has not written.
var ErrTally = errors.New("flood: no tally of ours")

// Bounds of what AddBinary accepts.
const (
	maxCauses = 1 << 10
	maxWord   = 256     // bytes of a cause
	maxNumber = 1 << 56 // of anything but times, so that 64 bits hold the sum of many
)

// tallyVersion is the first byte of what AppendBinary writes.
const tallyVersion = 2

// numbers are the counts of t in the order in which they are written; setNumbers is its inverse. The last two are times.
func (t *Tally) numbers() [13]int64 {
	return [...]int64{int64(t.open), int64(t.tried), int64(t.opened), int64(t.reconnects), int64(t.chunks), int64(t.bytes),
		int64(t.messages), int64(t.duplicated), int64(t.reordered), t.missing, int64(t.resumed), t.began, t.lastOpened}
}

func (t *Tally) setNumbers(n [13]int64) {
	t.open, t.tried, t.opened, t.reconnects = int(n[0]), int(n[1]), int(n[2]), int(n[3])
	t.chunks, t.bytes, t.messages, t.duplicated = uint64(n[4]), uint64(n[5]), uint64(n[6]), uint64(n[7])
	t.reordered, t.missing, t.began, t.lastOpened = uint64(n[8]), n[9], n[11], n[12]
	t.resumed = int(n[10])
}

// AppendBinary appends what t has counted, but not Due, which grows with the length of a run: some hundred bytes, and two or
// three for each bucket of a histogram that is not empty.
func (t *Tally) AppendBinary(dst []byte) []byte {
	dst = append(dst, tallyVersion)
	for _, n := range t.numbers() {
		dst = binary.AppendVarint(dst, n)
	}
	for _, by := range []map[cause]int{t.failed, t.closed} {
		dst = binary.AppendUvarint(dst, uint64(len(by)))
		for _, c := range slices.Sorted(maps.Keys(by)) {
			dst = append(binary.AppendUvarint(dst, uint64(len(c))), c...)
			dst = binary.AppendUvarint(dst, uint64(by[c]))
		}
	}
	for _, h := range t.histograms() {
		dst = h.AppendBinary(dst)
	}
	return dst
}

func (t *Tally) histograms() [4]timing.Histogram {
	return [...]timing.Histogram{t.connect, t.tls, t.ttfb, t.latency}
}

// AddBinary adds what AppendBinary has written, as Add would have: counts are summed, histograms merged by their buckets. Where b
// holds anything else it returns ErrTally and changes nothing.
func (t *Tally) AddBinary(b []byte) error {
	o := Tally{failed: map[cause]int{}, closed: map[cause]int{}}
	rest, ok := o.counts(b)
	if !ok {
		return ErrTally
	}
	buckets := rest
	for _, h := range t.histograms() {
		var err error
		if rest, err = h.CheckBinary(rest); err != nil {
			return ErrTally
		}
	}
	if len(rest) > 0 {
		return ErrTally
	}
	t.addCounts(&o)
	for _, h := range t.histograms() {
		buckets, _ = h.AddBinary(buckets) // was checked
	}
	return nil
}

// counts reads all but the histograms.
func (t *Tally) counts(b []byte) (rest []byte, ok bool) {
	if len(b) == 0 || b[0] != tallyVersion {
		return b, false
	}
	b = b[1:]
	numbers := t.numbers()
	for i := range numbers {
		v, n := binary.Varint(b)
		if b = b[max(n, 0):]; n <= 0 {
			return b, false
		}
		most := int64(maxNumber)
		if i >= 11 {
			most = math.MaxInt64
		}
		if v > most || v < 0 && i != 9 || v < -most {
			return b, false
		}
		numbers[i] = v
	}
	t.setNumbers(numbers)
	for _, by := range []map[cause]int{t.failed, t.closed} {
		if b, ok = causesFrom(b, by); !ok {
			return b, false
		}
	}
	return b, true
}

// causesFrom reads causes and their counts.
func causesFrom(b []byte, by map[cause]int) (rest []byte, ok bool) {
	words, b, ok := cutUvarint(b, maxCauses)
	for ; ok && words > 0; words-- {
		var length, count int
		if length, b, ok = cutUvarint(b, min(maxWord, len(b))); !ok || length > len(b) {
			return b, false
		}
		word := cause(b[:length])
		if count, b, ok = cutUvarint(b[length:], maxNumber); ok {
			by[word] += count
		}
	}
	return b, ok
}

func cutUvarint(b []byte, most int) (v int, rest []byte, ok bool) {
	u, n := binary.Uvarint(b)
	if n <= 0 || u > uint64(most) {
		return 0, b, false
	}
	return int(u), b[n:], true
}
