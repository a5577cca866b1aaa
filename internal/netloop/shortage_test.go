package netloop

import (
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A shortage is worth two lines, however long it lasts and however many connections meet it.
func TestShortageIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		s := &shortage{to: func(msg string) { told = append(told, msg) }}
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
		if !slices.Equal(told, []string{begin}) {
			t.Errorf("while it lasted: %q", told)
		}
		time.Sleep(acceptCalm)
		synctest.Wait()
		if want := []string{begin, "accept: no connection waits any more; the shortage lasted 24s"}; !slices.Equal(told, want) {
			t.Errorf("afterwards: %q", told)
		}
		s.failed(syscall.ENOMEM)
		if len(told) != 3 || told[2] != "accept: cannot allocate memory: connections wait, and are tried again every 100ms" {
			t.Errorf("another: %q", told)
		}
		s.close()
		s.failed(wrapped)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(told) != 3 {
			t.Errorf("after the end: %q", told[3:])
		}
	})
}
