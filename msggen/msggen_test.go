package msggen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cometctl/internal/clienttls"
	"cometctl/internal/pace"
	"cometctl/internal/timing"
)

func TestCheck(t *testing.T) {
	good := Config{To: "http://127.0.0.1:8001/send", IDs: 10_000}
	tests := []struct {
		name string
		set  func(*Config)
		want string // in the error; empty: it is good
	}{
		{"good", func(*Config) {}, ""},
		{"localhost", func(c *Config) { c.To = "http://LocalHost/send" }, ""},
		{"IPv6", func(c *Config) { c.To = "http://[::1]:8001/send" }, ""},
		{"all of 127/8", func(c *Config) { c.To = "http://127.9.9.9:8001/send" }, ""},
		{"remote", func(c *Config) { c.To = "http://192.0.2.1:8001/send" }, "--allow-remote"},
		{"remote name", func(c *Config) { c.To = "http://localhost.example.com/send" }, "--allow-remote"},
		{"remote allowed", func(c *Config) { c.To, c.AllowRemote = "http://192.0.2.1:8001/send", true }, ""},
		{"https", func(c *Config) { c.To, c.Trust = "https://127.0.0.1/send", clienttls.Trust{Insecure: true} }, ""},
		{"trust without https", func(c *Config) { c.Trust.Insecure = true }, "is no https URL"},
		{"no authority", func(c *Config) { c.To, c.Trust.CA = "https://127.0.0.1", []byte("x") }, "--ca there is no certificate"},
		{"no scheme", func(c *Config) { c.To = "127.0.0.1:8001/send" }, "https URL"},
		{"no host", func(c *Config) { c.To = "http:///send" }, "https URL"},
		{"empty", func(c *Config) { c.To = "" }, "https URL"},
		{"control byte", func(c *Config) { c.To = "http://127.0.0.1/se\rnd" }, "https URL"},
		{"user", func(c *Config) { c.To = "http://me:secret@127.0.0.1/send" }, ""},
		{"user and token", func(c *Config) { c.To, c.Authorization = "http://me:secret@127.0.0.1/send", "Bearer x" }, "are the same field"},
		{"a password is not told", func(c *Config) { c.To = "ftp://me:secret@127.0.0.1/send" }, `"ftp://me:xxxxx@127.0.0.1/send"`},
		{"no ids", func(c *Config) { c.IDs = 0 }, "--ids 0: "},
		{"negative ids", func(c *Config) { c.IDs = -3 }, "--ids -3: "},
		{"too many ids", func(c *Config) { c.IDs, c.Workers = 1<<30, 2 }, "at most 536870912 ids"},
		{"negative workers", func(c *Config) { c.Workers = -1 }, "--workers -1: there must be 1 to 10000"},
		{"too many workers", func(c *Config) { c.Workers = 10_001 }, "--workers 10001: "},
		{"most workers", func(c *Config) { c.Workers = 10_000 }, ""},
		{"negative duration", func(c *Config) { c.Duration = -time.Second }, "--duration -1s: "},
		{"negative step", func(c *Config) { c.ByDue = -1 }, "--by-due -1ns: give a time"},
		{"negative size", func(c *Config) { c.Size = -1 }, "--size -1: give at most"},
		{"small size", func(c *Config) { c.Size = 20 }, "--size 20: number and stamp need"},
		{"huge size", func(c *Config) { c.Size = MaxSize + 1 }, "--size 1048577: give at most 1048576"},
	}
	for _, tt := range tests {
		cfg := good
		tt.set(&cfg)
		err := cfg.Check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
		if tt.want != "" {
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
				t.Errorf("%s: a connection was opened", tt.name)
				return nil, errors.New("no")
			}
			if _, err := Run(t.Context(), cfg); err == nil {
				t.Errorf("%s: it ran", tt.name)
			}
		}
	}
}

// The URL of the bundled server will do; every other path is taken as it stands.
func TestTargetWithoutPath(t *testing.T) {
	for to, want := range map[string]string{
		"http://127.0.0.1:8001":         "/send",
		"http://127.0.0.1:8001/":        "/send",
		"http://127.0.0.1:8001/send":    "/send",
		"http://127.0.0.1:8001/a%2Fb?c": "/a%2Fb?c",
	} {
		r := &run{cfg: Config{To: to, IDs: 1}}
		if err := r.cfg.Check(); err != nil {
			t.Fatal(err)
		}
		r.aim()
		if line, _, _ := strings.Cut(string(r.head), "\r\n"); line != "POST "+want+" HTTP/1.1" || r.addr != "127.0.0.1:8001" {
			t.Errorf("%s asks %s: %s, want %s", to, r.addr, line, want)
		}
	}
}

// TestLoopback runs with the system's own clock, sleep and sockets; it says nothing about speed.
func TestLoopback(t *testing.T) {
	for _, workers := range []int{1, 2 * maxPrecise} {
		f := &fake{t: t}
		srv := httptest.NewServer(f)
		cfg := Config{To: srv.URL + "/send", IDs: 100, Workers: workers, Rate: pace.Rate{Events: 2000, Per: time.Second}, Count: 300}
		res, err := Run(t.Context(), cfg)
		srv.Close()
		if err != nil || res.Sent != 300 || res.Accepted != 300 || len(f.messages()) != 300 {
			t.Errorf("%d workers: %+v, %v", workers, res, err)
		}
		if res.Lag.Max <= 0 || res.Lag.P50 > res.Lag.Max {
			t.Errorf("%d workers: lag %+v", workers, res.Lag)
		}
		for _, m := range f.messages() {
			if m.at.Before(m.due) {
				t.Errorf("message %d was read %v before it was due", m.num, m.due.Sub(m.at))
			}
		}
	}
}

func TestLoopbackUnlimited(t *testing.T) {
	f := &fake{t: t}
	srv := httptest.NewServer(f)
	defer srv.Close()
	cfg := Config{To: srv.URL + "/send", IDs: 100, Workers: 3, Count: 250_001}
	res, err := Run(t.Context(), cfg)
	if err != nil || res.Accepted != 250_001 || len(f.messages()) != 250_001 || res.Late != 0 || res.Lag != (timing.Percentiles{}) {
		t.Errorf("%+v, %v", res, err)
	}
	if f.requests < 3 {
		t.Errorf("%d requests", f.requests)
	}
}

// BenchmarkRun is what a worker sends as fast as it goes to a server that reads and forgets.
func BenchmarkRun(b *testing.B) {
	res := benchmarkRun(b, Config{})
	b.ReportMetric(res.Rate, "msgs/s")
}

// BenchmarkPaced is how exactly workers keep to 1000 messages a second: from due to written.
func BenchmarkPaced(b *testing.B) {
	for _, workers := range []int{1, 100} {
		b.Run(fmt.Sprint("workers=", workers), func(b *testing.B) {
			res := benchmarkRun(b, Config{Workers: workers, Rate: pace.Rate{Events: 1000, Per: time.Second}})
			b.ReportMetric(res.Lag.P50*1000, "p50-µs")
			b.ReportMetric(res.Lag.P99*1000, "p99-µs")
			b.ReportMetric(100*float64(res.Late)/float64(res.Sent), "late-%")
		})
	}
}

func benchmarkRun(b *testing.B, cfg Config) Result {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{}`)
	}))
	defer srv.Close()
	cfg.To, cfg.IDs, cfg.Count = srv.URL+"/send", 10_000, uint64(b.N)
	b.ReportAllocs()
	res, err := Run(b.Context(), cfg)
	if res.Sent != uint64(b.N) || !errors.Is(err, ErrIncomplete) { // its answers confirm nothing
		b.Fatalf("sent %d of %d: %v", res.Sent, b.N, err)
	}
	return res
}
