package msggen

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"cometctl/internal/wire"
)

var testStart = time.UnixMilli(1_700_000_000_123)

func testComposer(start time.Time, worker int, seed uint64, ids, size int) composer {
	c := newComposer(uint64(worker), &Config{Seed: seed, IDs: ids, Size: size})
	c.tag = wire.NewRunTag(start, worker)
	return c
}

func TestLine(t *testing.T) {
	c := testComposer(testStart, 7, 1, 1, 0)
	line := string(c.appendLine(nil, 42, 1_700_000_000_500_000_000, 1234567*time.Nanosecond))
	if want := "1\tFake message Num = 42 ~17000000001230007.1.1.1700000000500000000.1234.1049375349~\n"; line != want {
		t.Errorf("line %q, want %q", line, want)
	}
}

func TestSize(t *testing.T) {
	base := Config{To: "http://127.0.0.1/send", IDs: 10_000, Count: 1000}
	least := base.minSize()
	for _, size := range []int{least, least + 1, least + 63, least + 64, least + 65, 1000, MaxSize} {
		cfg := base
		cfg.Size = size
		if err := cfg.Check(); err != nil {
			t.Fatal(err)
		}
		c := testComposer(time.Now(), 9999, 1, cfg.IDs, size)
		for num := uint64(1); num <= 1000; num += 111 {
			line := c.appendLine(nil, num, time.Now().UnixNano(), []time.Duration{0, time.Second, 2 * time.Hour}[num%3])
			m, err := parseMessage(bytes.TrimSuffix(line, []byte("\n")))
			if err != nil || len(m.text) != size || m.num != num {
				t.Fatalf("size %d: message of %d bytes: %.200q, %v", size, len(m.text), line, err)
			}
		}
	}
	base.Size = least - 1
	if err := base.Check(); err == nil || !strings.Contains(err.Error(), fmt.Sprint("need ", least, " bytes")) {
		t.Errorf("size %d: %v", base.Size, err)
	}
}

func TestWorkersHaveTheirOwnIDs(t *testing.T) {
	ids := func(seed uint64, worker int) string {
		c := testComposer(testStart, worker, seed, 1000, 0)
		var b []byte
		for n := range uint64(50) {
			b = c.appendLine(b[:len(b):len(b)], n, 1<<32, 0)
		}
		var ids []string
		for line := range bytes.Lines(b) {
			id, _, _ := bytes.Cut(line, []byte("\t"))
			ids = append(ids, string(id))
		}
		return strings.Join(ids, " ")
	}
	if first, again := ids(1, 0), ids(1, 0); first != again {
		t.Error("equal seeds choose different ids")
	}
	if ids(1, 0) == ids(1, 1) || ids(1, 0) == ids(2, 0) || ids(1, 1) == ids(2, 0) {
		t.Error("another worker or another seed chooses the same ids")
	}
}

func TestIDsAreUniform(t *testing.T) {
	const ids, each = 100, 1000
	c := testComposer(testStart, 0, 1, ids, 0)
	for range ids * each {
		c.appendLine(nil, 1, 1<<32, 0)
	}
	// The counts are binomial with a standard deviation of 31.5; their chi-square has 99 degrees of freedom.
	chi := 0.0
	for _, n := range c.seqs.low {
		d := float64(n) - each
		chi += d * d / each
	}
	if chi < 50 || chi > 165 {
		t.Errorf("chi-square %.1f of 100 ids, 99 expected", chi)
	}
}

func TestSequencesBeyond32Bits(t *testing.T) {
	s := sequences{low: []uint32{math.MaxUint32 - 1, 5}}
	for i, want := range []uint64{math.MaxUint32, 1 << 32, 1<<32 + 1} {
		if got := s.next(0); got != want {
			t.Errorf("step %d: sequence number %d, want %d", i, got, want)
		}
	}
	if got := s.next(1); got != 6 {
		t.Errorf("the other id has sequence number %d, want 6", got)
	}
}

func TestComposeAllocatesNothing(t *testing.T) {
	for _, size := range []int{0, 200} {
		c := testComposer(testStart, 0, 1, 1000, size)
		buf := make([]byte, 0, 4096)
		c.appendLine(buf, 1, 1<<32, 0)
		if n := testing.AllocsPerRun(100, func() { c.appendLine(buf, math.MaxInt64, math.MaxInt64, math.MaxInt64) }); n != 0 {
			t.Errorf("size %d: %v allocations a message", size, n)
		}
	}
}

func BenchmarkCompose(b *testing.B) {
	c := testComposer(testStart, 0, 1, 10_000, 0)
	buf := make([]byte, 0, 4096)
	n := uint64(0)
	for b.Loop() {
		n++
		c.appendLine(buf, n, 1_700_000_000_500_000_000, 57*time.Microsecond)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msgs/s")
}
