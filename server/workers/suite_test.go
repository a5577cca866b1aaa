//go:build linux

package workers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"cometctl/server"
)

// patience bounds every wait of a test. Only a test that fails reaches it.
const patience = 20 * time.Second

// task is what the tests' workers are told.
type task struct {
	Max       int    // MaxConns
	Fail      string // it cannot start, and says so
	Bad       bool   // its configuration is to blame
	Cert, Key string // files; with them it speaks TLS
	Die       string // it prints this and exits with 3, without a word to the parent
}

// TestMain makes the test binary the workers, and a parent that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "worker":
			if err := Serve(context.Background(), serveTask); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case "parent":
			f, err := Start(context.Background(), config(3, func(int) any { return task{Max: 10} }))
			if err != nil {
				panic(err)
			}
			for _, w := range report(f).Workers {
				fmt.Println(w.PID)
			}
			select {}
		}
	}
	os.Exit(m.Run())
}

func serveTask(a Assignment) (Worker, error) {
	var t task
	if err := json.Unmarshal(a.Config, &t); err != nil {
		return nil, err
	}
	if t.Die != "" {
		fmt.Fprintln(os.Stderr, t.Die)
		os.Exit(3)
	}
	if t.Fail != "" {
		return nil, errors.New(t.Fail)
	}
	cfg := server.Config{Admin: "127.0.0.1:0", Loops: 1, MaxConns: t.Max, Inherit: a.Listener, Page: a.Page, TLSCert: t.Cert, TLSKey: t.Key}
	if t.Bad {
		cfg.Engine = "steam"
	}
	return server.New(cfg)
}

func config(n int, job func(int) any) Config {
	return Config{N: n, Listen: "127.0.0.1:0", Command: []string{os.Args[0], "worker"}, Job: job, Drain: 5 * time.Second, Stuck: patience, Stderr: os.Stderr}
}

// start runs a family of workers with so many places each until the test ends.
func start(t *testing.T, n, places int) *Family {
	t.Helper()
	return startWith(t, config(n, func(int) any { return task{Max: places} }))
}

func startWith(t *testing.T, cfg Config) *Family {
	t.Helper()
	f, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func report(f *Family) (st server.Stats) {
	f.Report(&st)
	return st
}

// until waits for something that another process will bring about.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// stream opens a stream and reads the first line of the answer, which it returns.
func stream(t testing.TB, f *Family, id int) (net.Conn, string) {
	t.Helper()
	nc, line, err := streamErr(t, f, id)
	if err != nil {
		t.Fatalf("id %d: %v", id, err)
	}
	return nc, line
}

// streamErr is stream for other goroutines than the test's.
func streamErr(t testing.TB, f *Family, id int) (net.Conn, string, error) {
	nc, err := net.Dial("tcp", f.Comet().String())
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	io.WriteString(nc, request(id))
	line, err := bufio.NewReader(nc).ReadString('\n')
	if line = strings.TrimSpace(line); line != ok {
		nc.Close()
	}
	return nc, line, err
}

func request(id int) string {
	return fmt.Sprintf("GET /test/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", id)
}

const ok = "HTTP/1.1 200 OK"

// signalTo sends a signal to worker i of f.
func signalTo(t testing.TB, f *Family, i int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(report(f).Workers[i].PID, s); err != nil {
		t.Fatal(err)
	}
}
