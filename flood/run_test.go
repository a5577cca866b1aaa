package flood

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cometctl/internal/pace"
	"cometctl/internal/rlimit"
	"cometctl/internal/wire"
)

// engines are those of this system.
func engines() []string {
	if runtime.GOOS == "linux" {
		return []string{"epoll", "goroutine"}
	}
	return []string{"goroutine"}
}

// comet is a small streaming server on net/http: the oracle of our own reading.
type comet struct {
	*httptest.Server
	mu      sync.Mutex
	streams map[string]chan string // by path: what is written to it next; closed: the stream ends
	asked   atomic.Int64           // requests so far
}

func newComet(t *testing.T) *comet {
	c := &comet{streams: map[string]chan string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(func() {
		c.CloseClientConnections()
		c.Close()
	})
	return c
}

func (c *comet) stream(path string) chan string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[path] == nil {
		c.streams[path] = make(chan string, 100)
	}
	return c.streams[path]
}

func (c *comet) serve(w http.ResponseWriter, r *http.Request) {
	c.asked.Add(1)
	switch {
	case strings.HasPrefix(r.URL.Path, "/busy"):
		http.Error(w, "come later", http.StatusServiceUnavailable)
		return
	case strings.HasPrefix(r.URL.Path, "/silent"):
		<-r.Context().Done()
		return
	}
	f := w.(http.Flusher)
	f.Flush()
	for s := c.stream(r.URL.Path); ; {
		select {
		case text, ok := <-s:
			if !ok {
				return
			}
			fmt.Fprint(w, text)
			f.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func flooded(t *testing.T, ctx context.Context, cfg Config, urls ...string) (Result, error) {
	t.Helper()
	targets, err := LoadTargets(urls, nil, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Targets = targets
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f.Run(ctx)
}

// until calls stop once enough is true of the progress.
func until(stop func(), enough func(Progress) bool) (every time.Duration, watch func(Progress)) {
	return 5 * time.Millisecond, func(p Progress) {
		if enough(p) {
			stop()
		}
	}
}

func TestRun(t *testing.T) {
	for _, engine := range engines() {
		t.Run(engine, func(t *testing.T) {
			c := newComet(t)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			run := wire.NewRunTag(time.Now().Add(time.Minute), 1)
			stamp := func(seq uint64) string {
				return string(wire.AppendStamp(nil, run, []byte("1"), seq, time.Now().UnixNano(), 0))
			}
			var phases []Phase
			cfg := Config{Engine: engine, Loops: 2, InFlight: 16}
			every, watch := until(cancel, func(p Progress) bool { return p.Messages == 3 && p.ClosedEarly == 1 && p.Phase == Hold })
			cfg.Every = every
			cfg.Watch = func(p Progress) {
				if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
					phases = append(phases, p.Phase)
					if p.Phase == Hold {
						c.stream("/test/1") <- "one " + stamp(1)
						c.stream("/test/1") <- "three " + stamp(3) + " cut " + stamp(4)[:10]
						c.stream("/test/1") <- stamp(4)[10:]
						close(c.stream("/test/2"))
					}
				}
				watch(p)
			}
			got, err := flooded(t, ctx, cfg, c.URL+"/test/{1..200}", c.URL+"/busy/{1..3}")
			if err != nil {
				t.Fatal(err)
			}
			if got.Asked != 203 || got.Open != 199 || got.Failed != 3 || got.FailedBy["status 503"] != 3 ||
				got.ClosedEarly != 1 || got.ClosedBy["ended"] != 1 || got.Held() {
				t.Errorf("result %+v, want 199 open of 203, 3 of status 503, 1 ended", got)
			}
			if got.Messages != 3 || got.Missing != 1 || got.Duplicated+got.Reordered != 0 || got.Chunks != 3 || got.Latency == nil {
				t.Errorf("result %+v, want 3 messages, 1 missing, 3 chunks", got)
			}
			if got.OpenPerS <= 0 || got.Connect == nil || got.TTFB == nil || got.TTFB.Max < got.TTFB.P50 {
				t.Errorf("result %+v lacks its timings", got)
			}
			if fmt.Sprint(phases) != "[ramp hold drain]" {
				t.Errorf("phases %v", phases)
			}
		})
	}
}

func TestRunHold(t *testing.T) {
	for _, engine := range engines() {
		c := newComet(t)
		started := time.Now()
		got, err := flooded(t, context.Background(), Config{Engine: engine, Hold: 30 * time.Millisecond,
			Pace: pace.Every(time.Millisecond)}, c.URL+"/test/{1..10}")
		if err != nil || !got.Held() || got.Open != 10 {
			t.Errorf("%s: result %+v, error %v, want 10 open", engine, got, err)
		}
		if took := time.Since(started); took < 39*time.Millisecond {
			t.Errorf("%s: took %v, less than 9 intervals and the hold", engine, took)
		}
	}
}

// Nobody listens; everybody says no; everybody is silent: the run ends by itself and says why.
func TestRunNothingOpens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	l.Close()
	c := newComet(t)
	for _, engine := range engines() {
		for url, want := range map[string]string{nobody + "/{1..300}": "refused", c.URL + "/busy/{1..300}": "status 503", c.URL + "/silent/{1..300}": "timeout"} {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			cfg := Config{Engine: engine, InFlight: 300}
			if want == "timeout" {
				cfg.ConnectTimeout = 50 * time.Millisecond
			}
			got, err := flooded(t, ctx, cfg, url)
			cancel()
			if !errors.Is(err, ErrAllEnded) || got.Failed != 300 || got.FailedBy[want] != 300 || got.Open != 0 {
				t.Errorf("%s %s: error %v, result %+v; want 300 times %s", engine, url, err, got, want)
			}
		}
	}
}

// A server that goes away takes all connections with it: that ends the run, however long the hold.
func TestRunServerGoes(t *testing.T) {
	for _, engine := range engines() {
		c := newComet(t)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var once sync.Once
		got, err := flooded(t, ctx, Config{Engine: engine, Watch: func(p Progress) {
			if p.Phase == Hold {
				once.Do(c.CloseClientConnections)
			}
		}}, c.URL+"/test/{1..20}")
		cancel()
		if !errors.Is(err, ErrAllEnded) || got.ClosedEarly != 20 || got.Open != 0 || got.Failed != 0 {
			t.Errorf("%s: error %v, result %+v; want 20 closed early", engine, err, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	many, err := LoadTargets([]string{"http://127.0.0.1/{1..268435455}"}, nil, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no targets were accepted")
	}
	limit, err := rlimit.Raise()
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{Targets: many})
	if limit.Hard < 1<<28 && (err == nil || !strings.HasPrefix(err.Error(), "flood: 268435455 connections need 268435519 file descriptors")) {
		t.Errorf("error %v, want one about descriptors", err)
	}
}
