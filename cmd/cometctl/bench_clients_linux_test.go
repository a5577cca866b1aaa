package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// client is a load tool that can be told to open a number of connections to one URL and to hold them.
type client struct {
	name, pkg string                                                   // of the program, and of the Debian package that has it
	cmd       func(b *testing.B, program, url string, n int) *exec.Cmd // holds them for some minutes, or until it is killed
}

// clients are those of Debian. k6 is not among them for its licence; ab stops each connection at the end of a response that has none.
var clients = []client{
	{name: "wrk", pkg: "wrk", cmd: func(_ *testing.B, program, url string, n int) *exec.Cmd {
		return exec.Command(program, "-t", "1", "-c", strconv.Itoa(n), "-d", "5m", "--timeout", "5m", url)
	}},
	{name: "h2load", pkg: "nghttp2-client", cmd: func(_ *testing.B, program, url string, n int) *exec.Cmd {
		return exec.Command(program, "--h1", "-t", "1", "-c", strconv.Itoa(n), "-n", strconv.Itoa(n), url)
	}},
	{name: "tsung", pkg: "tsung", cmd: tsung},
}

// BenchmarkClients is what holding idle connections costs flood and other load tools, at one server: the slope of RSS between 5,000 and
// 19,000 connections, the RSS with the latter, the CPU time until they were open, and how many were opened a second, from the first that the
// server had accepted to the last. Those that do not get there say how far they came ("open").
func BenchmarkClients(b *testing.B) {
	few, many := benchFew, 19_000
	if testing.Short() {
		few, many = 100, 500
	}
	b.Run("flood", func(b *testing.B) {
		holds(b, client{name: "flood", cmd: func(_ *testing.B, program, url string, n int) *exec.Cmd {
			return exec.Command(program, "flood", fmt.Sprintf("%s{1..%d}", strings.TrimSuffix(url, "1"), n), "--stats-every", "0")
		}}, "", few, many)
	})
	for _, c := range clients {
		b.Run(c.name, func(b *testing.B) {
			program, err := exec.LookPath(c.name)
			if err != nil {
				b.Skipf("%v: apt-get install %s", err, c.pkg)
			}
			holds(b, c, program, few, many)
		})
	}
}

func holds(b *testing.B, c client, program string, few, many int) {
	w := newWorld(b)
	if program == "" {
		program = w.bin
	}
	less := w.held(c, program, few)
	more := w.held(c, program, many)
	b.ReportMetric((more.rss-less.rss)/float64(many-few), "B/conn")
	b.ReportMetric(mega(more.rss), "RSS-MB")
	b.ReportMetric(more.perS, "conns/s")
	b.ReportMetric(more.cpu.Seconds(), "cpu-s")
	b.ReportMetric(more.server.Seconds(), "serve-cpu-s")
	b.ReportMetric(float64(more.open), "open")
}

// held is what holding connections took.
type held struct {
	open        int
	perS, rss   float64
	cpu, server time.Duration // of the client, and of the server beside it, until all were open
}

// held has a client hold n connections to a fresh server. A client that does not get any further for ten seconds is measured as it stands.
func (w *world) held(c client, program string, n int) (h held) {
	s := w.serve()
	defer s.stop()
	admin := strings.TrimSuffix(s.send, "/send")
	before := processCPU(w.b, s.pid)
	cmd := c.cmd(w.b, program, "http://"+s.listen+"/test/1", n)
	p := w.start(cmd, nil)
	var first, last time.Time
	for begun := time.Now(); h.open < n && time.Since(begun) < 2*time.Minute; time.Sleep(5 * time.Millisecond) {
		open, now := w.streams(admin), time.Now()
		if open > 0 && first.IsZero() {
			first = now
		}
		if open > h.open {
			h.open, last = open, now
		}
		if !last.IsZero() && now.Sub(last) > 10*time.Second {
			break
		}
	}
	if took := last.Sub(first); took > 0 {
		h.perS = float64(h.open) / took.Seconds()
	}
	h.cpu, h.server = treeCPU(w.b, p.pid), processCPU(w.b, s.pid)-before
	time.Sleep(2 * settle)
	h.rss = treeRSS(w.b, p.pid)
	tree(p.pid, func(pid int) { // children of a script would outlive it
		if pid != p.pid {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.waited = true
	return h
}

// streams asks a server's admin listener how many streams are open.
func (w *world) streams(admin string) int {
	r, err := http.Get(admin + "/stats")
	if err != nil {
		w.b.Fatal(err)
	}
	defer r.Body.Close()
	var stats struct{ Conns struct{ Streams int } }
	if err := json.NewDecoder(r.Body).Decode(&stats); err != nil {
		w.b.Fatal(err)
	}
	return stats.Conns.Streams
}

// tsung writes a scenario of n users, who ask for the URL and wait for the end of its response, and runs it. Its name server, which would stay, is one of
// its own and ends with the benchmark.
func tsung(b *testing.B, program, url string, n int) *exec.Cmd {
	dir := b.TempDir()
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	_, port, _ := strings.Cut(host, ":")
	scenario := filepath.Join(dir, "hold.xml")
	text := fmt.Sprintf(`<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd">
<tsung loglevel="notice">
  <clients><client host="localhost" use_controller_vm="true" maxusers="30000"/></clients>
  <servers><server host="127.0.0.1" port="%s" type="tcp"/></servers>
  <load><arrivalphase phase="1" duration="10" unit="minute"><users arrivalrate="20000" unit="second" maxnumber="%d"/></arrivalphase></load>
  <sessions><session name="hold" probability="100" type="ts_http">
    <request><http url="/%s" method="GET" version="1.1"/></request>
  </session></sessions>
</tsung>
`, port, n, path)
	if err := os.WriteFile(scenario, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	_, names, _ := strings.Cut(free.Addr().String(), ":")
	names = "ERL_EPMD_PORT=" + names
	free.Close()
	b.Cleanup(func() { // it refuses until it has seen that the node is gone
		for range 50 {
			cmd := exec.Command("epmd", "-kill")
			cmd.Env = append(os.Environ(), names)
			if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "not allowed") {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	cmd := exec.Command(program, "-f", scenario, "-l", filepath.Join(dir, "log"), "start")
	cmd.Env = append(os.Environ(), names, "HOME="+dir) // ~/.tsung is made otherwise
	return cmd
}
