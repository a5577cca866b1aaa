package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkTLSMemory is the slope of the server's RSS between 1,000 and 5,000 idle connections over TLS, as it is after their handshakes and
// after the server was told to collect garbage, and how many connections open in a second while this process does the other half of each
// handshake. Plain ones of the same engine are opened and held in the same way.
func BenchmarkTLSMemory(b *testing.B) {
	for _, c := range []struct {
		name    string
		version uint16 // 0: plain
	}{{"plain", 0}, {"tls1.2", tls.VersionTLS12}, {"tls1.3", tls.VersionTLS13}} {
		b.Run(c.name, func(b *testing.B) {
			const few = 1_000
			w := newWorld(b)
			args := []string{"--engine", "goroutine"}
			var cfg *tls.Config
			if c.version != 0 {
				cert, key, err := newPair("localhost", time.Hour)
				if err != nil {
					b.Fatal(err)
				}
				args = []string{"--tls-cert", benchFile(b, cert), "--tls-key", benchFile(b, key)}
				cfg = &tls.Config{InsecureSkipVerify: true, MinVersion: c.version, MaxVersion: c.version}
			}
			s := w.serve(args...)
			var rss [2][2]float64 // with few and with many; as it is and after a collection
			began := time.Now()
			var took time.Duration
			for i, n := range []int{few, benchFew - few} {
				holdIdle(b, s.listen, cfg, n)
				took += time.Since(began)
				time.Sleep(settle)
				rss[i][0] = s.rss(b)
				resp, err := http.Post(strings.TrimSuffix(s.send, "/send")+"/gc", "", nil)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(resp, err)
				}
				resp.Body.Close()
				rss[i][1] = s.rss(b)
				began = time.Now()
			}
			b.ReportMetric((rss[1][0]-rss[0][0])/(benchFew-few), "B/conn")
			b.ReportMetric((rss[1][1]-rss[0][1])/(benchFew-few), "B/conn-collected")
			b.ReportMetric(benchFew/took.Seconds(), "conns/s")
		})
	}
}

// holdIdle opens n streams, over TLS unless cfg is nil, and holds them until the benchmark ends.
func holdIdle(b *testing.B, addr string, cfg *tls.Config, n int) {
	b.Helper()
	next := make(chan int)
	var mu sync.Mutex
	var failed []error
	var dials sync.WaitGroup
	for range 32 {
		dials.Go(func() {
			for id := range next {
				c, err := openStream(addr, cfg, id)
				mu.Lock()
				if err != nil {
					failed = append(failed, err)
				} else {
					b.Cleanup(func() { c.Close() })
				}
				mu.Unlock()
			}
		})
	}
	for id := range n {
		next <- id
	}
	close(next)
	dials.Wait()
	if len(failed) > 0 {
		b.Fatalf("%d of %d connections: %v", len(failed), n, failed[0])
	}
}

// openStream asks for a stream and reads its head.
func openStream(addr string, cfg *tls.Config, id int) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	talk := c
	if cfg != nil {
		talk = tls.Client(c, cfg)
	}
	head := make([]byte, 4096)
	if _, err = fmt.Fprintf(talk, "GET /test/%d HTTP/1.1\r\nHost: %s\r\n\r\n", id, addr); err == nil {
		_, err = talk.Read(head)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return talk, nil
}

func benchFile(b *testing.B, text []byte) string {
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}
