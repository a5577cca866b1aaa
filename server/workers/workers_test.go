//go:build linux

package workers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cometctl/server"
)

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) count(what string) int {
	return strings.Count(j.String(), what)
}

// All places of all workers are given away before anybody is refused, however suddenly they come, and a place that becomes free is found.
func TestNobodyIsRefusedWhileThereIsRoom(t *testing.T) {
	for _, c := range []struct{ n, places int }{{4, 3}, {3, 200}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			f := start(t, c.n, c.places)
			room := c.n * c.places
			all := make([]net.Conn, room)
			var clients sync.WaitGroup
			for id := range all {
				clients.Go(func() {
					nc, line, err := streamErr(t, f, id)
					if all[id] = nc; line != ok {
						t.Errorf("connection %d of %d: %s, %v", id+1, room, line, err)
					}
				})
			}
			clients.Wait()
			st := report(f)
			if st.Conns.Open != int64(room) || st.Conns.Max != int64(room) || st.Router.Sessions != int64(room) || st.Conns.Refused != 0 {
				t.Errorf("%+v, %+v", st.Conns, st.Router)
			}
			for _, w := range st.Workers {
				if w.Conns.Open != int64(c.places) || w.State != "running" || w.Restarts != 0 || w.PID == 0 {
					t.Errorf("%+v", w)
				}
			}
			if _, line := stream(t, f, 1); line != "HTTP/1.1 503 Service Unavailable" {
				t.Errorf("one more: %s", line)
			}
			all[7].Close()
			until(t, "a place is free", func() bool { return report(f).Conns.Open == int64(room-1) })
			if _, line := stream(t, f, 7); line != ok {
				t.Errorf("it is not found: %s", line)
			}
		})
	}
}

// A worker that is killed is started again. Meanwhile the others take what comes, what waited for it is served after all, and nothing that it
// had counted is forgotten.
func TestKilledWorkerComesBack(t *testing.T) {
	var log journal
	cfg := config(2, func(int) any { return task{Max: 100} })
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	f := startWith(t, cfg)
	for id := range 40 {
		stream(t, f, id)
	}
	until(t, "the loops have counted their turns", func() bool { return report(f).Work.Loop.In == int64(said(40)) })
	before := report(f)
	victim := before.Workers[0]
	signalTo(t, f, 0, syscall.SIGKILL)
	for id := range 20 {
		if _, line := stream(t, f, 100+id); line != ok {
			t.Errorf("while it is dead: %s", line)
		}
	}
	until(t, "it is back", func() bool { w := report(f).Workers[0]; return w.State == "running" && w.Restarts == 1 })
	st := report(f)
	if w := st.Workers[0]; w.PID == victim.PID || !strings.Contains(w.Why, "signal: killed") {
		t.Errorf("%+v", w)
	}
	if st.Conns.Accepted != 60 || st.Conns.Streams != 60 || st.Conns.Open != 60-victim.Conns.Open {
		t.Errorf("%+v, and %+v were killed", st.Conns, victim.Conns)
	}
	ended := int64(0)
	for _, n := range st.Conns.ClosedBy {
		ended += n
	}
	if ended != victim.Conns.Open {
		t.Errorf("%d are counted as ended: %v", ended, st.Conns.ClosedBy)
	}
	if was, now := before.Work, st.Work; now.Loop.In <= was.Loop.In || now.Loop.Out <= was.Loop.Out || now.Loop.Turn.Count <= was.Loop.Turn.Count ||
		now.Login.Count < was.Login.Count || was.Login.Count == 0 || now.Loop.In != int64(said(40)+20*len(request(100))) {
		t.Errorf("the work was %+v and is %+v", was, now)
	}
	if st.Router.Sessions != st.Conns.Open {
		t.Errorf("%+v", st.Router)
	}
	if n := log.count("has died"); n != 1 {
		t.Errorf("its death is told %d times: %s", n, log.String())
	}
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
}

// said is the number of bytes that the first n streams asked with.
func said(n int) (bytes int) {
	for id := range n {
		bytes += len(request(id))
	}
	return bytes
}

// A worker that does not react leaves the group, is not killed, and comes back.
func TestStuckWorker(t *testing.T) {
	cfg := config(2, func(int) any { return task{Max: 100} })
	cfg.Stuck = time.Second / 2
	f := startWith(t, cfg)
	pid := report(f).Workers[0].PID
	signalTo(t, f, 0, syscall.SIGSTOP)
	until(t, "all its threads stand still", func() bool { return stopped(t, pid) }) // and none accepts somebody more
	var clients sync.WaitGroup
	for id := range 20 { // some go to the one that is stopped, and wait there until that is noticed
		clients.Go(func() {
			if _, line, err := streamErr(t, f, 100+id); line != ok {
				t.Errorf("when it is stopped: %s, %v", line, err)
			}
		})
	}
	until(t, "it is seen to be stuck", func() bool { return report(f).Workers[0].State == "stuck" })
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
	clients.Wait()
	for id := range 20 {
		if _, line := stream(t, f, id); line != ok {
			t.Errorf("while it is stuck: %s", line)
		}
	}
	signalTo(t, f, 0, syscall.SIGCONT)
	until(t, "it is back", func() bool { return report(f).Workers[0].State == "running" })
	if w := report(f).Workers[0]; w.PID != pid || w.Restarts != 0 {
		t.Errorf("%+v, want pid %d still", w, pid)
	}
}

// stopped tells whether all threads of a process are stopped.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatal(pid, err)
	}
	return !slices.ContainsFunc(tasks, func(name string) bool {
		text, _ := os.ReadFile(name)
		_, rest, _ := strings.Cut(string(text), ") ")
		return !strings.HasPrefix(rest, "T")
	})
}

func TestDrain(t *testing.T) {
	f := start(t, 3, 100)
	var clients sync.WaitGroup
	for id := range 30 {
		nc, _ := stream(t, f, id)
		clients.Go(func() {
			if rest, err := io.ReadAll(nc); err != nil || !strings.HasSuffix(string(rest), "0\r\n\r\n") {
				t.Errorf("stream %d ends with %q, %v", id, rest, err)
			}
			nc.Close()
		})
	}
	if err := f.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	clients.Wait()
	st := report(f)
	if st.Conns.Accepted != 30 || st.Conns.Open != 0 {
		t.Errorf("%+v", st.Conns)
	}
	for _, w := range st.Workers {
		if w.State != "over" || w.PID != 0 || w.Restarts != 0 {
			t.Errorf("%+v", w)
		}
	}
	if f.Ready() == nil {
		t.Error("it is ready after its end")
	}
	if nc, err := net.Dial("tcp", f.Comet().String()); err == nil {
		nc.Close()
		t.Error("somebody still listens")
	}
}

// Who never closes is cut and counted; who is stopped is killed.
func TestDrainInVain(t *testing.T) {
	cfg := config(2, func(int) any { return task{Max: 100} })
	f := startWith(t, cfg)
	stream(t, f, 1)
	for _, w := range report(f).Workers {
		if err := syscall.Kill(w.PID, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.Drain(ctx); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("drained with %v", err)
	}
}

func TestWorkerThatCannotStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		bad   task
		want  []string
		usage bool
	}{
		{"it says why", task{Fail: "no coal"}, []string{"worker 1", "no coal"}, false},
		{"its configuration is bad", task{Bad: true}, []string{"worker 1", "--engine"}, true},
		{"it dies without a word", task{Die: "last words"}, []string{"worker 1", "last words", "exit status 3"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(3, func(i int) any {
				if i == 1 {
					return c.bad
				}
				return task{Max: 10}
			})
			var said journal
			cfg.Stderr = &said
			f, err := Start(t.Context(), cfg)
			if err == nil {
				f.Close()
				t.Fatal("it started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if errors.Is(err, server.ErrConfig) != c.usage {
				t.Errorf("%q is a bad configuration: %v", err, !c.usage)
			}
		})
	}
}

// One that cannot start again is tried again, ever more rarely, and the others go on.
func TestWorkerThatCannotComeBack(t *testing.T) {
	var log journal
	var lives sync.Map
	cfg := config(2, func(i int) any {
		if _, again := lives.LoadOrStore(i, true); again {
			return task{Fail: "no coal"}
		}
		return task{Max: 10}
	})
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Stderr = io.Discard
	f := startWith(t, cfg)
	signalTo(t, f, 0, syscall.SIGKILL)
	until(t, "it was tried again twice", func() bool { return report(f).Workers[0].Restarts >= 2 })
	if w := report(f).Workers[0]; !strings.Contains(w.Why, "no coal") {
		t.Errorf("%+v", w)
	}
	if log.count("in=100ms") != 1 || log.count("in=200ms") != 1 {
		t.Errorf("%s", log.String())
	}
	if _, line := stream(t, f, 1); line != ok {
		t.Errorf("the other one: %s", line)
	}
}

func TestRest(t *testing.T) {
	rest := time.Duration(0)
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
		if rest = restAfter(rest, time.Second); rest != want*time.Millisecond {
			t.Errorf("rests %v, want %v ms", rest, want)
		}
	}
	if got := restAfter(rest, longestRest); got != firstRest {
		t.Errorf("rests %v after a good life", got)
	}
}

// kill -9 of the parent leaves no worker behind.
func TestKilledParentLeavesNobody(t *testing.T) {
	parent := exec.Command(os.Args[0], "parent")
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	var pids []int
	for lines := bufio.NewScanner(out); len(pids) < 3 && lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil || syscall.Kill(pid, 0) != nil {
			t.Errorf("worker %q does not live", lines.Text())
		}
		pids = append(pids, pid)
	}
	parent.Process.Kill()
	if len(pids) != 3 {
		t.Fatalf("workers %v", pids)
	}
	for _, pid := range pids {
		until(t, "it is gone", func() bool { return !alive(pid) })
	}
}

// alive tells whether a process runs; a zombie, that nobody waited for, does not.
func alive(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func TestPortInUse(t *testing.T) {
	f := start(t, 1, 10)
	cfg := config(2, func(int) any { return task{Max: 10} })
	cfg.Listen = f.Comet().String()
	if _, err := Start(t.Context(), cfg); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v", err)
	}
}

// A process without a parent says so and leaves alone what it did not inherit.
func TestServeWithoutParent(t *testing.T) {
	out, err := exec.Command(os.Args[0], "worker").CombinedOutput()
	if err == nil || !strings.Contains(string(out), ErrNoParent.Error()) {
		t.Errorf("%v: %s", err, out)
	}
}

// What the histories have counted goes on where a worker dies.
func TestKilledWorkersHistory(t *testing.T) {
	f := start(t, 1, 100)
	for id := range 5 {
		nc, err := net.Dial("tcp", f.Comet().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		fmt.Fprintf(nc, "GET /events/%d HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 5\r\n\r\n", id)
	}
	until(t, "they have been told a gap each", func() bool { h := report(f).History; return h.Resumed == 5 && h.Gaps == 5 })
	signalTo(t, f, 0, syscall.SIGKILL)
	until(t, "it is back", func() bool { w := report(f).Workers[0]; return w.State == "running" && w.Restarts == 1 })
	if h := report(f).History; h.Resumed != 5 || h.Gaps != 5 || h.IDs != 0 {
		t.Errorf("%+v", h)
	}
}

// A worker that drains is not taken for stuck, though it answers nothing but connections any more.
func TestDrainIsNotStuck(t *testing.T) {
	var log journal
	cfg := config(1, func(int) any { return task{Max: 100} })
	cfg.Log, cfg.Stuck = slog.New(slog.NewTextHandler(&log, nil)), 200*time.Millisecond
	f := startWith(t, cfg)
	nc, _ := stream(t, f, 1)
	w := f.workers[0]
	l, before := w.link, log.count("does not answer")
	drained := make(chan error)
	go func() { drained <- f.Drain(context.Background()) }()
	if rest, err := io.ReadAll(nc); err != nil || !strings.HasSuffix(string(rest), "0\r\n\r\n") {
		t.Errorf("%q, %v", rest, err)
	}
	w.check(l) // as long as we do not close, it has not ended
	nc.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if log.count("does not answer") > before {
		t.Error(log.String())
	}
}
