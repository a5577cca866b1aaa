package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unit is serve as systemd starts it: with sockets, and an ear for what it says.
type unit struct {
	*exec.Cmd
	t      *testing.T
	stderr bytes.Buffer
	heard  *net.UnixConn
}

// startUnit starts serve with sockets of these names. Variables that are set between fork and exec are set by a shell.
func startUnit(t *testing.T, names string, sockets []*os.File, args ...string) *unit {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { heard.Close() })
	u := &unit{Cmd: exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec cometctl serve "$@"`, "serve"}, args...)...), t: t, heard: heard}
	u.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+names, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=100000")
	u.ExtraFiles = sockets
	u.Stderr = &u.stderr
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Process.Kill(); u.Wait() })
	return u
}

// hears waits for a message that matches.
func (u *unit) hears(pattern string) {
	u.t.Helper()
	b := make([]byte, 4096)
	var all []string
	for u.heard.SetReadDeadline(time.Now().Add(awaitLimit)); ; {
		n, err := u.heard.Read(b)
		if err != nil {
			u.Process.Kill()
			u.Wait()
			u.t.Fatalf("waiting for %q: %v; it has said %q, and %s", pattern, err, all, u.stderr.String())
		}
		if all = append(all, string(b[:n])); regexp.MustCompile(pattern).Match(b[:n]) {
			return
		}
	}
}

// ends waits for the process to end well.
func (u *unit) ends() {
	u.t.Helper()
	if err := u.Wait(); err != nil {
		u.t.Errorf("it ended with %v: %s", err, u.stderr.String())
	}
}

func listening(t *testing.T) (f *os.File, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if f, err = ln.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, ln.Addr().String()
}

// The whole of it: ready, watchdog, reload, an end that takes as long as it must, and a restart that nobody notices.
func TestServeUnderSystemd(t *testing.T) {
	for _, engine := range []string{"epoll", "goroutine"} {
		t.Run(engine, func(t *testing.T) {
			comet, cometAddr := listening(t)
			admin, adminAddr := listening(t)
			u := startUnit(t, "admin:comet", []*os.File{admin, comet}, "--engine", engine)
			u.hears(`^READY=1\nSTATUS=streams at http://` + cometAddr + `/test/\{id\}, admin at http://` + adminAddr + `, pid `)
			u.hears(`^WATCHDOG=1$`)
			resp, err := http.Get("http://" + adminAddr + "/readyz")
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v, %v", resp, err)
			}
			resp.Body.Close()
			u.Process.Signal(syscall.SIGHUP)
			u.hears(`^RELOADING=1\nMONOTONIC_USEC=\d+$`)
			u.hears(`^READY=1\nSTATUS=streams at `)
			u.hears(`^WATCHDOG=1$`)

			stays, err := net.Dial("tcp", cometAddr)
			if err != nil {
				t.Fatal(err)
			}
			defer stays.Close()
			fmt.Fprintf(stays, "GET /test/1 HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := io.ReadFull(stays, make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
			u.Process.Signal(syscall.SIGTERM)
			u.hears(`^STOPPING=1\nSTATUS=draining: \d+ connections are left$`)
			u.hears(`^EXTEND_TIMEOUT_USEC=10000000\nSTATUS=draining: 1 connections are left$`)
			u.hears(`^WATCHDOG=1$`)
			rest := make([]byte, 1000)
			for tail := ""; !strings.HasSuffix(tail, "0\r\n\r\n"); { // it does not listen any more
				n, err := stays.Read(rest)
				if tail += string(rest[:n]); err != nil {
					t.Fatalf("%q, %v", tail, err)
				}
			}
			waits := make(chan string, 1)
			go func() {
				nc, err := net.Dial("tcp", cometAddr)
				if err != nil {
					waits <- err.Error()
					return
				}
				defer nc.Close()
				fmt.Fprintf(nc, "HEAD /test/1 HTTP/1.1\r\nHost: x\r\n\r\n")
				head, _ := io.ReadAll(nc)
				waits <- string(head)
			}()
			stays.Close()
			u.ends()
			again := startUnit(t, "cometctl.socket", []*os.File{comet}, "--engine", engine, "--admin", "127.0.0.1:0")
			again.hears(`^READY=1\n`)
			if got := <-waits; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
				t.Errorf("who came between two of them got %q", got)
			}
			again.Process.Signal(syscall.SIGTERM)
			again.ends()
		})
	}
}

func TestServeRefusesSockets(t *testing.T) {
	a, _ := listening(t)
	b, _ := listening(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		names   string
		sockets []*os.File
		args    []string
		says    string
	}{
		{"x.socket:x.socket", []*os.File{a, b}, nil, "name them comet and admin"},
		{"comet:comet", []*os.File{a, b}, nil, `two sockets of the service manager are called "comet"`},
		{"comet", []*os.File{a}, []string{"--listen", "127.0.0.1:0"}, "--listen 127.0.0.1:0, and the service manager has opened a socket"},
		{"admin", []*os.File{a}, []string{"--admin", "127.0.0.1:0"}, "--admin 127.0.0.1:0, and the service manager"},
		{"comet", []*os.File{a}, []string{"--workers", "2"}, `--workers 2 with the service manager's socket "comet"`},
		{"x.socket", []*os.File{a}, []string{"--router-only"}, "--router-only with the service manager's socket"},
		{"comet", []*os.File{null}, nil, `socket 1 of LISTEN_FDS=1 "comet"`},
		{"comet:admin", []*os.File{a}, nil, "2 names for 1 sockets"},
	} {
		u := startUnit(t, c.names, c.sockets, c.args...)
		err := u.Wait()
		if u.ProcessState.ExitCode() != int(exitUsage) || !strings.Contains(u.stderr.String(), c.says) {
			t.Errorf("%s %q: %v, %s, want %q", c.names, c.args, err, u.stderr.String(), c.says)
		}
	}
}

// The units that are documented are ones that systemd takes, where there is one to ask.
func TestUnitFiles(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze")
	}
	program, err := exec.LookPath("cometctl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"cometctl.service", "cometctl.socket"} {
		text, err := os.ReadFile("../../docs/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("/usr/local/bin/cometctl"), []byte(program)) // it wants the program to be there
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(files[len(files)-1], text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, files...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
