package flood

import (
	"encoding/binary"
	"errors"
	"math"

	"cometctl/internal/timing"
	"cometctl/internal/wire"
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
const tallyVersion = 3

// numbers are the counts of t in the order in which they are written, each an *int, *uint64 or *int64.
func (t *Tally) numbers() []any {
	return []any{
		&t.open,
		&t.tried,
		&t.opened,
		&t.reconnects,
		&t.resumed,
		&t.chunks,
		&t.bytes,
		&t.messages,
		&t.duplicated,
		&t.reordered,
		&t.late,
		&t.missing,
		&t.corrupt,
		(*instant)(&t.began),
		(*instant)(&t.lastOpened),
	}
}

// instant is a number that is a time, and may be greater than a count.
type instant int64

// number reads one of numbers.
func number(n any) int64 {
	switch n := n.(type) {
	case *int:
		return int64(*n)
	case *uint64:
		return int64(*n)
	case *instant:
		return int64(*n)
	}
	return *n.(*int64)
}

// setNumber sets one of numbers, and tells whether it can be v.
func setNumber(n any, v int64) bool {
	switch n := n.(type) {
	case *int:
		*n = int(v)
		return v >= 0 && v <= maxNumber
	case *uint64:
		*n = uint64(v)
		return v >= 0 && v <= maxNumber
	case *instant:
		*n = instant(v)
		return v >= 0
	}
	*n.(*int64) = v
	return v >= -maxNumber && v <= maxNumber
}

// AppendBinary appends what t has counted, but not Due, which grows with the length of a run: some hundred bytes, and two or
// three for each bucket of a histogram that is not empty.
func (t *Tally) AppendBinary(dst []byte) []byte {
	dst = append(dst, tallyVersion)
	for _, n := range t.numbers() {
		dst = binary.AppendVarint(dst, number(n))
	}
	dst = appendCauses(appendCauses(dst, t.failed), t.closed)
	dst = appendRuns(dst, t.runs)
	dst = t.shape.appendTo(t.refusals.appendTo(t.bad.appendTo(t.cuts.appendTo(dst))))
	for _, h := range t.histograms() {
		dst = h.AppendBinary(dst)
	}
	return dst
}

func (t *Tally) histograms() [6]timing.Histogram {
	return [...]timing.Histogram{t.connect, t.tls, t.ttfb, t.latency, t.lag, t.service}
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
	for _, n := range t.numbers() {
		v, size := binary.Varint(b)
		if b = b[max(size, 0):]; size <= 0 || !setNumber(n, v) {
			return b, false
		}
	}
	for _, by := range []map[cause]int{t.failed, t.closed} {
		if b, ok = causesFrom(b, by); !ok {
			return b, false
		}
	}
	runs, b, ok := runsFrom(b)
	if t.addRuns(runs); !ok {
		return b, false
	}
	if t.cuts, b, ok = cutsFrom(b); !ok {
		return b, false
	}
	if t.bad, b, ok = badsFrom(b); !ok {
		return b, false
	}
	if t.refusals, b, ok = refusalsFrom(b); !ok {
		return b, false
	}
	return t.shape.from(b)
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

// appendRuns appends what was counted of each run.
func appendRuns(dst []byte, runs []runCount) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	for _, r := range runs {
		mine := uint64(0)
		if r.mine {
			mine = 1
		}
		for _, n := range [...]uint64{uint64(r.first), mine, r.messages, r.duplicated, r.reordered, r.late, uint64(max(r.missing, 0))} {
			dst = binary.AppendUvarint(dst, n)
		}
	}
	return dst
}

// runsFrom reads them.
func runsFrom(b []byte) (runs []runCount, rest []byte, ok bool) {
	count, b, ok := cutUvarint(b, maxRuns+2)
	for ; ok && count > 0; count-- {
		var n [7]int
		for i := range n {
			most := maxNumber
			switch i {
			case 0:
				most = math.MaxInt64
			case 1:
				most = 1
			}
			if n[i], b, ok = cutUvarint(b, most); !ok {
				return nil, b, false
			}
		}
		r := runCount{first: wire.RunTag(n[0]).First(), mine: n[1] == 1, runSums: runSums{messages: uint64(n[2]), duplicated: uint64(n[3]),
			reordered: uint64(n[4]), late: uint64(n[5]), missing: int64(n[6])}}
		if len(runs) > 0 && runs[len(runs)-1].order(r) >= 0 {
			return nil, b, false
		}
		runs = append(runs, r)
	}
	return runs, b, ok && named(runs) <= maxRuns
}
