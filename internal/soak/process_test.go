package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cometctl/report"
)

// TestMain makes the test binary stand in for cometctl: called with the name of a
// piece as its first argument it plays that piece, with real processes, pipes and
// signals, and with invented numbers. Called with conductSoak it conducts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case serve, mem, flood, msggen:
			play(os.Args[1], os.Args[2:])
			os.Exit(0)
		case conductSoak:
			_, err := Run(context.Background(), Config{Conns: 10, Rate: 10, Duration: 6 * time.Second,
				Interval: 100 * time.Millisecond, Dir: os.Args[2], Program: os.Args[0]})
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	// With the race detector every piece would linger for a second at its end.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	os.Exit(m.Run())
}

const conductSoak = "conduct-soak"

// play plays a piece until its work is done or it is interrupted. A piece named in
// SOAK_TEST_DIES dies after it has begun.
func play(name string, args []string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	if strings.Contains(os.Getenv("SOAK_TEST_DIES"), name) {
		fmt.Fprintln(os.Stderr, name+": out of luck")
		os.Exit(2)
	}
	var row, done <-chan time.Time
	switch name {
	case serve:
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		node := argText(args, "--node")
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			switch node {
			case "":
				fmt.Fprintln(w, `{"ledger":{"sent":3,"delivered":3}}`)
			case "front-1-1": // gets all messages
				fmt.Fprintln(w, `{"ledger":{"received":3,"delivered":3},"cluster":{"connected":true}}`)
			default:
				fmt.Fprintln(w, `{"ledger":{},"cluster":{"connected":true,"servers":1}}`)
			}
		}))
		if strings.HasPrefix(node, "nats-") {
			fmt.Printf("{\"admin\":%q,\"pid\":%d,\"nats\":\"nats://%[1]s\",\"routes\":\"nats://%[1]s\"}\n", l.Addr(), os.Getpid())
		} else {
			fmt.Printf("{\"listen\":%q,\"admin\":%q,\"pid\":%d}\n", l.Addr(), l.Addr(), os.Getpid())
		}
	case msggen:
		done = time.After(argDuration(args, "--duration"))
	}
	row = time.Tick(50 * time.Millisecond)
	log, began := os.Stdout, time.Now()
	for n := 0; ; n++ {
		switch name {
		case mem:
			if n == 0 {
				log, _ = os.Create(args[len(args)-1])
			}
			for _, w := range []*os.File{os.Stdout, log} {
				if n == 0 {
					fmt.Fprintln(w, "# columns: date epoch rss_kb conns elapsed_s")
				}
				fmt.Fprintf(w, "x\t%d\t%d\t10\t%.3f\n", time.Now().Unix(), 5000+n, time.Since(began).Seconds())
			}
		case flood:
			fmt.Fprintln(os.Stderr, `{"open":10,"messages":3,"phase":"hold"}`)
		case msggen:
			fmt.Fprintln(os.Stderr, `{"sent":3}`)
		}
		select {
		case <-row:
			continue
		case <-done:
		case <-stop:
		}
		break
	}
	switch name {
	case flood:
		fmt.Println(`{"asked":10,"open":10,"messages":3}`)
	case msggen:
		fmt.Println(`{"sent":3,"accepted":3,"rate":10}`)
	}
}

// argText is the value of a flag, or nothing.
func argText(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 {
		return args[i+1]
	}
	return ""
}

func argDuration(args []string, flag string) time.Duration {
	d, err := time.ParseDuration(argText(args, flag))
	if err != nil {
		panic(err)
	}
	return d
}

func testConfig(t *testing.T) Config {
	return Config{Conns: 10, Rate: 10, Duration: 200 * time.Millisecond, Interval: 50 * time.Millisecond,
		Dir: filepath.Join(t.TempDir(), "soak"), Program: os.Args[0], Version: "test"}
}

func readManifest(t *testing.T, dir string) Manifest {
	t.Helper()
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRunWithProcesses(t *testing.T) {
	cfg := testConfig(t)
	s, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict != report.Pass || *s.Messages.Sent != 3 || *s.Messages.Missing != 0 || *s.Conns.Peak != 10 {
		t.Errorf("verdict %s %q", s.Verdict, s.Reasons)
	}
	for _, name := range []string{manifestFile, summaryFile, statsFile, logFile, pictureFile, "serve.json", "serve.log",
		"flood.json", "flood.log", "msggen.json", "msggen.log", "memlog.log"} {
		if _, err := os.Stat(filepath.Join(cfg.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	m := readManifest(t, cfg.Dir)
	if m.Version != "test" || len(m.Pieces) != 4 || len(m.Phases) != 5 || m.Asked.IntervalS != 0.05 {
		t.Errorf("manifest %+v", m)
	}
}

func TestTopologyWithProcesses(t *testing.T) {
	cfg := testConfig(t)
	cfg.Topology = Topology{2, 2}
	s, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict != report.Pass || s.Nodes != 6 || *s.Messages.Lost != 0 || *s.Messages.Delivered != 3 {
		t.Errorf("verdict %s %q, %d nodes", s.Verdict, s.Reasons, s.Nodes)
	}
	for _, name := range []string{statsFile, "stats-nats-2.json", "stats-front-2-2.json", "nats-1.json", "front-1-2.log", "flood.json", pictureFile} {
		if _, err := os.Stat(filepath.Join(cfg.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	m := readManifest(t, cfg.Dir)
	if len(m.Pieces) != 9 || len(m.Phases) != 5 || m.Asked.Topology != "2x2" {
		t.Errorf("manifest %+v", m)
	}
	checkGone(t, m)
}

// kill -9 of a node in the traffic is a finding; the run goes on to its end without it.
func TestKilledNode(t *testing.T) {
	for _, name := range []string{"front-2-1", "nats-1"} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Topology, cfg.Duration = Topology{2, 2}, 600*time.Millisecond
			killed := false
			cfg.Progress = func(p Progress) {
				if p.Phase != phaseTraffic || killed {
					return
				}
				for _, p := range readManifest(t, cfg.Dir).Pieces {
					if victim, err := os.FindProcess(p.PID); p.Name == name && err == nil {
						killed = victim.Kill() == nil
					}
				}
			}
			s, err := Run(t.Context(), cfg)
			if err != nil || !killed || s.Verdict != report.Fail || !strings.HasPrefix(s.Reasons[0], name+" ended by itself in the traffic phase, after ") {
				t.Errorf("%v, killed: %v, verdict %s %q", err, killed, s.Verdict, s.Reasons)
			}
			m := readManifest(t, cfg.Dir)
			if traffic := m.Phases[3]; time.Duration(traffic.To-traffic.From) < cfg.Duration || *s.Messages.Received != 3 {
				t.Errorf("the run did not go on: %+v, %+v", m.Phases, s.Messages)
			}
			checkGone(t, m)
		})
	}
}

func TestProcessThatDies(t *testing.T) {
	for _, name := range []string{serve, mem, flood, msggen} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SOAK_TEST_DIES", name)
			s, err := Run(t.Context(), testConfig(t))
			want := report.Inconclusive
			if name == serve {
				want = report.Fail
			}
			if err != nil || s.Verdict != want || !strings.Contains(strings.Join(s.Reasons, "\n"), name+": out of luck") {
				t.Errorf("%v, verdict %s, want %s, %q", err, s.Verdict, want, s.Reasons)
			}
		})
	}
}

// A folder that fails costs the folder: the summary is there all the same, from what was seen until then.
func TestFolderThatVanishes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it does not let a folder with open files go")
	}
	for phase, want := range map[string]report.Verdict{phaseRamp: report.Inconclusive, phaseTraffic: report.Inconclusive, phaseDrain: report.Pass} {
		t.Run(phase, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Progress = func(p Progress) {
				if p.Phase == phase {
					os.RemoveAll(cfg.Dir)
				}
			}
			s, err := Run(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), cfg.Dir) || strings.Contains(err.Error(), ".tmp") {
				t.Errorf("%v, want an error that names the file", err)
			}
			if s.Verdict != want || s.Memory.BaseRSS == nil {
				t.Errorf("verdict %s, want %s: %q, %+v", s.Verdict, want, s.Reasons, s.Memory)
			}
			switch reasons := strings.Join(s.Reasons, "\n"); {
			case want == report.Pass:
				if *s.Messages.Sent != 3 || *s.Messages.Received != 3 || *s.Messages.Delivered != 3 || *s.Conns.Peak != 10 {
					t.Errorf("summary %+v", s)
				}
			case !strings.Contains(reasons, "The run was stopped in the "+phase+" phase"):
				t.Errorf("reasons %q", reasons)
			}
		})
	}
}

// Why a copy of what a piece printed is not whole is known, and the first reason stays.
func TestTornCopy(t *testing.T) {
	n := &crew{}
	full := errors.New("no space left")
	n.tear(full)
	n.tear(errors.New("still none"))
	if err := n.unwritten(); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	cfg := testConfig(t)
	cfg.Program = filepath.Join(t.TempDir(), "nothing")
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "starting serve") {
		t.Errorf("%v, want an error that names serve", err)
	}
}

func TestQuitKillsEveryPiece(t *testing.T) {
	cfg := testConfig(t)
	cfg.Duration = 6 * time.Second
	quit := make(chan struct{})
	cfg.Quit = quit
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Progress = func(p Progress) {
		if p.Phase == phaseTraffic && ctx.Err() == nil {
			cancel()
			close(quit)
		}
	}
	began := time.Now()
	s, err := Run(ctx, cfg)
	if !errors.Is(err, ErrInterrupted) || s.Verdict != report.Inconclusive || strings.Contains(strings.Join(s.Reasons, "\n"), "killed") {
		t.Errorf("%v, %s %q", err, s.Verdict, s.Reasons)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	checkGone(t, readManifest(t, cfg.Dir))
}

// kill -9 of the conductor leaves no piece behind.
func TestKilledConductorLeavesNobody(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills the pieces of a conductor that was killed")
	}
	dir := filepath.Join(t.TempDir(), "soak")
	cmd := exec.Command(os.Args[0], conductSoak, dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var m Manifest
	for deadline := time.Now().Add(10 * time.Second); len(m.Pieces) < 4; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the pieces never started: %+v", m)
		}
		if _, err := os.Stat(filepath.Join(dir, manifestFile)); err == nil {
			m = readManifest(t, dir)
		}
	}
	for _, p := range m.Pieces {
		if !alive(p.PID) {
			t.Fatalf("%s does not live; the test shows nothing", p.Name)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	checkGone(t, m)
}

// checkGone waits a moment for the kernel and demands that no piece lives.
func checkGone(t *testing.T, m Manifest) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	if len(m.Pieces) == 0 {
		t.Fatal("no piece was started")
	}
	for _, p := range m.Pieces {
		for deadline := time.Now().Add(5 * time.Second); alive(p.PID); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s (pid %d) still lives", p.Name, p.PID)
				if left, err := os.FindProcess(p.PID); err == nil {
					left.Kill()
				}
				break
			}
		}
	}
}

// alive reports whether a process runs; a zombie, that nobody waited for, does not.
func alive(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
