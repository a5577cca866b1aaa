package timing

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	const step = 100 * time.Millisecond
	at := func(ms int64) int64 { return ms * int64(time.Millisecond) }
	for _, c := range []struct {
		name string
		due  []int64
		want string
	}{
		{"none", nil, `{"step_ns":100000000,"from":0,"n":[]}`},
		{"one", []int64{at(1250)}, `{"step_ns":100000000,"from":12,"n":[1]}`},
		{"the edges of a step", []int64{at(1200), at(1300) - 1, at(1300)}, `{"step_ns":100000000,"from":12,"n":[2,1]}`},
		{"upwards, with a hole", []int64{at(1200), at(1500)}, `{"step_ns":100000000,"from":12,"n":[1,0,0,1]}`},
		{"downwards", []int64{at(1500), at(1400), at(1200), at(1100), at(1500)}, `{"step_ns":100000000,"from":11,"n":[1,1,0,1,2]}`},
		{"around the epoch", []int64{-1, 0}, `{"step_ns":100000000,"from":-1,"n":[1,1]}`},
		{"the last that has a place", []int64{0, at(100 * (MaxBuckets - 1)), at(100 * MaxBuckets), -1}, ""},
		{"no place at all", []int64{0, math.MinInt64, math.MaxInt64}, `{"step_ns":100000000,"from":0,"n":[1],"outside":2}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBuckets(step)
			for _, due := range c.due {
				b.Add(due)
			}
			got, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if len(b.n) != MaxBuckets || b.Outside() != 2 {
					t.Errorf("%d buckets, %d outside; want %d, 2", len(b.n), b.Outside(), MaxBuckets)
				}
			} else if string(got) != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			back := new(Buckets)
			if err := json.Unmarshal(got, back); err != nil {
				t.Fatal(err)
			}
			if again, err := json.Marshal(back); err != nil || !bytes.Equal(again, got) {
				t.Errorf("back: %s, %v; want %s", again, err, got)
			}
		})
	}
}

// Whatever order the counts come in, and however they are shared out before they are merged, the sums are the same.
func TestBucketsMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all, parts := map[int64]int64{}, []*Buckets{NewBuckets(7), NewBuckets(7), NewBuckets(7)}
	for range 3000 {
		due := r.Int64N(20000) - 10000
		parts[r.IntN(len(parts))].Add(due)
		all[int64(math.Floor(float64(due)/7))*7]++
	}
	sum := NewBuckets(7)
	for _, p := range parts {
		if err := sum.Merge(p); err != nil {
			t.Fatal(err)
		}
	}
	if got := maps.Collect(sum.All()); !maps.Equal(got, all) {
		t.Errorf("%v\nwant %v", got, all)
	}
	far := NewBuckets(7)
	far.Add(7 * 2 * MaxBuckets)
	far.Add(math.MaxInt64)
	if err := sum.Merge(far); err != nil || sum.Outside() != 2 {
		t.Errorf("far away: %d outside, %v; want 2", sum.Outside(), err)
	}
	if err := sum.Merge(NewBuckets(8)); err == nil || !strings.Contains(err.Error(), "8ns") {
		t.Errorf("another step: %v", err)
	}
}

// Backwards through all of its steps: it must not copy everything for each.
func TestBucketsBackwards(t *testing.T) {
	b := NewBuckets(1)
	for i := range int64(MaxBuckets) {
		b.Add(-i)
	}
	b.Add(1)
	b.Add(-MaxBuckets)
	if len(b.n) != MaxBuckets || b.n[0] != 1 || b.Outside() != 2 {
		t.Errorf("%d buckets, %d in the first, %d outside", len(b.n), b.n[0], b.Outside())
	}
}

func TestBucketsRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{}`, "step_ns 0"},
		{`{"step_ns":-1,"from":1,"n":[1]}`, "step_ns -1"},
		{`{"step_ns":1,"from":1,"n":[1,-1]}`, "below 0"},
		{`{"step_ns":1,"from":1,"n":[1],"outside":-1}`, "below 0"},
		{`{"step_ns":100,"from":9223372036854775807,"n":[1]}`, "beyond every time"},
		{`{"step_ns":1,"from":9223372036854775807,"n":[1,1]}`, "beyond every time"},
		{`{"step_ns":100,"from":-9223372036854775807,"n":[1]}`, "beyond every time"},
		{`{"step_ns":1,"from":0,"n":[` + strings.Repeat("1,", MaxBuckets) + `1]}`, "more than 1048576"},
		{`{"step_ns":1,"from":0,"n":"1"}`, "string"},
		{`[]`, "array"},
	} {
		b := NewBuckets(time.Second)
		if err := json.Unmarshal([]byte(c.text), b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v; want %q", c.text, err, c.want)
		} else if b.Step() != time.Second {
			t.Errorf("%.60s: what was there before is gone", c.text)
		}
	}
}

// What is accepted can be written, read again and merged, and means the same then.
func FuzzBuckets(f *testing.F) {
	for _, seed := range []string{`{"step_ns":100000000,"from":17953443720,"n":[3,0,4],"outside":1}`, `{"step_ns":1,"from":0,"n":[]}`,
		`{"step_ns":1,"from":-9223372036854775808,"n":[0,1,0]}`, `{"step_ns":1,"from":9223372036854775807,"n":[1]}`, `{"step_ns":3,"n":[0,0]}`, `[]`} {
		f.Add([]byte(seed), int64(1))
	}
	f.Fuzz(func(t *testing.T, text []byte, due int64) {
		b := new(Buckets)
		if json.Unmarshal(text, b) != nil {
			return
		}
		once, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		back := new(Buckets)
		if err := json.Unmarshal(once, back); err != nil {
			t.Fatalf("%s, written from %s: %v", once, text, err)
		}
		sum := NewBuckets(b.Step())
		if err := sum.Merge(back); err != nil {
			t.Fatal(err)
		}
		if twice, err := json.Marshal(sum); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
		sum.Add(due)
		if len(sum.n) > MaxBuckets {
			t.Fatalf("%d buckets", len(sum.n))
		}
	})
}

func TestBucketsAddN(t *testing.T) {
	one, many := NewBuckets(time.Second), NewBuckets(time.Second)
	for range 3 {
		one.Add(5e9 + 1)
	}
	many.AddN(5e9, 3)
	many.AddN(9e9, 0)
	many.AddN(9e9, -1)
	many.AddOutside(-1)
	a, _ := json.Marshal(one)
	if b, err := json.Marshal(many); err != nil || string(a) != string(b) {
		t.Errorf("%s, %v; want %s", b, err, a)
	}
	if many.AddOutside(2); many.Outside() != 2 {
		t.Errorf("%d outside, want 2", many.Outside())
	}
}
