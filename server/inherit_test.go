package server

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"cometctl/internal/netloop"
)

// managed is a listening socket that stays open whatever a server does with it, as a service manager's.
func managed(t *testing.T) (f *os.File, addr string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("sockets are no files")
	}
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

// Who comes while one server ends and the next one starts waits, and is served.
func TestInheritedSockets(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		comet, cometAddr := managed(t)
		adminFile, adminAddr := managed(t)
		cfg := Config{Engine: engine, MaxConns: 1, Inherit: comet, InheritAdmin: adminFile, DrainTimeout: patience}
		first := start(t, cfg)
		if first.Comet().String() != cometAddr || first.Admin().String() != adminAddr {
			t.Fatalf("it listens on %v and %v", first.Comet(), first.Admin())
		}
		stream := dial(t, first).stream("1")
		if got := dial(t, first).rest(); !strings.HasPrefix(got, "HTTP/1.1 503 ") { // nobody else would take it
			t.Errorf("over the limit: %q", got)
		}
		// While the loops are busy two wait, of whom the goroutine engine has accepted one.
		busy, release := make(chan bool), make(chan bool)
		for i := range first.Loops() {
			go first.engine.Do(i, func(netloop.Loop) { busy <- true; <-release })
			<-busy
		}
		var early *browser
		for range 2 {
			early = dialTo(t, cometAddr, 0)
			early.say("GET /test/3 HTTP/1.1\r\n" + hostLine)
		}
		done := drain(first)
		until(t, "it drains", first.draining.Load)
		close(release)
		if got := stream.rest(); got != "0\r\n\r\n" { // so it does not listen any more
			t.Errorf("the stream ends with %q", got)
		}
		late := dialTo(t, cometAddr, 0) // while it ends
		late.say("GET /test/2 HTTP/1.1\r\n" + hostLine)
		stream.Close()
		first.Close()
		<-done
		cfg.MaxConns = 10
		second := start(t, cfg)
		if head := early.head(); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("who had come before the end began got %q", head)
		}
		if head := late.head(); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("who has waited got %q", head)
		}
		publish(t, second, "2\thello\n")
		late.wantMessage(1, "hello")
	})
}

func TestBadInheritedSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Skip(err)
	}
	defer ln.Close()
	unix, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, f := range []*os.File{unix, file} {
		for _, cfg := range []Config{{Inherit: f, Admin: "127.0.0.1:0"}, {InheritAdmin: f, Listen: "127.0.0.1:0"}} {
			s, err := New(cfg)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "listener's socket, which was inherited") {
				t.Errorf("%s: %v", f.Name(), err)
			}
		}
	}
}

// A loop that is stuck is noticed.
func TestAlive(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 2})
		if err := s.Alive(t.Context()); err != nil {
			t.Error(err)
		}
		stuck, release := make(chan bool), make(chan bool)
		go s.engine.Do(1, func(netloop.Loop) { close(stuck); <-release })
		<-stuck
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := s.Alive(ctx); err == nil || !strings.Contains(err.Error(), "1 of 2 event loops do not answer") {
			t.Errorf("one is stuck: %v", err)
		}
		close(release)
		if err := s.Alive(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}
