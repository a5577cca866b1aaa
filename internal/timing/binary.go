package timing

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrBinary is returned by Histogram.AddBinary for what AppendBinary has not written.
var ErrBinary = errors.New("timing: no histogram of ours")

// half is the number of buckets for each doubling of a value, as three digits need them: the first 2*half hold the values
// below 2*half, one each, and every further half those of the next power of two.
const half = 1024

// buckets is more than a Histogram has; the lowest value of each still fits 64 bits.
const buckets = 40 * half

// valueOf is the lowest value, in microseconds, that the bucket i counts.
func valueOf(i int) int64 {
	if i < 2*half {
		return int64(i)
	}
	return int64(i%half+half) << (i/half - 1)
}

// AppendBinary appends what h has recorded, for AddBinary in this process or another: the number of its buckets that are not
// empty, then for each its distance from the one before and its count, all as unsigned varints.
func (h Histogram) AppendBinary(dst []byte) []byte {
	counts := h.h.Export().Counts
	n := 0
	for _, count := range counts {
		if count != 0 {
			n++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	before := 0
	for i, count := range counts {
		if count != 0 {
			dst = binary.AppendUvarint(dst, uint64(i-before))
			dst = binary.AppendUvarint(dst, uint64(count))
			before = i
		}
	}
	return dst
}

// AddBinary adds what AppendBinary wrote at the beginning of b and returns what follows it. The sum is what the two would
// have recorded as one, to the bucket. Where b holds anything else it returns ErrBinary and changes nothing.
func (h Histogram) AddBinary(b []byte) (rest []byte, err error) {
	if _, err := h.CheckBinary(b); err != nil {
		return b, err
	}
	return h.walk(b, h.h.RecordValues)
}

// CheckBinary returns what AddBinary would, and adds nothing.
func (h Histogram) CheckBinary(b []byte) (rest []byte, err error) {
	total := h.h.TotalCount()
	return h.walk(b, func(_, count int64) error {
		if count > math.MaxInt64-total {
			return ErrBinary
		}
		total += count
		return nil
	})
}

// walk calls do for each bucket in b, with its lowest value and its count.
func (h Histogram) walk(b []byte, do func(value, count int64) error) (rest []byte, err error) {
	n, b, ok := cutUvarint(b)
	if !ok {
		return nil, ErrBinary
	}
	at := uint64(0)
	for i := range n {
		var step, count uint64
		if step, b, ok = cutUvarint(b); !ok || step == 0 && i > 0 || step >= buckets {
			return nil, ErrBinary
		}
		if count, b, ok = cutUvarint(b); !ok || count == 0 || count > math.MaxInt64 {
			return nil, ErrBinary
		}
		at += step
		if at >= buckets || valueOf(int(at)) > h.h.HighestTrackableValue() {
			return nil, ErrBinary
		}
		if err := do(valueOf(int(at)), int64(count)); err != nil {
			return nil, ErrBinary
		}
	}
	return b, nil
}

func cutUvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, b, false
	}
	return v, b[n:], true
}
