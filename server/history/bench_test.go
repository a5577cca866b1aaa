package history

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkInactive is what a message costs while nothing is kept.
func BenchmarkInactive(b *testing.B) {
	s := New(Config{}, standing)
	id, msg := []byte("12345"), []byte("text")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _, ticket := s.Enter(id, msg, 1)
			s.Leave(ticket)
		}
	})
}

// BenchmarkEnter keeps messages of 80 bytes for random ones of 100,000 ids that have all they may have, or are only numbered.
func BenchmarkEnter(b *testing.B) {
	for _, kept := range []int{0, 1, 10, 100} {
		b.Run(fmt.Sprintf("kept=%d", kept), func(b *testing.B) {
			const ids = 100_000
			from := time.Now()
			s := New(Config{Messages: kept, Total: MaxTotal}, func() time.Duration { return time.Since(from) })
			msg := []byte(strings.Repeat("m", 80))
			all := make([][]byte, ids)
			for i := range all {
				all[i] = fmt.Append(nil, 1_000_000+i)
				told(s, string(all[i]), 0)
				for range kept {
					send(s, string(all[i]), string(msg))
				}
			}
			var seed atomic.Uint64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for n := seed.Add(1 << 40); pb.Next(); n++ {
					_, _, ticket := s.Enter(all[n*0x9E3779B97F4A7C15>>32%ids], msg, 1)
					s.Leave(ticket)
				}
			})
		})
	}
}

// BenchmarkMemory fills a store and tells what an id and a message of 80 bytes cost: by what the heap holds, and by what Stats says.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct{ ids, kept, bytes int }{{1_000_000, 0, 0}, {1_000_000, 1, 80}, {100_000, 10, 80}, {100_000, 100, 80}, {2_000, 100, 2000}} {
		b.Run(fmt.Sprintf("ids=%d/kept=%d/bytes=%d", c.ids, c.kept, c.bytes), func(b *testing.B) {
			for range b.N {
				before := heap()
				s := New(Config{Messages: c.kept, Bytes: MaxBytes, Total: MaxTotal}, standing)
				msg := strings.Repeat("m", c.bytes)
				for i := range c.ids {
					id := fmt.Sprint(1_000_000 + i)
					if c.kept == 0 {
						told(s, id, 0)
					}
					for range c.kept {
						send(s, id, msg)
					}
				}
				used := heap() - before
				gc := time.Now()
				runtime.GC()
				b.ReportMetric(float64(time.Since(gc).Microseconds())/1000, "ms/GC")
				b.ReportMetric(float64(used)/float64(c.ids), "B/id")
				b.ReportMetric(float64(s.Stats().Reserved)/float64(c.ids), "counted-B/id")
				if c.kept > 0 {
					b.ReportMetric(float64(used)/float64(c.ids*c.kept), "B/message")
				}
				runtime.KeepAlive(s)
			}
		})
	}
}

// BenchmarkSweep looks through 1,000,000 ids that are held.
func BenchmarkSweep(b *testing.B) {
	s := New(Config{Messages: 1}, standing)
	for i := range 1_000_000 {
		send(s, fmt.Sprint(i), "m")
		told(s, fmt.Sprint(i), 0)
	}
	for b.Loop() {
		s.Sweep(0, func([]byte) bool { return true })
	}
}

// BenchmarkResume tells 10 of 100 messages of 80 bytes.
func BenchmarkResume(b *testing.B) {
	s := New(Config{Messages: 100}, standing)
	var n uint64
	for range 200 {
		n = send(s, "1", strings.Repeat("m", 80))
	}
	b.ReportAllocs()
	for b.Loop() {
		s.TryResume([]byte("1"), n-10, true, func() error { return nil }, func(uint64, []byte) {})
	}
}
