package netloop

import (
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A shortage is worth two lines, however long it lasts and however many connections meet it.
func TestShortageIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var lines []string
		s := &shortage{to: func(msg string) { mu.Lock(); lines = append(lines, msg); mu.Unlock() }}
		soFar := func() []string { synctest.Wait(); mu.Lock(); defer mu.Unlock(); return slices.Clone(lines) }
		const begin = "accept: too many open files: connections wait, and are tried again every 100ms; raise the limit (ulimit -n) or allow fewer connections (--max-conns)"
		wrapped := &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
		for range 100 {
			s.failed(wrapped)
			s.failed(syscall.EMFILE) // of another loop
			time.Sleep(acceptRest)
		}
		for range 5 { // one gets in now and then
			time.Sleep(acceptCalm - 2*acceptRest)
			s.failed(wrapped)
		}
		if told := soFar(); !slices.Equal(told, []string{begin}) {
			t.Errorf("while it lasted: %q", told)
		}
		time.Sleep(acceptCalm)
		told, want := soFar(), []string{begin, "accept: no connection waits any more; the shortage lasted 24s"}
		if !slices.Equal(told, want) {
			t.Errorf("afterwards: %q", told)
		}
		s.failed(syscall.ENOMEM)
		if told = soFar(); len(told) != 3 || told[2] != "accept: cannot allocate memory: connections wait, and are tried again every 100ms" {
			t.Errorf("another: %q", told)
		}
		s.close()
		s.failed(wrapped)
		time.Sleep(time.Hour)
		if told = soFar(); len(told) != 3 {
			t.Errorf("after the end: %q", told[3:])
		}
	})
}
