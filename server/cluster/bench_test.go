package cluster

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/server/router"
)

const benchIDs = 200_000

// BenchmarkIDs reports what an id with one session costs beyond an empty node: by what is allocated (B/id) and as the system
// sees it (rss-B/id), the front's side and NATS's together, because both are in this process. The session and its own id in
// the local router are in it too (32 bytes). With two servers, the second one has the ids as interest of its route only, as
// every other server of a cluster has.
func BenchmarkIDs(b *testing.B) {
	for _, c := range []struct{ ids, servers int }{{benchIDs, 1}, {benchIDs, 2}, {1_000_000, 1}} {
		b.Run(fmt.Sprintf("%d/%dservers", c.ids, c.servers), func(b *testing.B) {
			for b.Loop() {
				on := []*broker.Embedded{}
				if c.servers == 1 { // one of a cluster keeps 85 B more for each id, to tell routes of it
					on = append(on, brokertest.Embed(b, broker.EmbedConfig{}))
				} else {
					on = brokertest.Routed(b, c.servers)
				}
				r := newRouter(b, broker.ConnectConfig{URLs: []string{on[0].URL()}}, Config{}, nil)
				last := newRouter(b, broker.ConnectConfig{URLs: []string{on[c.servers-1].URL()}}, Config{}, nil)
				settle(b, r, last)
				before, rssBefore := memory()
				began := time.Now()
				loginAll(b, r, 0, c.ids)
				settle(b, r, last)
				b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(c.ids), "ns/login")
				after, rssAfter := memory()
				b.ReportMetric((float64(after)-float64(before))/float64(c.ids), "B/id")
				b.ReportMetric(float64(rssAfter-rssBefore)/float64(c.ids), "rss-B/id")
				if st := r.Stats(); st.Subscribed != c.ids {
					b.Errorf("%+v", st)
				}
				for _, node := range []*Router{r, last} {
					node.Close()
				}
				for _, e := range on {
					e.Close()
				}
			}
		})
	}
}

// BenchmarkMessages sends to random ones of 200,000 ids, from one node. With one node all of them are local, and each message is
// published for nobody; with two or four (on the same server, or on one each), a half or three quarters of them live elsewhere.
// cpu-ns/msg is the processor time of everything: publisher, servers, receivers.
func BenchmarkMessages(b *testing.B) {
	for _, c := range []struct{ nodes, servers int }{{1, 1}, {2, 1}, {2, 2}, {4, 1}, {4, 4}} {
		b.Run(fmt.Sprintf("%dnodes/%dservers", c.nodes, c.servers), func(b *testing.B) {
			on := brokertest.Routed(b, c.servers)
			var got atomic.Int64
			var nodes []*Router
			for i := range c.nodes {
				nodes = append(nodes, newRouter(b, broker.ConnectConfig{URLs: []string{on[i%c.servers].URL()}}, Config{Pending: 1 << 20},
					func(router.Session, []byte, uint64) { got.Add(1) }))
				loginAll(b, nodes[i], i*benchIDs/c.nodes, benchIDs/c.nodes)
			}
			settle(b, nodes...)
			msg := []byte(strings.Repeat("m", 80))
			var id []byte
			b.ReportAllocs()
			b.ResetTimer()
			cpu := processorTime()
			for i := range b.N {
				id = strconv.AppendInt(id[:0], int64(i)*7919%benchIDs, 10)
				if rec, err := nodes[0].Send(id, msg, 1); err != nil || !rec.Published {
					b.Fatal(rec, err)
				}
			}
			delivered(b, nodes...)
			if int(got.Load()) != b.N {
				b.Errorf("delivered %d of %d; %+v", got.Load(), b.N, nodes[len(nodes)-1].Stats())
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			b.ReportMetric(float64(processorTime()-cpu)/float64(b.N), "cpu-ns/msg")
		})
	}
}

// BenchmarkConfirmed is a request and its answer, one at a time.
func BenchmarkConfirmed(b *testing.B) {
	e := brokertest.Embed(b, broker.EmbedConfig{})
	from, to := newRouter(b, broker.ConnectConfig{URLs: []string{e.URL()}}, Config{Gather: -1}, nil),
		newRouter(b, broker.ConnectConfig{URLs: []string{e.URL()}}, Config{}, func(router.Session, []byte, uint64) {})
	loginAll(b, to, 0, 1)
	settle(b, from, to)
	for _, id := range []string{"0", "nobody"} {
		b.Run(id, func(b *testing.B) {
			ctx := brokertest.Within(b)
			for b.Loop() {
				if c, err := from.SendConfirmed(ctx, []byte(id), nil, 0); err != nil || c.Offline() != (id == "nobody") {
					b.Fatal(c, err)
				}
			}
		})
	}
}

func loginAll(b *testing.B, r *Router, from, n int) {
	b.Helper()
	var id []byte
	for i := from; i < from+n; i++ {
		id = strconv.AppendInt(id[:0], int64(i), 10)
		if err := r.Login(id, router.Session(i+1)); err != nil {
			b.Fatal(err)
		}
	}
}

// memory is the heap in use and the resident memory, 0 where there is no /proc.
func memory() (heap uint64, rss int64) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return m.HeapAlloc, 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	return m.HeapAlloc, pages * int64(os.Getpagesize())
}
