package timing

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"
)

// MaxBuckets is how many steps of time a Buckets spans at most: 29 hours of 100 ms.
const MaxBuckets = 1 << 20

// Buckets counts messages by the time at which they were due, in steps of a fixed length, counted from the epoch: what was sent
// and what was received in one stretch of time can be laid side by side, whoever counted it. Make it with NewBuckets. It
// belongs to one goroutine or lock; those of several are merged. It takes 8 bytes a step between the first and the last, some more while it grows.
type Buckets struct {
	step int64 // nanoseconds
	from int64 // the step of n[0]
	// n may begin with zeros, as room for what is older still; it never ends with one.
	n       []int64
	outside int64
}

// NewBuckets returns an empty Buckets with steps of that length, which must be above zero.
func NewBuckets(step time.Duration) *Buckets {
	if step <= 0 {
		panic(fmt.Sprintf("timing: buckets of %v", step))
	}
	return &Buckets{step: int64(step)}
}

// Add counts one message that was due at dueNs, in nanoseconds since the epoch. One that lies MaxBuckets or more steps from
// another that was counted before has no place, and counts as outside.
func (b *Buckets) Add(dueNs int64) { b.add(b.index(dueNs), 1) }

// AddN counts n messages, none for an n below 1, that were all due in the step that holds dueNs.
func (b *Buckets) AddN(dueNs, n int64) { b.add(b.index(dueNs), max(n, 0)) }

// AddOutside counts n messages, none for an n below 1, that had no place among the steps where they were counted.
func (b *Buckets) AddOutside(n int64) { b.outside += max(n, 0) }

// index is the step that holds ns, those before the epoch included.
func (b *Buckets) index(ns int64) int64 {
	i := ns / b.step
	if ns%b.step < 0 {
		i--
	}
	return i
}

func (b *Buckets) add(index, count int64) {
	if i := index - b.from; uint64(i) < uint64(len(b.n)) { // nearly every time
		b.n[i] += count
		return
	}
	if count == 0 {
		return
	}
	if !b.grow(index) {
		b.outside += count
		return
	}
	b.n[index-b.from] += count
}

// grow makes room for index, or tells that there is none.
func (b *Buckets) grow(index int64) bool {
	b.trim()
	if len(b.n) == 0 {
		b.from, b.n = index, append(b.n, 0)
		return true
	}
	if math.Abs(float64(index)-float64(b.from)) > 2*MaxBuckets { // as integers, their difference could wrap
		return false
	}
	before, after := int(b.from-index), int(index-b.from)+1-len(b.n)
	if max(before, after)+len(b.n) > MaxBuckets {
		return false
	}
	if before > 0 {
		// As much again, so that counting backwards does not copy everything for each step.
		if more := max(before, min(len(b.n), MaxBuckets-len(b.n))); b.from >= math.MinInt64+int64(more) {
			before = more
		}
		b.from, b.n = b.from-int64(before), slices.Concat(make([]int64, before), b.n)
	}
	if after > 0 {
		b.n = append(b.n, make([]int64, after)...)
	}
	return true
}

// trim gives up the room in front.
func (b *Buckets) trim() {
	first := slices.IndexFunc(b.n, func(n int64) bool { return n != 0 })
	if first > 0 {
		b.from, b.n = b.from+int64(first), b.n[first:]
	}
}

// Merge adds what o has counted. It fails, and changes nothing, where the steps differ.
func (b *Buckets) Merge(o *Buckets) error {
	if b.step != o.step {
		return fmt.Errorf("timing: buckets of %v cannot be merged with those of %v", time.Duration(o.step), time.Duration(b.step))
	}
	for i, count := range o.n {
		b.add(o.from+int64(i), count)
	}
	b.outside += o.outside
	return nil
}

// Step is the length of a step.
func (b *Buckets) Step() time.Duration { return time.Duration(b.step) }

// Outside is how many messages had no place among the steps.
func (b *Buckets) Outside() int64 { return b.outside }

// All walks over the steps in which something was counted, in order of time: where each begins, in nanoseconds since the epoch, and its
// count.
func (b *Buckets) All() iter.Seq2[int64, int64] {
	return func(yield func(int64, int64) bool) {
		for i, count := range b.n {
			if count != 0 && !yield((b.from+int64(i))*b.step, count) {
				return
			}
		}
	}
}

type bucketsJSON struct {
	StepNs  int64   `json:"step_ns"`
	From    int64   `json:"from"`
	N       []int64 `json:"n"`
	Outside int64   `json:"outside,omitzero"`
}

// MarshalJSON writes {"step_ns","from","n":[...]}: n[i] is the count of the messages that were due in [(from+i)*step_ns,
// (from+i+1)*step_ns). "outside" is there if it is not 0.
func (b *Buckets) MarshalJSON() ([]byte, error) {
	b.trim()
	out := bucketsJSON{StepNs: b.step, From: b.from, N: b.n, Outside: b.outside}
	if out.N == nil {
		out.N = []int64{}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes, and refuses what it never would: more than MaxBuckets steps, a count below zero, times that
// 64 bits of nanoseconds do not hold.
func (b *Buckets) UnmarshalJSON(text []byte) error {
	var in bucketsJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	if in.StepNs <= 0 {
		return fmt.Errorf("timing: buckets with step_ns %d; it must be above 0", in.StepNs)
	}
	if len(in.N) > MaxBuckets {
		return fmt.Errorf("timing: %d buckets, more than %d", len(in.N), MaxBuckets)
	}
	if first, last := math.MinInt64/in.StepNs, math.MaxInt64/in.StepNs; in.From < first || in.From > last-int64(max(len(in.N)-1, 0)) {
		return fmt.Errorf("timing: %d buckets from %d with step_ns %d are beyond every time", len(in.N), in.From, in.StepNs)
	}
	if in.Outside < 0 || slices.ContainsFunc(in.N, func(n int64) bool { return n < 0 }) {
		return fmt.Errorf("timing: buckets with a count below 0")
	}
	*b = Buckets{step: in.StepNs, from: in.From, outside: in.Outside}
	for len(in.N) > 0 && in.N[len(in.N)-1] == 0 {
		in.N = in.N[:len(in.N)-1]
	}
	if b.n = in.N; len(b.n) == 0 {
		b.from = 0
	}
	return nil
}
