package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cometctl/flood"
)

// world starts the processes of one benchmark, and ends them with it.
type world struct {
	b   *testing.B
	bin string // cometctl
}

// newWorld builds cometctl: the test binary is larger, and memory is what is measured.
func newWorld(b *testing.B) *world {
	w := &world{b: b, bin: filepath.Join(b.TempDir(), "cometctl")}
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", w.bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	b.ReportMetric(0, "ns/op") // says nothing here, and is not printed if zero
	return w
}

// process is one that a world started.
type process struct {
	b      *testing.B
	cmd    *exec.Cmd
	pid    int
	out    io.Reader    // stdout
	in     io.Closer    // stdin, whose end is the end of a bare process
	errs   bytes.Buffer // stderr, unless somebody reads it
	end    func() error // ends it at once
	waited bool
}

// start starts a process that is killed when the benchmark ends, or this process does. It reads stderr line by line, if
// given, until the process ends.
func (w *world) start(cmd *exec.Cmd, stderr func(line []byte)) *process {
	p := &process{b: w.b, cmd: cmd}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.b.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		w.b.Fatal(err)
	}
	p.out, p.in = out, in
	cmd.Stderr = &p.errs
	var pipe io.Reader
	if stderr != nil {
		cmd.Stderr = nil
		if pipe, err = cmd.StderrPipe(); err != nil {
			w.b.Fatal(err)
		}
	}
	if err := cmd.Start(); err != nil {
		w.b.Fatal(err)
	}
	p.pid, p.end = cmd.Process.Pid, cmd.Process.Kill
	w.b.Cleanup(func() {
		if !p.waited {
			p.end()
			cmd.Wait()
		}
	})
	if pipe != nil {
		go func() {
			for lines := bufio.NewScanner(pipe); lines.Scan(); {
				stderr(lines.Bytes())
			}
		}()
	}
	return p
}

// result decodes the one JSON value that is on stdout.
func (p *process) result(v any) {
	if err := json.NewDecoder(p.out).Decode(v); err != nil {
		p.b.Fatalf("%s: no result: %v\n%s", p.cmd, err, &p.errs)
	}
}

// stop ends the process as Ctrl-C would.
func (p *process) stop() {
	p.cmd.Process.Signal(os.Interrupt)
	p.wait()
}

func (p *process) wait() {
	p.b.Helper()
	io.Copy(io.Discard, p.out)
	p.waited = true
	if err := p.cmd.Wait(); err != nil {
		p.b.Fatalf("%s: %v\n%s", p.cmd, err, &p.errs)
	}
}

// serving is a server that takes connections.
type serving struct {
	*process
	listen string // host:port
	target string // all its connections, as flood takes them; %d is how many
	send   string // where messages go
}

func (w *world) serve(args ...string) *serving {
	p := w.start(exec.Command(w.bin, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--json"}, args...)...), nil)
	var r ready
	p.result(&r)
	time.Sleep(settle)
	return &serving{p, r.Listen, "http://" + r.Listen + "/test/{1..%d}", "http://" + r.Admin + "/send"}
}

func (s *serving) rss(b *testing.B) float64 { return processRSS(b, s.pid) }

// flooding is a flood whose connections are open.
type flooding struct {
	*process
	messages atomic.Uint64 // received, as of its last progress
}

// flood opens so many connections, and returns when they are open.
func (w *world) flood(target string, conns int, args ...string) *flooding {
	if strings.Contains(target, "%d") {
		target = fmt.Sprintf(target, conns)
	}
	if len(args) == 0 || args[0] != "--stats-every" {
		args = append([]string{"--stats-every", "0"}, args...)
	}
	f := &flooding{}
	open := make(chan flood.Progress, 1)
	f.process = w.start(exec.Command(w.bin, append([]string{"flood", target, "--json"}, args...)...), func(line []byte) {
		var p flood.Progress
		if err := json.Unmarshal(line, &p); err != nil {
			fmt.Fprintf(os.Stderr, "flood: %s\n", line)
			return
		}
		f.messages.Store(p.Messages)
		if p.Phase == flood.Hold {
			select {
			case open <- p:
			default:
			}
		}
	})
	select {
	case p := <-open:
		if p.Open != conns {
			w.b.Fatalf("%s: %d of %d connections are open", f.cmd, p.Open, conns)
		}
	case <-time.After(time.Minute):
		w.b.Fatalf("%s: %d connections are not open after a minute", f.cmd, conns)
	}
	return f
}

// allReceived waits until so many messages were received, or no more come, and says when the last one was seen.
func (f *flooding) allReceived(n uint64) time.Time {
	last, at := f.messages.Load(), time.Now()
	for last < n && time.Since(at) < 2*time.Second {
		time.Sleep(10 * time.Millisecond)
		if now := f.messages.Load(); now != last {
			last, at = now, time.Now()
		}
	}
	return at
}

// finish ends the flood and returns its result. A connection that did not live so long ends the benchmark.
func (f *flooding) finish() flood.Result {
	var r flood.Result
	f.cmd.Process.Signal(os.Interrupt)
	f.result(&r)
	f.wait()
	return r
}

// msggen sends until its duration is over, and says how many messages it sent.
func (w *world) msggen(to string, args ...string) uint64 {
	p := w.start(exec.Command(w.bin, append([]string{"msggen", "--to", to, "--json", "--stats-every", "0", "--ids", strconv.Itoa(benchUsed)}, args...)...), nil)
	var r struct{ Sent uint64 }
	p.result(&r)
	p.wait()
	return r.Sent
}

// bare starts one of the bare processes of bare_linux_test.go.
func (w *world) bare(order bareOrder) *serving {
	text, err := json.Marshal(order)
	if err != nil {
		w.b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestBare$", "-test.timeout", "10m")
	cmd.Env = append(os.Environ(), bareEnv+"="+string(text))
	p := w.start(cmd, nil)
	p.end = p.in.Close // killed, it would leave the directory behind that every test binary makes
	if order.Do == "read" {
		return &serving{process: p}
	}
	var r ready
	p.result(&r)
	time.Sleep(settle)
	return &serving{p, r.Listen, "http://" + r.Listen + "/test/{1..%d}", ""}
}

// read has a bare reader read what a bare process writes, messages of so many bytes.
func (w *world) read(from *serving, size int) (r bareResult) {
	_, port, _ := strings.Cut(from.listen, ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		w.b.Fatal(err)
	}
	reader := w.bare(bareOrder{Do: "read", Port: n, Conns: benchUsed, Bytes: size})
	reader.result(&r)
	return r
}

// processRSS is the resident size of a process, in bytes.
func processRSS(b *testing.B, pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages * os.Getpagesize())
}

// processCPU is the time that a process has used so far, user and system, in steps of 10 ms.
func processCPU(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:])) // from the third on, state
	var ticks int
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// tree calls each for a process and all below it.
func tree(pid int, each func(pid int)) {
	each(pid)
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				tree(n, each)
			}
		}
	}
}

func treeRSS(b *testing.B, pid int) (bytes float64) {
	tree(pid, func(pid int) { bytes += processRSS(b, pid) })
	return bytes
}

func treeCPU(b *testing.B, pid int) (d time.Duration) {
	tree(pid, func(pid int) { d += processCPU(b, pid) })
	return d
}
