package memlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cometctl/internal/pace"
)

// A fakeProcess lives from born to died, on the bubble's clock.
type fakeProcess struct {
	process
	born, died time.Duration // since the test's start; died 0 is never
}

// A fakeWorld is a system of such processes.
type fakeWorld struct {
	start     time.Time
	processes []fakeProcess
	cost      func(row int) time.Duration // of a sample
	said      []string                    // what the next probe has to say
	rows      int
	closed    int
}

func (w *fakeWorld) lives(p fakeProcess) bool {
	now := time.Since(w.start)
	return now >= p.born && (p.died == 0 || now < p.died)
}

func (w *fakeWorld) find(t Target) ([]process, error) {
	var table []process
	for _, p := range w.processes {
		if w.lives(p) {
			table = append(table, p.process)
		}
	}
	return t.choose(table, 1)
}

// A fakeProbe is of processes, which have no children.
type fakeProbe struct {
	world *fakeWorld
	ps    []fakeProcess
	lost  []process
	shown []memberSample
}

func (p *fakeProbe) alive() bool {
	p.ps = slices.DeleteFunc(p.ps, func(fp fakeProcess) bool {
		if p.world.lives(fp) {
			return false
		}
		p.lost = append(p.lost, fp.process)
		return true
	})
	return len(p.ps) > 0
}

func (p *fakeProbe) close()                  { p.world.closed++ }
func (p *fakeProbe) ended() []process        { return p.lost }
func (p *fakeProbe) members() []memberSample { return p.shown }

func (p *fakeProbe) news() []string {
	said := p.world.said
	p.world.said = nil
	return said
}

// The RSS of a sample is the sum of the pids.
func (p *fakeProbe) sample(s *Sample) error {
	s.clear()
	if p.world.cost != nil {
		time.Sleep(p.world.cost(p.world.rows))
	}
	p.world.rows++
	if !p.alive() {
		return errEnded
	}
	s.RSS, s.Conns = 0, int64(p.world.rows)
	p.shown = p.shown[:0]
	for _, fp := range p.ps {
		s.RSS += int64(fp.pid)
		own := *s
		own.RSS = int64(fp.pid)
		p.shown = append(p.shown, memberSample{fp.pid, &own})
	}
	return nil
}

// A loopRun is what a test sees of one run.
type loopRun struct {
	rows  []Sample
	notes string
	took  time.Duration
	err   error
}

// runLoop runs cfg in the world of processes, on a clock that stands still while anything runs.
// With interrupt it ends the context at that time.
func runLoop(t *testing.T, cfg Config, w *fakeWorld, interrupt time.Duration) (run loopRun) {
	t.Helper()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		w.start = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if interrupt > 0 {
			time.AfterFunc(interrupt, cancel)
		}
		l := loop{
			Config:   cfg,
			schedule: pace.Every(cfg.Interval),
			logs:     []*Writer{NewWriter(&log)},
			find:     func() ([]process, error) { return w.find(cfg.Target) },
		}
		l.open = func(ps []process) (prober, error) {
			probe := &fakeProbe{world: w}
			for _, fp := range w.processes {
				if w.lives(fp) && slices.ContainsFunc(ps, func(p process) bool { return p.pid == fp.pid }) {
					probe.ps = append(probe.ps, fp)
				}
			}
			return probe, nil
		}
		if err := l.attach(); err != nil {
			t.Fatal(err)
		}
		run.err = l.run(ctx)
		l.detach()
		run.took = time.Since(w.start)
	})
	for line := range strings.Lines(log.String()) {
		if strings.HasPrefix(line, "# ") {
			text, _, _ := strings.Cut(line, "\t")
			run.notes += text + "\n"
		}
	}
	r := NewReader(&log)
	run.rows = readAll(t, r)
	if r.Warned() != 0 {
		t.Errorf("the log is not clean: %v", r.Warnings())
	}
	return run
}

func (r loopRun) elapsed() string {
	var s []string
	for _, row := range r.rows {
		s = append(s, row.Elapsed.String())
	}
	return strings.Join(s, " ")
}

func (r loopRun) check(t *testing.T, elapsed string, took time.Duration, err error, notes ...string) {
	t.Helper()
	if got := r.elapsed(); got != elapsed {
		t.Errorf("rows at %s\nwant    %s", got, elapsed)
	}
	if r.took != took {
		t.Errorf("took %v, want %v", r.took, took)
	}
	if !errors.Is(r.err, err) {
		t.Errorf("error %v, want %v", r.err, err)
	}
	for _, note := range notes {
		if !strings.Contains(r.notes, "# "+note) {
			t.Errorf("no note %q in\n%s", note, r.notes)
		}
	}
}

func one() *fakeWorld {
	return &fakeWorld{processes: []fakeProcess{{process: process{pid: 7, args: []string{"erl", "-sname", "n1"}}}}}
}

func TestTenSecondsAreElevenRows(t *testing.T) {
	w := one()
	w.said = []string{"slab_kb is empty: no"}
	run := runLoop(t, Config{Target: Target{PIDs: []int{7}}, Interval: time.Second, Duration: 10 * time.Second, Version: "v0"}, w, 0)
	run.check(t, "0s 1s 2s 3s 4s 5s 6s 7s 8s 9s 10s", 10*time.Second, nil,
		"cometctl memlog v0: pid 7 (erl -sname n1), every 1s for 10s\n# columns: date epoch rss_kb conns elapsed_s ",
		"slab_kb is empty: no\n# end: the duration is over; 11 rows, 0 missed\n")
	if strings.Count(run.notes, "\n") != 4 {
		t.Errorf("notes:\n%s", run.notes)
	}
	if w.closed != 1 {
		t.Errorf("the probe was closed %d times", w.closed)
	}
}

// The article's loop slept after its work; ours does not add the work to the interval.
func TestScheduleDoesNotDrift(t *testing.T) {
	w := one()
	w.cost = func(int) time.Duration { return 5 * time.Second }
	run := runLoop(t, Config{Target: Target{PIDs: []int{7}}, Interval: time.Minute, Duration: 3 * time.Minute}, w, 0)
	run.check(t, "0s 1m0s 2m0s 3m0s", 3*time.Minute+5*time.Second, nil, "end: the duration is over; 4 rows, 0 missed")
}

func TestMissedSamplesAreLeftOutAndNoted(t *testing.T) {
	w := one()
	w.cost = func(row int) time.Duration {
		if row == 1 || row == 4 {
			return 2500 * time.Millisecond
		}
		return 0
	}
	run := runLoop(t, Config{Target: Target{PIDs: []int{7}}, Interval: time.Second, Duration: 7 * time.Second}, w, 0)
	// Row 1 is taken at 1 s and lasts until 3.5 s: 2 and 3 are missed. Row 4 starts at 6 s: 7 is missed, 8 would be too late.
	run.check(t, "0s 1s 4s 5s 6s", 8500*time.Millisecond, nil,
		"samples missed: 2; the one before took until 3.5s", "samples missed: 1; the one before took until 8.5s",
		"end: the duration is over; 5 rows, 3 missed")
}

func TestDurationShorterThanInterval(t *testing.T) {
	run := runLoop(t, Config{Target: Target{PIDs: []int{7}}, Interval: time.Minute, Duration: time.Second}, one(), 0)
	run.check(t, "0s", 0, nil, "end: the duration is over; 1 rows")
}

func TestInterruptEndsAnUnboundedLogWell(t *testing.T) {
	run := runLoop(t, Config{Target: Target{PIDs: []int{7}}, Interval: time.Minute}, one(), 150*time.Second)
	run.check(t, "0s 1m0s 2m0s", 150*time.Second, nil, "end: interrupted; 3 rows, 0 missed")
}

func TestInterruptCutsABoundedLogShort(t *testing.T) {
	run := runLoop(t, Config{Target: Target{PIDs: []int{7}}, Interval: time.Minute, Duration: time.Hour}, one(), 90*time.Second)
	run.check(t, "0s 1m0s", 90*time.Second, ErrInterrupted, "end: interrupted; 2 rows")
	if !strings.Contains(run.err.Error(), "2 of 61 rows") {
		t.Errorf("error is %v", run.err)
	}
}

func TestTargetsEnd(t *testing.T) {
	n1 := regexp.MustCompile("n1")
	ended := []string{"target ended: pid 7 (erl -sname n1), seen 1m31s after", "end: the target ended; 2 rows"}
	tests := []struct {
		name   string
		target Target
		follow bool
		err    error
	}{
		{"pid", Target{PIDs: []int{7}}, false, ErrTargetEnded},
		{"pid, followed", Target{PIDs: []int{7}}, true, nil},
		{"name, followed", Target{Name: n1}, true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := one()
			w.processes[0].died = 90*time.Second + 500*time.Millisecond
			run := runLoop(t, Config{Target: tt.target, Interval: time.Minute, Follow: tt.follow}, w, 0)
			run.check(t, "0s 1m0s", 91*time.Second, tt.err, ended...)
		})
	}
}

// With a short interval it is the sample that finds the target gone.
func TestTargetEndsBetweenShortIntervals(t *testing.T) {
	w := one()
	w.processes[0].died = 250 * time.Millisecond
	run := runLoop(t, Config{Target: Target{PIDs: []int{7}}, Interval: 100 * time.Millisecond, Follow: true}, w, 0)
	run.check(t, "0s 100ms 200ms", 300*time.Millisecond, nil, "target ended: pid 7")
}

func TestRestartIsFollowedByName(t *testing.T) {
	w := one()
	w.processes[0].died = 65 * time.Second
	again := fakeProcess{process: process{pid: 8, args: []string{"erl", "-sname", "n1"}}, born: 130 * time.Second}
	w.processes = append(w.processes, again)
	run := runLoop(t, Config{Target: Target{Name: regexp.MustCompile("n1")}, Interval: time.Minute, Duration: 4 * time.Minute}, w, 0)
	run.check(t, "0s 1m0s 3m0s 4m0s", 4*time.Minute, nil,
		"target ended: pid 7 (erl -sname n1), seen 1m5s", "target is back: pid 8 (erl -sname n1)", "end: the duration is over; 4 rows")
	if pids := fmt.Sprint(run.rows[1].RSS, run.rows[2].RSS); pids != "7 8" {
		t.Errorf("rows of pids %s", pids)
	}
	if w.closed != 2 {
		t.Errorf("%d probes closed", w.closed)
	}
}

func TestTwoThatFitAreWaitedOut(t *testing.T) {
	w := one()
	w.processes[0].died = 5500 * time.Millisecond
	for i, life := range [][2]time.Duration{{6 * time.Second, 20 * time.Second}, {6 * time.Second, 0}} {
		w.processes = append(w.processes, fakeProcess{
			process: process{pid: 8 + i, args: []string{"erl", "-sname", "n1"}}, born: life[0], died: life[1]})
	}
	run := runLoop(t, Config{Target: Target{Name: regexp.MustCompile("n1")}, Interval: 10 * time.Second, Duration: 30 * time.Second}, w, 0)
	run.check(t, "0s 20s 30s", 30*time.Second, nil, "waiting: memlog: more than one process fits")
	if n := strings.Count(run.notes, "# waiting"); n != 1 {
		t.Errorf("said %d times that it waits:\n%s", n, run.notes)
	}
}

func TestTargetThatDoesNotComeBack(t *testing.T) {
	w := one()
	w.processes[0].died = 1500 * time.Millisecond
	run := runLoop(t, Config{Target: Target{Port: 80, Name: nil}, Interval: time.Second, Duration: 4 * time.Second},
		&fakeWorld{processes: []fakeProcess{{process: process{pid: 7, ports: []int{80}}, died: 1500 * time.Millisecond}}}, 0)
	run.check(t, "0s 1s", 4*time.Second, ErrTargetMissing, "target ended: pid 7", "end: the duration is over; 2 rows")
}

func TestRunRefusesAnImpossibleSchedule(t *testing.T) {
	for _, c := range []Config{{}, {Interval: -1}, {Interval: 1, Duration: -1}} {
		if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "interval") {
			t.Errorf("interval %v, duration %v: %v", c.Interval, c.Duration, err)
		}
	}
}

func TestWriteErrorNamesWhatIsSafe(t *testing.T) {
	disk := &countingWriter{room: 600}
	synctest.Test(t, func(t *testing.T) {
		w := one()
		w.start = time.Now()
		l := loop{
			Config:   Config{Interval: time.Second},
			schedule: pace.Every(time.Second),
			logs:     []*Writer{NewWriter(disk)},
			probe:    &fakeProbe{world: w, ps: w.processes},
		}
		err := l.run(t.Context())
		rows := readAll(t, NewReader(&disk.Buffer))
		want := fmt.Sprintf("the %d rows before it are whole", len(rows))
		if err == nil || len(rows) == 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%d rows, error %v", len(rows), err)
		}
	})
}

// Several targets are logged until the last has ended; who ended before is told, in the log and at its end.
func TestSeveralTargets(t *testing.T) {
	two := func(firstDied, secondDied time.Duration) *fakeWorld {
		return &fakeWorld{processes: []fakeProcess{
			{process: process{pid: 7, args: []string{"a"}}, died: firstDied},
			{process: process{pid: 80, args: []string{"b"}}, died: secondDied}}}
	}
	cfg := Config{Target: Target{PIDs: []int{7, 80}}, Interval: time.Minute, Duration: 3 * time.Minute}

	run := runLoop(t, cfg, two(0, 0), 0)
	run.check(t, "0s 1m0s 2m0s 3m0s", 3*time.Minute, nil, "cometctl memlog : pid 7 (a), pid 80 (b), every")

	run = runLoop(t, cfg, two(90500*time.Millisecond, 0), 0)
	run.check(t, "0s 1m0s 2m0s 3m0s", 3*time.Minute, ErrTargetEnded, "target ended: pid 7 (a), seen 1m31s after")
	if strings.Count(run.notes, "# target ended") != 1 || !strings.Contains(run.err.Error(), "1 of 2, the first of them pid 7 (a)") {
		t.Errorf("error %v, notes:\n%s", run.err, run.notes)
	}
	if sums := fmt.Sprint(run.rows[1].RSS, run.rows[2].RSS); sums != "87 80" {
		t.Errorf("sums before and after the end: %s", sums)
	}

	run = runLoop(t, cfg, two(30*time.Second, 90*time.Second), 0)
	run.check(t, "0s 1m0s", 90*time.Second, ErrTargetEnded, "target ended: pid 7 (a), seen 30s", "target ended: pid 80 (b), seen 1m30s", "end: the target ended; 2 rows")

	cfg.Follow = true
	run = runLoop(t, cfg, two(90*time.Second, 0), 0)
	run.check(t, "0s 1m0s 2m0s 3m0s", 3*time.Minute, nil, "target ended: pid 7 (a)")
	run = runLoop(t, cfg, two(30*time.Second, 90*time.Second), 0)
	run.check(t, "0s 1m0s", 90*time.Second, nil, "end: the target ended; 2 rows")

	cfg.Duration, cfg.Follow = 0, false
	run = runLoop(t, cfg, two(30*time.Second, 0), 100*time.Second)
	run.check(t, "0s 1m0s", 100*time.Second, ErrTargetEnded, "end: interrupted; 2 rows")
}

// With PerProcess the columns are named anew when the members are others.
func TestPerProcess(t *testing.T) {
	w := one()
	w.processes = append(w.processes, fakeProcess{process: process{pid: 80}, died: 90 * time.Second})
	run := runLoop(t, Config{Target: Target{PIDs: []int{7, 80}}, PerProcess: true, Follow: true, Interval: time.Minute, Duration: 3 * time.Minute}, w, 0)
	run.check(t, "0s 1m0s 2m0s 3m0s", 3*time.Minute, nil)
	var named []string
	for line := range strings.Lines(run.notes) {
		if names, ok := strings.CutPrefix(line, columnsMark); ok {
			_, own, _ := strings.Cut(strings.TrimSpace(names), " procs")
			named = append(named, own)
		}
	}
	want := []string{" rss_kb:7 anon_kb:7 pss_kb:7 fds:7 cpu_s:7 threads:7 rss_kb:80 anon_kb:80 pss_kb:80 fds:80 cpu_s:80 threads:80",
		" rss_kb:7 anon_kb:7 pss_kb:7 fds:7 cpu_s:7 threads:7"}
	if !slices.Equal(named, want) {
		t.Errorf("columns lines name %q, want %q", named, want)
	}
	if sums := fmt.Sprint(run.rows[0].RSS, run.rows[3].RSS); sums != "87 7" {
		t.Errorf("sums %s", sums)
	}
}
