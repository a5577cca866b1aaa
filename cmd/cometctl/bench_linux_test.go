package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"cometctl/flood"
)

// The benchmarks of this package measure cometctl from outside: real processes on free ports, a bare limit beside them
// in the same run. docs/benchmarks.md says what they show and how to repeat it. Each runs once, whatever b.N is:
//
//	go test -run xxx -bench IdleMemory -benchtime 1x ./cmd/cometctl
//
// Nothing else should run on the machine meanwhile.
const (
	benchFew  = 5_000
	benchMany = 19_900 // what fits into 20,000 descriptors, with some to spare
	benchUsed = 10_000 // connections of the article, and of all that has traffic
	benchRate = 1_000  // messages per second of the article
)

// benchTraffic is how long there is traffic in the benchmarks of latency and throughput.
const benchTraffic = 10 * time.Second

// settle is how long the processes are left alone before their memory is read, or load begins.
const settle = time.Second

// BenchmarkIdleMemory is the slope of the server's RSS between 5,000 and 19,900 idle connections, and that of a bare loop.
func BenchmarkIdleMemory(b *testing.B) {
	for _, engine := range []string{"epoll", "goroutine"} {
		b.Run(engine, func(b *testing.B) {
			w := newWorld(b)
			s := w.serve("--engine", engine)
			empty := s.rss(b)
			slope, open := w.slope(s.pid, s.target)
			b.ReportMetric(slope, "B/conn")
			b.ReportMetric(open, "conns/s")
			b.ReportMetric(mega(empty), "empty-MB")
			s.stop()

			bare := w.bare(bareOrder{Do: "hold"})
			slope, _ = w.slope(bare.pid, bare.target)
			b.ReportMetric(slope, "bare-B/conn")
		})
	}
}

// slope is the growth of the RSS of process pid, in bytes per idle connection to target, and the rate at which one flood
// opened the larger number of connections.
func (w *world) slope(pid int, target string) (perConn, openPerS float64) {
	rss := func(conns int) (bytes, rate float64) {
		f := w.flood(target, conns)
		time.Sleep(2 * settle)
		bytes = processRSS(w.b, pid)
		r := f.finish()
		time.Sleep(settle) // for the server to see that they are gone
		return bytes, r.OpenPerS
	}
	few, _ := rss(benchFew)
	many, rate := rss(benchMany)
	return (many - few) / (benchMany - benchFew), rate
}

// BenchmarkOpen is how many connections one flood opens per second, from the server and from a bare loop: medians of
// rounds that take turns.
func BenchmarkOpen(b *testing.B) {
	const rounds = 5
	w := newWorld(b)
	s, bare := w.serve(), w.bare(bareOrder{Do: "hold"})
	var ours, limit []float64
	for range rounds {
		for _, side := range []struct {
			target string
			rates  *[]float64
		}{{s.target, &ours}, {bare.target, &limit}} {
			f := w.flood(side.target, benchMany)
			*side.rates = append(*side.rates, f.finish().OpenPerS)
			time.Sleep(settle)
		}
	}
	b.ReportMetric(median(ours), "conns/s")
	b.ReportMetric(median(limit), "bare-conns/s")
	b.ReportMetric(median(ours)/median(limit), "of-bare")
}

// BenchmarkThroughput is how many messages per second reach 10,000 connections when msggen sends as fast as it goes, and
// how many do when a bare loop makes one write for each.
func BenchmarkThroughput(b *testing.B) {
	w := newWorld(b)
	s := w.serve()
	f := w.flood(s.target, benchUsed, "--stats-every", "100ms")
	time.Sleep(settle)
	began := time.Now()
	sent := w.msggen(s.send, "--rate", "0", "--duration", benchTraffic.String())
	took := f.allReceived(sent).Sub(began)
	r := f.finish()
	ours := float64(r.Messages) / took.Seconds()
	s.stop()

	size := messageSize(r)
	limit := w.read(w.bare(bareOrder{Do: "blast", Conns: benchUsed, Bytes: size, For: benchTraffic}), size)
	b.ReportMetric(ours, "msgs/s")
	b.ReportMetric(float64(sent-min(r.Messages, sent)), "missing")
	b.ReportMetric(limit.PerS, "bare-msgs/s")
	b.ReportMetric(ours/limit.PerS, "of-bare")
}

// messageSize is about how many bytes on the wire a message had.
func messageSize(r flood.Result) int {
	return (int(r.Bytes) - r.Open*len(bareHead)) / int(max(r.Messages, 1))
}

// BenchmarkLatency is the time from when a message was due to when it was received, at 1000 messages per second to 10,000
// connections, and that between a bare paced writer and a reader.
func BenchmarkLatency(b *testing.B) {
	w := newWorld(b)
	s := w.serve()
	f := w.flood(s.target, benchUsed)
	time.Sleep(settle)
	sent := w.msggen(s.send, "--rate", strconv.Itoa(benchRate), "--duration", benchTraffic.String())
	time.Sleep(settle)
	r := f.finish()
	s.stop()
	if r.Latency == nil {
		b.Fatalf("no message came: %+v", r)
	}
	size := messageSize(r)
	limit := w.read(w.bare(bareOrder{Do: "pace", Conns: benchUsed, Rate: benchRate, Bytes: size, For: benchTraffic}), size)
	b.ReportMetric(float64(sent-min(r.Messages, sent)), "missing")
	reportLatency(b, "", r.Latency.P50, r.Latency.P99, r.Latency.P999)
	reportLatency(b, "bare-", limit.P50, limit.P99, limit.P999)
	b.ReportMetric(r.Latency.P50/limit.P50, "p50-of-bare")
}

func reportLatency(b *testing.B, who string, p50, p99, p999 float64) {
	b.ReportMetric(p50, who+"p50-ms")
	b.ReportMetric(p99, who+"p99-ms")
	b.ReportMetric(p999, who+"p99.9-ms")
}

// BenchmarkWholeServer is what a server is and does in the article's minute: 10,000 connections, 1000 messages per second.
// "post" sends each message in a request of its own, as other servers want it.
func BenchmarkWholeServer(b *testing.B) {
	for _, c := range []struct{ name, engine string }{{"epoll", "epoll"}, {"goroutine", "goroutine"}, {"post", "epoll"}} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b)
			s := w.serve("--engine", c.engine)
			to := s.send
			if c.name == "post" {
				to = "POST " + s.send + "/{id}"
			}
			w.minute(s.pid, s.target, to)
		})
	}
}

// BenchmarkMemlogSample is the CPU time of one row of the memory log of a server with 19,900 connections, at rest and while a
// further connection comes and goes all the time.
func BenchmarkMemlogSample(b *testing.B) {
	w := newWorld(b)
	s := w.serve()
	w.flood(s.target, benchMany)
	time.Sleep(settle)
	cpu := func(rows int) time.Duration {
		const interval = 500 * time.Millisecond // so that each row may count anew: memlog counts in a tenth of the time
		p := w.start(exec.Command(w.bin, "memlog", "--pid", strconv.Itoa(s.pid), "-o", "-",
			"--interval", interval.String(), "--duration", (interval*time.Duration(rows-1)).String()), nil)
		p.wait()
		return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	}
	perRow := func() float64 { // what the start costs is in both
		const few, many = 6, 36
		return (cpu(many) - cpu(few)).Seconds() * 1000 / (many - few)
	}
	b.ReportMetric(perRow(), "rest-ms/row")

	comeAndGo := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-comeAndGo:
				return
			case <-time.After(20 * time.Millisecond):
				if c, err := net.Dial("tcp", s.listen); err == nil {
					c.Close()
				}
			}
		}
	}()
	b.ReportMetric(perRow(), "changing-ms/row")
	close(comeAndGo)
	<-gone
}

// BenchmarkPeer is BenchmarkWholeServer for a server that runs already: BENCH_PEER is a JSON object with its "pid", its
// "target" as flood takes it, and "to" as msggen takes it; "header", if it needs one.
func BenchmarkPeer(b *testing.B) {
	var peer struct {
		PID                int
		Target, To, Header string
	}
	text := os.Getenv("BENCH_PEER")
	if text == "" {
		b.Skip("BENCH_PEER names no server; see docs/benchmarks.md")
	}
	if err := json.Unmarshal([]byte(text), &peer); err != nil {
		b.Fatalf("BENCH_PEER: %v", err)
	}
	var args []string
	if peer.Header != "" {
		args = []string{"-H", peer.Header}
	}
	newWorld(b).minute(peer.PID, peer.Target, peer.To, args...)
}

// minute holds connections, sends for a minute (or BENCH_MINUTE, a Go duration), and reports latency, memory and CPU time
// of the process and its children.
func (w *world) minute(pid int, target, to string, floodArgs ...string) {
	b, long := w.b, time.Minute
	if text := os.Getenv("BENCH_MINUTE"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			b.Fatalf("BENCH_MINUTE: %v", err)
		}
	}
	empty := treeRSS(b, pid)
	f := w.flood(target, benchUsed, floodArgs...)
	time.Sleep(2 * settle)
	idle, cpu, client := treeRSS(b, pid), treeCPU(b, pid), processCPU(b, f.pid)
	sent := w.msggen(to, "--rate", strconv.Itoa(benchRate), "--duration", long.String())
	time.Sleep(settle)
	cpu, client = treeCPU(b, pid)-cpu, processCPU(b, f.pid)-client
	used := treeRSS(b, pid)
	r := f.finish()
	if r.Latency == nil {
		b.Fatalf("no message came: %+v", r)
	}
	reportLatency(b, "", r.Latency.P50, r.Latency.P99, r.Latency.P999)
	b.ReportMetric(float64(sent-min(r.Messages, sent)), "missing")
	b.ReportMetric(client.Seconds(), "flood-cpu-s")
	b.ReportMetric(mega(empty), "empty-MB")
	b.ReportMetric(mega(idle), "idle-MB")
	b.ReportMetric(mega(used), "used-MB")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
}

func mega(bytes float64) float64 { return bytes / (1 << 20) }

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
