package systemd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A process that was started with sockets finds them by their names, and its children do not.
func TestSockets(t *testing.T) {
	var files []*os.File
	var want []string
	for _, name := range []string{"comet", "admin"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
		want = append(want, fmt.Sprintf("socket %s %s", name, ln.Addr()))
	}
	// Who has the pid that LISTEN_PID names sets it itself, as the manager does between fork and exec.
	child := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run=^TestStartedWithSockets$`, os.Args[0])
	child.Env = append(os.Environ(), "SYSTEMD_TEST_CHILD=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=comet:admin")
	child.ExtraFiles = files
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range append(want, "descriptor 3 of a child: none", "no socket: systemd: socket 1 of LISTEN_FDS=1 \"\": getsockopt: ") {
		if !strings.Contains(string(out), line) {
			t.Errorf("the child does not say %q: %s", line, out)
		}
	}
}

// TestStartedWithSockets is the child of TestSockets.
func TestStartedWithSockets(t *testing.T) {
	if os.Getenv("SYSTEMD_TEST_CHILD") == "" {
		t.Skip("run by TestSockets")
	}
	files, err := Sockets(os.Getenv, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		ln, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("socket", f.Name(), ln.Addr())
		ln.Close()
		f.Close()
	}
	out, err := exec.Command("sh", "-c", `test -e /proc/self/fd/3 && echo there || echo none`).CombinedOutput()
	fmt.Printf("descriptor 3 of a child: %s %v\n", out, err)
	// Now the three is free, or something else's.
	f, err := os.Open(os.DevNull)
	if err != nil || f.Fd() != firstSocket {
		t.Fatalf("%v is not descriptor %d: %v", f.Fd(), firstSocket, err)
	}
	_, err = Sockets(func(name string) string {
		return map[string]string{"LISTEN_FDS": "1", "LISTEN_PID": strconv.Itoa(os.Getpid())}[name]
	}, os.Getpid())
	fmt.Println("no socket:", err)
}
