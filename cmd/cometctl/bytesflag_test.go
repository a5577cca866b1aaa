package main

import (
	"math"
	"testing"
)

func TestParseBytes(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int64 // -1 where it is refused
	}{
		{"0", 0}, {"65536", 65536}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}, {"256MiB", 256 << 20}, {"2GiB", 2 << 30}, {"8TiB", 8 << 40},
		{"9223372036854775807", math.MaxInt64}, {"8388607TiB", 8388607 << 40},
		{"", -1}, {"KiB", -1}, {"64kb", -1}, {"64K", -1}, {"64 KiB", -1}, {"1.5MiB", -1}, {"64KiBKiB", -1}, {"+5", -1}, {"0x10", -1}, {"1e6", -1}, {"many", -1},
		{"9223372036854775808", -1}, {"8388608TiB", -1}, {"99999999999GiB", -1},
	} {
		n, err := parseBytes(c.text)
		if (err != nil) != (c.n < 0) || err == nil && n != c.n {
			t.Errorf("%q is %d (%v), want %d", c.text, n, err, c.n)
		}
	}
	if n, err := parseBytes("-1"); n != -1 || err != nil {
		t.Errorf("-1 is %d (%v); whose flag it is says what is possible", n, err)
	}
}

func FuzzParseBytes(f *testing.F) {
	f.Add("64KiB", int64(1<<20))
	f.Add("-8388608TiB", int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, text string, n int64) {
		if got, err := parseBytes(formatBytes(n)); err != nil || got != n {
			t.Errorf("%d is written %s and read %d (%v)", n, formatBytes(n), got, err)
		}
		if n, err := parseBytes(text); err == nil {
			if got, err := parseBytes(formatBytes(n)); err != nil || got != n {
				t.Errorf("%q is %d, written %s, read %d (%v)", text, n, formatBytes(n), got, err)
			}
		}
	})
}
