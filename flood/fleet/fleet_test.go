package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cometctl/flood"
	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/strain"
	"cometctl/internal/wire"
)

// TestMain makes the test binary a worker, as flood --join - would be, and a coordinator that a test can kill.
func TestMain(m *testing.M) {
	switch last := os.Args[len(os.Args)-1]; {
	case last == "-":
		os.Exit(playWorker())
	case len(os.Args) > 2 && os.Args[1] == "coordinate":
		targets, err := flood.LoadTargets(os.Args[2:], nil, flood.Rules{})
		if err == nil {
			_, err = Run(context.Background(), fleetOf(targets, 3, func(p Progress) {
				if p.Phase == flood.Hold {
					fmt.Println(p.Workers[0].PID, p.Workers[1].PID, p.Workers[2].PID)
				}
			}))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	os.Exit(m.Run())
}

func playWorker() int {
	in := bufio.NewReader(os.Stdin)
	line, _ := in.ReadBytes('\n')
	i, err := ParseInvitation(line)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel(ErrGone)
	}()
	_, err = Join(ctx, JoinConfig{Connect: broker.ConnectConfig{URLs: i.URLs, User: i.User, Password: i.Password}, Token: i.Token})
	if err != nil && !errors.Is(err, flood.ErrAllEnded) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// fleetOf is a fleet of n processes.
func fleetOf(targets *flood.Targets, n int, watch func(Progress)) Config {
	return Config{Flood: flood.Config{Targets: targets, Every: 20 * time.Millisecond}, Workers: n, Program: os.Args[0],
		Embed: broker.EmbedConfig{Listen: "127.0.0.1:0"}, Watch: watch}
}

func load(t testing.TB, sources ...string) *flood.Targets {
	t.Helper()
	targets, err := flood.LoadTargets(sources, nil, flood.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

// eventful is a server whose streams differ by their number, and are the same for whoever asks: every seventh is refused,
// every eleventh ends, and once go is closed the others get stamps, of which some are missing, repeated or out of order.
func eventful(t testing.TB, start chan struct{}) *httptest.Server {
	run := wire.NewRunTag(time.Unix(1_700_000_000, 0), 0)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(path.Base(r.URL.Path))
		if n%7 == 0 {
			http.Error(w, "come later", http.StatusServiceUnavailable)
			return
		}
		w.(http.Flusher).Flush()
		if n%11 == 0 {
			return
		}
		select {
		case <-start:
		case <-r.Context().Done():
			return
		}
		for i, seq := range []uint64{1, 2, 4, 3, 3, 7, 8}[:3+n%5] {
			due := run.Start().UnixNano() + int64(i)*1e8
			fmt.Fprintf(w, "%s\n", wire.AppendStamp(nil, run, []byte(path.Base(r.URL.Path)), seq, due, 0))
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// A fleet finds what one flood finds, to the last message.
func TestFleetIsOneFlood(t *testing.T) {
	const n = 100
	want, messages := 0, uint64(0)
	for i := 1; i <= n; i++ {
		if i%7 != 0 && i%11 != 0 {
			want++
			messages += []uint64{3, 4, 4, 5, 6}[i%5]
		}
	}
	var results []flood.Result
	for _, several := range []bool{false, true} {
		start := make(chan struct{})
		var once sync.Once
		s := eventful(t, start)
		ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
		watch := func(p flood.Progress) {
			if p.Phase == flood.Hold {
				once.Do(func() { close(start) })
			}
			if p.Messages == messages && p.ClosedEarly > 0 {
				cancel()
			}
		}
		cfg := flood.Config{Targets: load(t, s.URL+"/test/{1..40}", s.URL+"/test/{41..100}"), ByDue: 100 * time.Millisecond, Every: 20 * time.Millisecond, Watch: watch}
		if several {
			fc := fleetOf(cfg.Targets, 3, func(p Progress) { watch(p.Progress) })
			fc.Flood.ByDue = cfg.ByDue
			r, err := Run(ctx, fc)
			if err != nil {
				t.Fatal(err)
			}
			checkWorkers(t, r)
			results = append(results, r.Result)
		} else {
			f, err := flood.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			r, err := f.Run(ctx)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, r)
		}
		cancel()
	}
	one, all := results[0], results[1]
	if one.Open != want || one.Messages != messages || one.Missing == 0 || one.Duplicated == 0 || one.Reordered == 0 {
		t.Errorf("%+v: want %d open, %d messages, and some of everything", one, want, messages)
	}
	for _, r := range results {
		if r.Connect == nil || r.TTFB == nil || r.Latency == nil || r.OpenPerS <= 0 {
			t.Errorf("%+v lacks its timings", r)
		}
	}
	if len(all.Client.Readings) == 0 || all.Client.RSS <= one.Client.RSS || one.Hold <= 0 || all.Hold <= 0 {
		t.Errorf("the fleet took %+v, one flood %+v; want the memory of all its processes", all.Client, one.Client)
	}
	for _, r := range []*flood.Result{&one, &all} {
		r.Client, r.Hold = strain.Client{}, 0
	}
	one.Connect, one.TTFB, one.Latency, one.OpenPerS = nil, nil, nil, 0
	all.Connect, all.TTFB, all.Latency, all.OpenPerS = nil, nil, nil, 0
	if got, want := string(text(t, all)), string(text(t, one)); got != want {
		t.Errorf("the fleet found\n%s\none flood\n%s", got, want)
	}
}

func checkWorkers(t *testing.T, r Result) {
	t.Helper()
	asked, open, messages := 0, 0, uint64(0)
	for i, w := range r.Workers {
		asked, open, messages = asked+w.Asked, open+w.Open, messages+w.Messages
		if w.Name != fmt.Sprintf("local-%d", i+1) || w.PID == 0 || w.Host == "" || w.Ended != "" || w.ClockOffset != 0 || w.ClockError <= 0 || len(w.Share) == 0 {
			t.Errorf("worker %+v", w)
		}
	}
	if asked != r.Asked || open != r.Open || messages != r.Messages || len(r.Workers) != 3 {
		t.Errorf("the workers had %d, %d open, %d messages; the result says %+v", asked, open, messages, r.Result)
	}
}

// One worker is killed: it is said how, what it held is lost and what it had counted is not, and the others go on.
func TestWorkerKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	start := make(chan struct{})
	s := eventful(t, start)
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
	defer cancel()
	var once sync.Once
	said := ""
	cfg := fleetOf(load(t, s.URL+"/test/{1..6}", s.URL+"/x/{1..6}", s.URL+"/y/{1..6}"), 3, nil)
	pid, held := 0, uint64(0)
	cfg.Watch = func(p Progress) {
		switch w := p.Workers[1]; {
		case p.Phase != flood.Hold:
		case pid == 0:
			once.Do(func() { close(start) })
			if p.Messages == 3*26 {
				pid, held = w.PID, w.Messages
				if worker, err := os.FindProcess(pid); err != nil || worker.Kill() != nil {
					t.Error(err)
				}
			}
		case w.Ended != "":
			cancel()
		}
	}
	cfg.Log = func(line string) { said += line + "\n" }
	r, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := r.Workers[1]
	if w.Ended != "signal: killed" || w.Open != 0 || w.ClosedEarly != 6 || w.Messages != held || held != 26 {
		t.Errorf("worker %+v, want 6 ended with it, and its 26 messages", w)
	}
	if r.Open != 12 || r.ClosedBy[Died] != 6 || r.ClosedEarly != 6 || r.Failed != 0 || r.Messages != 78 || r.Held() {
		t.Errorf("result %+v, want 12 of 18 open, and 78 messages", r.Result)
	}
	if want := fmt.Sprintf("worker local-2 (pid %d) has died, and 6 open connections with it: signal: killed\n", pid); said != want {
		t.Errorf("said %q, want %q", said, want)
	}
}

// kill -9 of the coordinator leaves no worker behind.
func TestCoordinatorKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	s := eventful(t, nil)
	cmd := exec.Command(os.Args[0], "coordinate", s.URL+"/test/{1..6}")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	pids := strings.Fields(line)
	if err != nil || len(pids) != 3 {
		t.Fatalf("%q, %v", line, err)
	}
	cmd.Process.Kill()
	for _, pid := range pids {
		brokertest.Until(t, "worker "+pid+" ends", func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			_, rest, _ := strings.Cut(string(stat), ") ")
			return err != nil || strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
		})
	}
}

// The hold ends a run by itself; a server that goes away does, too; and nobody is left to blame.
func TestFleetEnds(t *testing.T) {
	s := eventful(t, nil)
	cfg := fleetOf(load(t, s.URL+"/test/{1..6}"), 2, nil)
	cfg.Flood.Hold = 20 * time.Millisecond
	if r, err := Run(t.Context(), cfg); err != nil || !r.Held() || r.Open != 6 {
		t.Errorf("%+v, %v; want 6 open", r, err)
	}
	cfg.Flood.Hold = 0
	var once sync.Once
	cfg.Watch = func(p Progress) {
		if p.Phase == flood.Hold {
			once.Do(s.CloseClientConnections)
		}
	}
	r, err := Run(t.Context(), cfg)
	if !errors.Is(err, flood.ErrAllEnded) || r.Open != 0 || r.ClosedEarly != 6 || r.ClosedBy[Died] != 0 {
		t.Errorf("%+v, %v; want 6 closed early", r, err)
	}
}

// What cannot be is said before anything is opened, and leaves nobody behind.
func TestFleetDoesNotStart(t *testing.T) {
	s := eventful(t, nil)
	few := load(t, s.URL+"/test/{1..3}")
	taken := brokertest.Embed(t, broker.EmbedConfig{})
	none := load(t, "http://127.0.0.1/{1..268000000}")
	for _, c := range []struct {
		name string
		cfg  Config
		not  bool // ErrNotStarted
		says string
	}{
		{"no workers", fleetOf(few, 0, nil), true, "no workers"},
		{"no targets", fleetOf(nil, 1, nil), true, "no targets"},
		{"more workers than targets", fleetOf(few, 4, nil), true, "4 workers for 3 connections"},
		{"too few descriptors", fleetOf(none, 2, nil), true, "268000000 connections over 2 workers are up to 134000000 for each"},
		{"no such program", func() Config { c := fleetOf(few, 2, nil); c.Program = "/nowhere"; return c }(), false, "starting worker local-1"},
		{"a program that is none", func() Config {
			c := fleetOf(few, 2, nil)
			c.Args = []string{"-test.run", "xxx", "-test.nosuchflag"}
			c.Program = os.Args[0]
			c.Embed.Listen = strings.TrimPrefix(taken.URL(), "nats://")
			return c
		}(), false, "embedded NATS server does not start"},
		{"a bad header", func() Config { c := fleetOf(few, 2, nil); c.Ask.Header = []string{"nonsense"}; return c }(), true, "is no header field"},
	} {
		opened := false
		c.cfg.Watch = func(Progress) { opened = true }
		r, err := Run(t.Context(), c.cfg)
		if err == nil || errors.Is(err, ErrNotStarted) != c.not || !strings.Contains(err.Error(), c.says) || r.Asked != 0 || opened {
			t.Errorf("%s: %+v, %v (opened %v); want %q", c.name, r, err, opened, c.says)
		}
	}
}
