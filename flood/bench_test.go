package flood

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// A connection's own record stays small; what it grows by must be argued for.
func TestRecordSize(t *testing.T) {
	if n := unsafe.Sizeof(record{}); n > 112 {
		t.Errorf("a record takes %d bytes, want 112 at most", n)
	}
	if n := unsafe.Sizeof(window{}); n > 24 {
		t.Errorf("a window takes %d bytes, want 24 at most", n)
	}
}

// freeLoop is a loop that costs nothing, so that only the lane is measured.
type freeLoop struct {
	netloop.Loop
	dialed netloop.Conn
}

func (f *freeLoop) SetDeadline(netloop.Conn, time.Duration) {}
func (f *freeLoop) Write(netloop.Conn, []byte, uint32) bool { return true }
func (f *freeLoop) Dial(_, _ netip.AddrPort) (netloop.Conn, error) {
	f.dialed++
	return f.dialed, nil
}

// opened returns a lane with n open connections, 1 to n.
func opened(b *testing.B, l *freeLoop, n int) *lane {
	a := newRig(b, 256, fmt.Sprintf("http://127.0.0.1:8000/test/{1..%d}", n)).lane
	a.fill(l)
	head := []byte(okHead)
	for c := netloop.Conn(1); c <= netloop.Conn(n); c++ {
		a.opened(l, c)
		a.readable(l, c, head)
	}
	if a.tally.open != n {
		b.Fatalf("%d open, want %d", a.tally.open, n)
	}
	return a
}

// BenchmarkConnection opens connections, from URL to head, and reports what a lane keeps for each.
func BenchmarkConnection(b *testing.B) {
	const n = 20_000
	var bytes int64
	for b.Loop() {
		before := heapBytes()
		a := opened(b, &freeLoop{}, n)
		bytes = heapBytes() - before
		runtime.KeepAlive(a)
	}
	b.ReportMetric(float64(bytes)/n, "B/conn")
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "conns/s")
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkMessage reads messages, each in a read of its own, on 10,000 connections in turn: all that a message costs but
// the system call.
func BenchmarkMessage(b *testing.B) { benchmarkMessages(b, 1) }

// BenchmarkMessageOf20 has 20 of them in each read.
func BenchmarkMessageOf20(b *testing.B) { benchmarkMessages(b, 20) }

func benchmarkMessages(b *testing.B, batch int) {
	const conns = 10_000
	l := &freeLoop{}
	a := opened(b, l, conns)
	run := wire.NewRunTag(time.Unix(0, testStart).Add(-time.Second), 0) // began before us: any number may be the first
	const first = 10_000_000
	var buf []byte
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%conns == 0 { // all connections have had these
			buf = buf[:0]
			for k := range batch {
				buf = append(buf, message(run, "12345", uint64(first+i/conns*batch+k), testStart)...)
			}
		}
		a.readable(l, netloop.Conn(i%conns+1), buf)
		i++
	}
	if t := &a.tracker; t.messages != uint64(i*batch) || t.missing != 0 || t.duplicated+t.reordered != 0 {
		b.Fatalf("%d messages, %d missing, %d duplicated, %d reordered; want %d, all in order", t.messages, t.missing, t.duplicated, t.reordered, i*batch)
	}
	b.ReportMetric(float64(i*batch)/b.Elapsed().Seconds(), "msgs/s")
}
