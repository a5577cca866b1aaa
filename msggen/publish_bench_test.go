package msggen

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"cometctl/internal/pace"
)

// TestPublishLoopback runs with the system's own clock, sleep and sockets; it says nothing about speed.
func TestPublishLoopback(t *testing.T) {
	for _, tt := range []struct{ workers, connections int }{{1, 1}, {1, 3}, {2 * maxPrecise, 0}} {
		for _, rate := range []uint64{0, 3000} {
			f := &foreign{fake: fake{t: t}}
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f.request(r, 0)
				w.WriteHeader(http.StatusAccepted)
			}))
			cfg := Config{To: "POST " + srv.URL + "/send/{id}", IDs: 100, Workers: tt.workers, Connections: tt.connections,
				Rate: pace.Rate{Events: rate, Per: time.Second}, Count: 500}
			res, err := Run(t.Context(), cfg)
			srv.Close()
			if err != nil || res.Accepted != 500 || res.Status[202] != 500 || len(f.messages()) != 500 {
				t.Errorf("%+v: %+v, %v", tt, res, err)
			}
		}
	}
}

// BenchmarkPublish is one request per message against a server that answers without reading: paced, from due to written,
// and as fast as it goes.
func BenchmarkPublish(b *testing.B) {
	for name, rate := range map[string]uint64{"paced": 1000, "fast": 0} {
		b.Run(name, func(b *testing.B) {
			addr := answerTildes(b)
			b.ReportAllocs()
			res, err := Run(b.Context(), Config{To: "POST http://" + addr + "/{id}", IDs: 10_000, Count: uint64(b.N),
				Rate: pace.Rate{Events: rate, Per: time.Second}})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(res.Rate, "msgs/s")
			b.ReportMetric(res.Lag.P50*1000, "p50-µs")
			b.ReportMetric(res.Lag.P99*1000, "p99-µs")
		})
	}
}

// answerTildes is a server that gives an answer for each two tildes: a message has so many, around its stamp.
func answerTildes(b *testing.B) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in, out, tildes := make([]byte, 64<<10), bytes.Repeat([]byte(okAnswer), 1000), 0
		for {
			n, err := conn.Read(in)
			if err != nil {
				return
			}
			tildes += bytes.Count(in[:n], []byte("~"))
			for ; tildes > 1; tildes -= 2 * min(tildes/2, 1000) {
				if _, err := conn.Write(out[:len(okAnswer)*min(tildes/2, 1000)]); err != nil {
					return
				}
			}
		}
	}()
	return l.Addr().String()
}
