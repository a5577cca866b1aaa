package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cometctl/server"
)

// What clients of bad will do to the others, and to the server's memory.

const (
	benchGood = 1_000  // connections that read, with the ids from 1
	benchBad  = 10_000 // connections that do not, with the ids behind them
)

// BenchmarkStuckReaders is the latency of 1000 connections that read, at 10,000 messages/s to them and to 10,000 others: at one server nobody holds
// those others' ids, at another each is held by a connection that reads nothing and has as much pending as it may have. Medians of rounds that
// take turns. The memory is the most that the server had, above what it had empty.
func BenchmarkStuckReaders(b *testing.B) {
	for _, policy := range []string{"drop", "close"} {
		b.Run(policy, func(b *testing.B) {
			const rounds = 5
			w := newWorld(b)
			s, alone := w.serve("--slow-policy", policy), w.serve("--slow-policy", policy)
			empty := s.rss(b)
			load := func(s *serving, args ...string) {
				w.msggen(s.send, append([]string{"--ids", strconv.Itoa(benchGood + benchBad)}, args...)...)
			}
			p99 := func(s *serving) float64 {
				f := w.flood(s.target, benchGood)
				time.Sleep(settle)
				load(s, "--rate", strconv.Itoa(benchBad), "--duration", (benchTraffic / rounds * 2).String())
				time.Sleep(settle)
				r := f.finish()
				if r.Latency == nil {
					b.Fatalf("no message came: %+v", r)
				}
				return r.Latency.P99
			}
			for i := range benchBad {
				stuckReader(b, s.listen, benchGood+1+i)
			}
			peak := make(chan float64)
			stop := make(chan bool)
			go func() {
				most := 0.0
				for {
					select {
					case <-stop:
						peak <- most
						return
					case <-time.After(10 * time.Millisecond):
						most = max(most, processRSS(b, s.pid))
					}
				}
			}()
			load(s, "--rate", "0", "--size", "8000", "--count", strconv.Itoa(12*benchBad)) // more than the kernel and the bound take
			full := s.stats(b)
			var quiets, loadeds []float64
			for range rounds {
				quiets, loadeds = append(quiets, p99(alone)), append(loadeds, p99(s))
			}
			quiet, loaded := median(quiets), median(loadeds)
			after := s.stats(b)
			close(stop)
			b.ReportMetric(mega(<-peak-empty), "rss-MB")
			b.ReportMetric(mega(float64(full.Conns.Pending)), "pending-MB")
			b.ReportMetric(mega(server.DefaultMaxPendingTotal), "bound-MB")
			b.ReportMetric(quiet, "quiet-p99-ms")
			b.ReportMetric(loaded, "loaded-p99-ms")
			b.ReportMetric(loaded/quiet, "of-quiet")
			b.ReportMetric(float64(after.Conns.Slow), "closed")
			b.ReportMetric(float64(after.Ledger.Dropped-full.Ledger.Dropped), "dropped")
			l := after.Ledger
			b.ReportMetric(float64(l.Sent-l.Copies-l.Offline+l.Copies-l.Delivered-l.Dropped-l.Gone-l.Pending), "unaccounted")
		})
	}
}

// stuckReader asks for the stream of an id and reads nothing.
func stuckReader(b *testing.B, addr string, id int) {
	b.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
	}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	if _, err := fmt.Fprintf(nc, "GET /test/%d HTTP/1.1\r\nHost: x\r\n\r\n", id); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSlowloris is how long a good client needs to connect and have its stream's head, alone and while somebody opens connections with
// half a head as fast as that goes, and holds on to the last 10,000 of them.
func BenchmarkSlowloris(b *testing.B) {
	const tries = 300
	w := newWorld(b)
	s := w.serve("--max-conns", strconv.Itoa(2*benchBad-1000))
	alone, failed := s.goodClients(tries)
	b.ReportMetric(median(alone), "quiet-ms")
	b.ReportMetric(slices.Max(alone), "quiet-max-ms")
	if failed > 0 {
		b.Errorf("%d good clients failed alone", failed)
	}
	stop, stopped := make(chan bool), make(chan int)
	opened := make(chan bool)
	go func() {
		var last [benchBad]net.Conn
		for n := 0; ; n++ {
			select {
			case <-stop:
				for _, nc := range last {
					if nc != nil {
						nc.Close()
					}
				}
				stopped <- n
				return
			default:
			}
			if n == benchBad {
				close(opened)
			}
			nc, err := net.Dial("tcp", s.listen)
			if err != nil {
				continue
			}
			io.WriteString(nc, "GET /test/1 HTTP/1.1\r\nHost:")
			if old := last[n%benchBad]; old != nil {
				old.Close()
			}
			last[n%benchBad] = nc
		}
	}()
	<-opened
	began := time.Now()
	among, failed := s.goodClients(tries)
	took := time.Since(began)
	st := s.stats(b)
	close(stop)
	n := <-stopped
	b.ReportMetric(median(among), "among-ms")
	b.ReportMetric(slices.Max(among), "among-max-ms")
	b.ReportMetric(float64(failed), "failed")
	b.ReportMetric(float64(st.Conns.Waiting), "waiting")
	b.ReportMetric(float64(st.Conns.Open), "open")
	b.ReportMetric(float64(n-benchBad)/took.Seconds(), "attempts/s")
}

// goodClients are clients that come one after another; each takes so many milliseconds from connecting to the head of its stream.
func (s *serving) goodClients(n int) (ms []float64, failed int) {
	for range n {
		began := time.Now()
		nc, err := net.Dial("tcp", s.listen)
		if err != nil {
			failed++
			continue
		}
		nc.SetDeadline(began.Add(5 * time.Second))
		io.WriteString(nc, "GET /test/7 HTTP/1.1\r\nHost: x\r\n\r\n")
		head := make([]byte, 4096)
		got, _ := nc.Read(head)
		if !strings.HasPrefix(string(head[:got]), "HTTP/1.1 200 ") {
			failed++
		}
		ms = append(ms, time.Since(began).Seconds()*1000)
		nc.Close()
	}
	return ms, failed
}

// stats asks the server for its /stats.
func (s *serving) stats(b *testing.B) (st server.Stats) {
	b.Helper()
	resp, err := http.Get(strings.TrimSuffix(s.send, "/send") + "/stats")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		b.Fatal(err)
	}
	return st
}
