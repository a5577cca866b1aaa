package memlog

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A pair is a TCP connection whose both ends are in this process.
type pair struct{ client, server *net.TCPConn }

func (p pair) close() {
	p.client.Close()
	p.server.Close()
}

func listen(t testing.TB, network, addr string) *net.TCPListener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func connect(t testing.TB, l *net.TCPListener, n int) []pair {
	t.Helper()
	pairs := make([]pair, n)
	for i := range pairs {
		client, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.Addr().(*net.TCPAddr).Port})
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		pairs[i] = pair{client, server}
		t.Cleanup(pairs[i].close)
	}
	return pairs
}

func self(t testing.TB) process {
	t.Helper()
	p, ok := readProcess(os.Getpid())
	if !ok {
		t.Fatal("no process of our own")
	}
	return p
}

func probeSelf(t testing.TB) *probe {
	t.Helper()
	p, err := openProbe([]process{self(t)}, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// awaitConns waits until a sample has want connections: a FIN takes its time, even here.
func awaitConns(t *testing.T, p *probe, want int64) {
	t.Helper()
	var s Sample
	for deadline := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		if err := p.sample(&s); err != nil {
			t.Fatal(err)
		}
		if s.Conns == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("counts %d connections, there are %d; notes: %q", s.Conns, want, p.news())
		}
	}
}

func TestProbeCountsFiftyConnections(t *testing.T) {
	p := probeSelf(t)
	awaitConns(t, p, NA)
	if news := strings.Join(p.news(), "\n"); !strings.Contains(news, "conns is empty: the target listens on no TCP port") {
		t.Errorf("notes without a listener: %q", news)
	}

	l := listen(t, "tcp4", "127.0.0.1:0") // found although it came later
	awaitConns(t, p, 0)
	pairs := connect(t, l, 50)
	awaitConns(t, p, 50)
	awaitConns(t, p, 50) // and again, from the last count or not

	pairs[0].close()
	awaitConns(t, p, 49)
	pairs[1].client.CloseWrite() // the server's end is CLOSE_WAIT now, which nothing but its state tells
	awaitConns(t, p, 48)
	pairs[1].close()
	awaitConns(t, p, 48)
	pairs[2].client.SetLinger(0) // a reset
	pairs[2].client.Close()
	awaitConns(t, p, 47)
	pairs[3].close()
	connect(t, l, 1) // one goes, one comes
	awaitConns(t, p, 47)

	other := listen(t, "tcp", ":0") // dual-stack, connected over IPv4
	connect(t, other, 3)
	awaitConns(t, p, 50)
	other.Close()
	awaitConns(t, p, 47)
}

// A client's end on another loopback address may have the number of a port that the target listens on.
func TestProbeDoesNotCountAForeignerOnItsPort(t *testing.T) {
	p := probeSelf(t)
	far := listen(t, "tcp4", "127.0.0.1:0")
	port := connect(t, far, 1)[0].client.LocalAddr().(*net.TCPAddr).Port
	far.Close() // its connection stays, and is no listener's
	listen(t, "tcp4", net.JoinHostPort("127.0.0.2", strconv.Itoa(port)))
	awaitConns(t, p, 0)
}

func TestProbeSeesOurselves(t *testing.T) {
	p := probeSelf(t)
	var s, later Sample
	if err := p.sample(&s); err != nil {
		t.Fatal(err)
	}
	var stat runtime.MemStats
	runtime.ReadMemStats(&stat)
	if s.RSS < 1000 || uint64(s.RSS) > stat.Sys/1024+1<<20 || s.Anon <= 0 || s.Anon > s.RSS || s.PSS <= 0 || s.Threads < 1 || s.CPU < 0 || s.FDs < 3 {
		t.Errorf("sample of ourselves: %+v", s)
	}
	for range 10 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if err := p.sample(&later); err != nil || later.FDs != s.FDs+10 {
		t.Errorf("10 more descriptors: %d, before %d, %v", later.FDs, s.FDs, err)
	}
	n := int64(0)
	count := func(*os.File, string) bool {
		n++
		return true
	}
	if err := eachEntry("/proc/self/fd", count); err != nil || n != later.FDs+1 { // that of the directory
		t.Errorf("listed %d descriptors, %v; counted %d", n, err, later.FDs)
	}
}

func TestProbeNoticesTheEnd(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	row, ok := readProcess(cmd.Process.Pid)
	if !ok {
		t.Fatal("no such process")
	}
	p, err := openProbe([]process{row}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	var s Sample
	if err := p.sample(&s); err != nil || !p.alive() {
		t.Fatalf("alive is %t, sample: %v", p.alive(), err)
	}
	cmd.Process.Kill()
	// Nobody has waited for it yet: a zombie is an end too.
	for deadline := time.Now().Add(5 * time.Second); p.alive(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("still alive")
		}
	}
	if err := p.sample(&s); err != errEnded {
		t.Errorf("sample of a zombie: %v", err)
	}
	cmd.Wait()
	if err := p.sample(&s); err != errEnded || p.alive() {
		t.Errorf("sample after the end: %v", err)
	}
	if _, err := openProbe([]process{row}, false); err != errEnded {
		t.Errorf("probe after the end: %v", err)
	}
	row = self(t)
	row.start--
	if _, err := openProbe([]process{row}, false); err != errEnded {
		t.Errorf("probe of a pid that another process had before: %v", err)
	}
}

func TestTargetOnThisSystem(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	port := l.Addr().(*net.TCPAddr).Port
	for _, target := range []Target{{PIDs: []int{os.Getpid()}}, {Port: port}} {
		ps, err := target.find(os.Getpid())
		if err != nil || len(ps) != 1 || ps[0].pid != os.Getpid() || len(ps[0].args) == 0 || ps[0].start == 0 {
			t.Errorf("%v: %+v, %v", target, ps, err)
		}
	}
	other := listen(t, "tcp", "127.0.0.1:0").Addr().(*net.TCPAddr).Port
	l.Close()
	err := Run(t.Context(), Config{Target: Target{Port: port}, Interval: time.Second})
	if !errors.Is(err, ErrNoTarget) || !strings.Contains(err.Error(), "; there are\n  port ") {
		t.Errorf("nobody listens on %d: %v", port, err)
	}
	table, _, err := processes(anyPort) // which that error lists the beginning of
	if err != nil || !slices.ContainsFunc(table, func(p process) bool { return p.pid == os.Getpid() && slices.Contains(p.ports, other) }) {
		t.Errorf("the table does not say that we listen on %d: %v", other, err)
	}
	if p, err := (Target{Port: port}).find(os.Getpid()); err == nil {
		t.Errorf("port %d: found %v", port, p)
	}
}

// One sample of a process with 4000 connections, both ends of which are in it. The dearest part
// is that the kernel describes each of the target's connections; kept is without it.
// docs/design/memlog.md has the figures for 19,900.
func BenchmarkSample(b *testing.B) {
	const conns = 4000
	connect(b, listen(b, "tcp", "127.0.0.1:0"), conns)
	for _, kept := range []bool{true, false} {
		b.Run("kept="+strconv.FormatBool(kept), func(b *testing.B) {
			p := probeSelf(b)
			var s Sample
			b.ReportAllocs()
			for b.Loop() {
				p.machine.conns.walks = share{} // one after the other is more often than it counts
				if !kept {
					p.machine.conns.last.forget()
				}
				if err := p.sample(&s); err != nil || s.Conns != conns {
					b.Fatal(s.Conns, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/sample")
		})
	}
}
