package msggen

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/pace"
	"cometctl/internal/subject"
	"cometctl/internal/timing"
	"cometctl/internal/wire"
)

// BenchmarkNATS publishes to 10,000 ids through a server in this process: paced and as fast as it goes, to nobody (a word of NATS comes
// back for each message) and to one subscriber that holds all ids.
func BenchmarkNATS(b *testing.B) {
	for _, bb := range []struct {
		name  string
		rate  uint64
		holds bool
	}{{"paced/held", 1000, true}, {"batches/held", 30_000, true}, {"fast/held", 0, true}, {"paced/void", 1000, false}, {"fast/void", 0, false}} {
		b.Run(bb.name, func(b *testing.B) {
			e := brokertest.Embed(b, broker.EmbedConfig{})
			came := timing.New()
			if bb.holds {
				holdAll(b, e.URL(), came)
			}
			b.ReportAllocs()
			res, err := Run(b.Context(), Config{To: e.URL(), IDs: 10_000, Count: uint64(b.N), Rate: pace.Rate{Events: bb.rate, Per: time.Second}})
			if err != nil || res.Unheard > 0 {
				b.Fatalf("%+v, %v", res, err)
			}
			b.ReportMetric(float64(res.Sent)/res.Run.Elapsed, "msgs/s")
			b.ReportMetric(res.Lag.P50*1000, "p50-µs")
			b.ReportMetric(res.Lag.P99*1000, "p99-µs")
			if p := came.Percentiles(); p != nil && bb.rate > 0 {
				b.ReportMetric(p.P50*1000, "came-p50-µs")
			}
		})
	}
}

// holdAll subscribes to all ids, and notes when the messages came. It answers no question about them.
func holdAll(b *testing.B, url string, came timing.Histogram) {
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{url}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	sub, err := nc.Subscribe(subject.IDs+">", func(m *nats.Msg) {
		if s, _, ok := wire.NextStamp(m.Data); ok {
			came.Record(time.Since(time.Unix(0, s.Due)))
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		b.Fatal(err)
	}
	if err := nc.FlushTimeout(brokertest.Patience); err != nil {
		b.Fatal(err)
	}
}
