package netloop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOutOfDescriptors runs an echo server in a process that may have few descriptors. Connections beyond that wait, are
// served as soon as others close, and cost no processor time while they wait.
func TestOutOfDescriptors(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const limit, clients = 40, 60
		child := exec.Command(os.Args[0], "-test.run=^TestServeStarved$")
		child.Env = append(os.Environ(), fmt.Sprintf("NETLOOP_STARVED=%s %d", engine, limit))
		child.Stderr = os.Stderr
		stdin, _ := child.StdinPipe() // the child ends when this closes
		stdout, _ := child.StdoutPipe()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer child.Wait()
		defer stdin.Close()
		lines := bufio.NewReader(stdout)
		addr := awaitLine(t, lines, "address ")

		served := make(chan int, clients)
		var all []net.Conn
		for i := range clients {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(20 * time.Second))
			all = append(all, nc)
			go func() {
				if _, err := nc.Write([]byte("?")); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
				if _, err := io.ReadFull(nc, make([]byte, 1)); err == nil {
					served <- i
				}
			}()
		}
		if msg := awaitLine(t, lines, "log "); !strings.HasPrefix(msg, "accept: too many open files: connections wait") || !strings.Contains(msg, "ulimit -n") {
			t.Errorf("it says %q", msg)
		}
		before := cpu(t, child.Process.Pid)
		time.Sleep(300 * time.Millisecond) // not to wait for something: for nothing to happen
		if used := cpu(t, child.Process.Pid) - before; used > 150*time.Millisecond {
			t.Errorf("%v of processor time in 0.3 s of waiting", used)
		}
		if n := len(served); n >= limit {
			t.Errorf("%d connections with %d descriptors", n, limit)
		}
		for range clients { // each that is served leaves, and so all get their turn
			all[recv(t, served)].Close()
		}
		stdin.Close()
		if rest, _ := io.ReadAll(lines); strings.Contains(string(rest), "\nlog accept: too many") {
			t.Errorf("it says so again: %q", rest)
		}
	})
}

// awaitLine reads lines up to one with that prefix.
func awaitLine(t *testing.T, r *bufio.Reader, prefix string) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for a line %q: %v", prefix, err)
		}
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
}

// cpu is the processor time that a process has used, from /proc/PID/stat, in steps of 10 ms.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestServeStarved is the child of TestOutOfDescriptors.
func TestServeStarved(t *testing.T) {
	engine, text, ok := strings.Cut(os.Getenv("NETLOOP_STARVED"), " ")
	if !ok {
		t.Skip("run by TestOutOfDescriptors")
	}
	limit, _ := strconv.ParseUint(text, 10, 64)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	_, addr := start(t, Config{Engine: engine, Loops: 2, Log: func(msg string) { fmt.Printf("\nlog %s\n", msg) }}, &script{
		readable: func(l Loop, c Conn, b []byte) { l.Write(c, b, 0) },
	})
	fmt.Printf("\naddress %s\n", addr)
	io.Copy(io.Discard, os.Stdin)
}

// Connections that are reset while they wait to be accepted (ECONNABORTED, or an error at their first read) harm nobody.
func TestResetInTheQueue(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		opened, closed := make(chan Conn, 1000), make(chan error, 1000)
		e, addr := start(t, Config{Engine: engine, Loops: 1}, &script{
			opened:   func(l Loop, c Conn) { opened <- c },
			readable: func(l Loop, c Conn, b []byte) { l.Write(c, b, 0) },
			closed:   func(_ Loop, _ Conn, err error) { closed <- err },
		})
		busy, release := make(chan bool), make(chan bool)
		go e.Do(0, func(Loop) { close(busy); <-release })
		<-busy
		for range 50 {
			nc := dial(t, addr)
			nc.SetLinger(0)
			nc.Close()
		}
		last := dial(t, addr)
		close(release)
		last.Write([]byte("?"))
		if _, err := io.ReadFull(last, make([]byte, 1)); err != nil {
			t.Errorf("who comes behind them: %v", err)
		}
		for n := len(opened); n > 1; n-- {
			if err := recv(t, closed); err == nil {
				t.Error("closed without a reason")
			}
		}
	})
}
