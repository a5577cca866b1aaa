package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"cometctl/server/history"
)

// BenchmarkRender frames one message: number, escaping, chunk. B/s is that of messages.
func BenchmarkRender(b *testing.B) {
	stamped := "Fake message Num = 42 ~17635632000000042.1234.567.1763563212345678901~"
	for _, c := range []struct{ name, msg string }{
		{"stamp", stamped},
		{"html", strings.Repeat("<b>&</b>", 9)},
		{"4KB", strings.Repeat(stamped, 58)},
	} {
		b.Run(c.name, func(b *testing.B) {
			fl, cl, m := &frontLoop{}, &client{n: 41, dialect: dialectHTML}, &message{text: []byte(c.msg)}
			b.SetBytes(int64(len(c.msg)))
			b.ReportAllocs()
			for b.Loop() {
				fl.render(cl, nil, m)
			}
		})
	}
}

// BenchmarkSendStream is the way of a message from a publisher's line to a subscriber's socket, with real sockets: 100
// subscribers, who read and throw away. One publisher, its body in memory.
func BenchmarkSendStream(b *testing.B) {
	const ids = 100
	for _, c := range []struct {
		name, form string
		parse      lineParser
		kept       int
	}{
		{"tsv", "%d\t%s\n", parseTSV, 0},
		{"ndjson", `{"id":"%d","msg":"%s"}` + "\n", parseJSON, 0},
		{"tsv-history", "%d\t%s\n", parseTSV, 100},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := start(b, Config{MaxPending: 1 << 30, MaxPendingTotal: 1 << 40, History: history.Config{Messages: c.kept}})
			var lines bytes.Buffer
			for i := range ids {
				go io.Copy(io.Discard, dial(b, s).stream(fmt.Sprint(i)))
				fmt.Fprintf(&lines, c.form, i, "Fake message Num = 42 ~17635632000000042.1234.567.1763563212345678901~")
			}
			p := s.newPublisher()
			var t totals
			body := func(n int) io.Reader {
				return io.LimitReader(&repeat{text: lines.Bytes()}, int64(n)*int64(lines.Len()))
			}
			if err := p.stream(body(100), c.parse, &t); err != nil { // buffers have their size after it
				b.Fatal(err)
			}
			b.ReportAllocs()
			rounds := (b.N + ids - 1) / ids
			b.ResetTimer()
			if err := p.stream(body(rounds), c.parse, &t); err != nil {
				b.Fatal(err)
			}
			sum := p.await(patience)
			b.StopTimer()
			if sum.Delivered != int64(100+rounds)*ids || t.Bad > 0 {
				b.Fatalf("%+v", sum)
			}
			b.ReportMetric(float64(rounds*ids)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkLogin opens a stream and ends it.
func BenchmarkLogin(b *testing.B) {
	s := start(b, Config{})
	for b.Loop() {
		c := dial(b, s).stream("1")
		c.reset()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "conns/s")
}

// BenchmarkScrape is one GET of /metrics and of /stats, with nobody there and with 9,000 streams: nobody walks over them.
func BenchmarkScrape(b *testing.B) {
	for _, conns := range []int{0, 9000} {
		s := start(b, Config{MaxConns: 9500})
		for i := range conns {
			dial(b, s).stream(strconv.Itoa(i))
		}
		for _, path := range []string{"/metrics", "/stats"} {
			b.Run(fmt.Sprintf("%s/%d", path[1:], conns), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w := httptest.NewRecorder()
					r := httptest.NewRequest("GET", path, nil)
					r.Host = s.Admin().String()
					s.http.Handler.ServeHTTP(w, r)
					if w.Code != 200 {
						b.Fatalf("%d %s", w.Code, w.Body)
					}
				}
			})
		}
	}
}
