package router

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// kinds are ways to write the number of a session as an id, without garbage.
var kinds = []struct {
	name string
	id   func(dst []byte, i int) []byte
}{
	{"decimal", func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(i), 10) }},
	{"text20", func(dst []byte, i int) []byte { return appendPadded(append(dst, "user-"...), i, 15) }},
	{"uuid36", func(dst []byte, i int) []byte {
		return appendPadded(append(dst, "f81d4fae-7dec-41d0-a765-"...), i, 12)
	}},
}

func appendPadded(dst []byte, i, digits int) []byte {
	for p := int(math.Pow10(digits - 1)); p > 0; p /= 10 {
		dst = append(dst, byte('0'+i/p%10))
	}
	return dst
}

// BenchmarkLoginMillion logs sessions with an id each into an empty router and reports what one of them costs: B/session
// by what is allocated (HeapAlloc), inuse-B/session with what the spans of the heap round it up to (HeapInuse), and
// rss-B/session as the system sees it. The empty router and its first chunks are part of it.
func BenchmarkLoginMillion(b *testing.B) {
	for _, kind := range kinds {
		for _, n := range []int{1_000_000, 20_000, 5_000} {
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				id := make([]byte, 0, MaxID)
				var rss int64
				for b.Loop() {
					b.StopTimer()
					before, rssBefore := collected(), residentBytes()
					b.StartTimer()
					r := NewLocal(func(Session, []byte, uint64) {})
					for i := range n {
						id = kind.id(id[:0], i+1)
						if err := r.Login(id, Session(i+1)); err != nil {
							b.Fatal(err)
						}
					}
					b.StopTimer()
					rss = residentBytes() - rssBefore
					after := collected()
					b.ReportMetric(per(after.HeapAlloc, before.HeapAlloc, n), "B/session")
					b.ReportMetric(per(after.HeapInuse, before.HeapInuse, n), "inuse-B/session")
					b.ReportMetric(float64(rss)/float64(n), "rss-B/session")
					runtime.KeepAlive(r)
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/login")
			})
		}
	}
}

func per(after, before uint64, n int) float64 { return (float64(after) - float64(before)) / float64(n) }

func collected() (m runtime.MemStats) {
	debug.FreeOSMemory()
	runtime.ReadMemStats(&m)
	return m
}

// residentBytes is 0 where there is no /proc.
func residentBytes() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// BenchmarkSend sends from all processors to ids spread over all that are logged in, a session each.
func BenchmarkSend(b *testing.B) {
	const n = 200_000
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			r := NewLocal(func(Session, []byte, uint64) {})
			ids := make([][]byte, n)
			for i := range ids {
				ids[i] = kind.id(nil, i+1)
				if err := r.Login(ids[i], Session(i+1)); err != nil {
					b.Fatal(err)
				}
			}
			msg := []byte("Hello World")
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if rec, err := r.Send(ids[i*7919%n], msg, 0); err != nil || rec.Sessions != 1 {
						b.Errorf("Send: %+v, %v", rec, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkFanOut sends to one id with very many sessions.
func BenchmarkFanOut(b *testing.B) {
	const n = 100_000
	r := crowd(b, n)
	for b.Loop() {
		if rec, err := r.Send([]byte("1"), nil, 0); err != nil || rec.Sessions != n {
			b.Fatal(rec, err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkChurn lets one session of an id leave and another come, which must not depend on how many there are.
func BenchmarkChurn(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			r, s := crowd(b, n), Session(n)
			b.ReportAllocs()
			for b.Loop() {
				s++
				r.Logout(s - Session(n))
				if err := r.Login([]byte("1"), s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// crowd is a router with the sessions 1 to n, all of the id 1.
func crowd(b *testing.B, n int) *Local {
	r := NewLocal(func(Session, []byte, uint64) {})
	for i := range n {
		if err := r.Login([]byte("1"), Session(i+1)); err != nil {
			b.Fatal(err)
		}
	}
	return r
}
