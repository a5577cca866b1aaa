package pace

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestDue(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name string
		rate Rate
		n    uint64
		want time.Duration
	}{
		{"first event is due at the start", Rate{1000, time.Second}, 0, 0},
		{"second event", Rate{1000, time.Second}, 1, time.Millisecond},
		{"a third of a second rounds down", Rate{3, time.Second}, 1, 333_333_333},
		{"and does not add up", Rate{3, time.Second}, 2, 666_666_666},
		{"three thirds are a second", Rate{3, time.Second}, 3, time.Second},
		{"3/s after a day", Rate{3, time.Second}, 3 * 86400, day},
		{"333333/s after a day", Rate{333_333, time.Second}, 333_333 * 86400, day},
		{"one before that", Rate{333_333, time.Second}, 333_333*86400 - 1, day - 3001},
		{"7/m after a day", Rate{7, time.Minute}, 7 * 1440, day},
		{"an interval", Every(10 * time.Millisecond), 100, time.Second},
		{"a hundred workers' intervals", Every(100 * time.Millisecond).Times(100), 1000, time.Second},
		{"one a nanosecond", Rate{1e9, time.Second}, math.MaxInt64, math.MaxInt64},
		{"beyond time", Rate{1, time.Hour}, math.MaxUint64, math.MaxInt64},
		{"beyond time by the low word", Rate{1, 1}, math.MaxInt64 + 1, math.MaxInt64},
		{"unlimited", Rate{}, 1 << 60, 0},
	}
	for _, tt := range tests {
		if got := tt.rate.Due(tt.n); got != tt.want {
			t.Errorf("%s: %v.Due(%d) = %v, want %v", tt.name, tt.rate, tt.n, got, tt.want)
		}
	}
}

// TestNoDrift walks a day in odd steps and holds each due time against exact rational arithmetic.
func TestNoDrift(t *testing.T) {
	for _, rate := range []Rate{{3, time.Second}, {7, time.Second}, {333_333, time.Second}, {999_983, time.Minute}} {
		last := rate.DueBy(24 * time.Hour)
		for n := uint64(0); n < last; n += last/997 + 1 {
			exact := new(big.Int).Mul(new(big.Int).SetUint64(n), big.NewInt(int64(rate.Per)))
			exact.Quo(exact, new(big.Int).SetUint64(rate.Events))
			if got := rate.Due(n); int64(got) != exact.Int64() {
				t.Fatalf("%v.Due(%d) = %d, want %d", rate, n, got, exact)
			}
		}
	}
}

func TestDueBy(t *testing.T) {
	tests := []struct {
		rate    Rate
		elapsed time.Duration
		want    uint64
	}{
		{Rate{1000, time.Second}, -1, 0},
		{Rate{1000, time.Second}, 0, 1},
		{Rate{1000, time.Second}, time.Millisecond - 1, 1},
		{Rate{1000, time.Second}, time.Millisecond, 2},
		{Rate{1000, time.Second}, time.Second - 1, 1000},
		{Rate{3, time.Second}, 333_333_332, 1},
		{Rate{3, time.Second}, 333_333_333, 2},
		{Rate{1e9, time.Second}, math.MaxInt64, 1 << 63},
		{Rate{math.MaxUint64, 1}, math.MaxInt64, math.MaxUint64},
		{Rate{}, 0, math.MaxUint64},
	}
	for _, tt := range tests {
		if got := tt.rate.DueBy(tt.elapsed); got != tt.want {
			t.Errorf("%v.DueBy(%v) = %d, want %d", tt.rate, tt.elapsed, got, tt.want)
		}
	}
}

// FuzzDueBy holds DueBy to its definition in terms of Due.
func FuzzDueBy(f *testing.F) {
	f.Add(uint64(3), int64(time.Second), int64(333_333_333))
	f.Add(uint64(333_333), int64(time.Second), int64(24*time.Hour))
	f.Add(uint64(1), int64(1), int64(0))
	f.Fuzz(func(t *testing.T, events uint64, per, elapsed int64) {
		rate := Rate{events, time.Duration(per)}
		n := rate.DueBy(time.Duration(elapsed))
		if rate.Unlimited() || elapsed < 0 || n == math.MaxUint64 {
			return
		}
		if n > 0 && int64(rate.Due(n-1)) > elapsed {
			t.Errorf("%+v: event %d is due at %d, yet counted by %d", rate, n-1, rate.Due(n-1), elapsed)
		}
		if due := rate.Due(n); int64(due) <= elapsed && due != math.MaxInt64 {
			t.Errorf("%+v: event %d is due at %d, yet not counted by %d", rate, n, due, elapsed)
		}
	})
}

func TestParse(t *testing.T) {
	tests := []struct {
		in   string
		want Rate
	}{
		{"1000", Rate{1000, time.Second}},
		{"500/s", Rate{500, time.Second}},
		{"30/m", Rate{30, time.Minute}},
		{"5/h", Rate{5, time.Hour}},
		{"2/ms", Rate{2, time.Millisecond}},
		{"1/10ms", Rate{1, 10 * time.Millisecond}},
		{"2.5/s", Rate{25, 10 * time.Second}},
		{"0.10", Rate{1, 10 * time.Second}},
		{"2.000", Rate{2, time.Second}},
		{"1000000000", Rate{1e9, time.Second}},
		{"0", Rate{}},
		{"0/m", Rate{}},
		{"0.0", Rate{}},
		{"unlimited", Rate{}},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", tt.in, got, err, tt.want)
			continue
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("Parse(%q) = %+v, %v after String of %+v", got.String(), again, err, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{"", "minus", "-1", "+1", "1e3", "1000/", "1000/x", "/s", "1/0s", "1/-1s", "1.", ".5", "1.2.3", "1_000",
		"1000000001", "99999999999999999999", "1.0000000001", "0.000000001/9999h", "NaN", "1 /s", "٣"} {
		got, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), in) {
			t.Errorf("Parse(%q) = %+v, %v, want an error that names it", in, got, err)
		}
	}
}

func TestParseInterval(t *testing.T) {
	for in, want := range map[string]Rate{"10ms": {1, 10 * time.Millisecond}, "0": {}, "1m": {1, time.Minute}} {
		if got, err := ParseInterval(in); err != nil || got != want {
			t.Errorf("ParseInterval(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1s", "10", "fast"} {
		if got, err := ParseInterval(in); err == nil || !strings.Contains(err.Error(), in) {
			t.Errorf("ParseInterval(%q) = %+v, %v, want an error that names it", in, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1000", "500/s", "2.5/m", "1/10ms", "unlimited", "-3", "1e9", "0.000000001/h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Errorf("Parse(%q) = %+v, but its String %q reads as %+v, %v", s, r, r.String(), again, err)
		}
	})
}

func BenchmarkDue(b *testing.B) {
	rate, n := Rate{333_333, time.Second}, uint64(0)
	for b.Loop() {
		n++
		if rate.Due(n) < 0 {
			b.Fatal("before the start")
		}
	}
}
