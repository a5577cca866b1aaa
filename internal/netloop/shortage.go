package netloop

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// acceptRest is the pause after EMFILE and its like.
const acceptRest = 100 * time.Millisecond

// acceptCalm is how long accepting must have gone well to be well again. At the limit each connection that ends lets
// one in, and that is not the end of the shortage.
const acceptCalm = 3 * time.Second

// shortage tells of a lack of descriptors or memory at accept: once when it begins, once when it is over. While
// connections wait they are tried again every acceptRest, so that silence means that all is well.
type shortage struct {
	to    func(string)
	mu    sync.Mutex
	since time.Time // zero: there is none
	last  time.Time // when accepting failed last
	calm  *time.Timer
	ended bool // the engine is closed: nobody is told any more
}

// failed notes that accepting has failed.
func (s *shortage) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.last = time.Now()
	if !s.since.IsZero() {
		s.calm.Reset(acceptCalm)
		return
	}
	s.since = s.last
	s.calm = time.AfterFunc(acceptCalm, s.over)
	errno := syscall.Errno(0)
	if errors.As(err, &errno) { // without the names of call and address that an engine wraps it in
		err = errno
	}
	wayOut := ""
	if errno == syscall.EMFILE {
		wayOut = "; raise the limit (ulimit -n) or allow fewer connections (--max-conns)"
	}
	s.to(fmt.Sprintf("accept: %v: connections wait, and are tried again every %v%s", err, acceptRest, wayOut))
}

func (s *shortage) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.since.IsZero() {
		return
	}
	if left := acceptCalm - time.Since(s.last); left > 0 { // it failed again while the timer rang
		s.calm.Reset(left)
		return
	}
	s.to(fmt.Sprintf("accept: no connection waits any more; the shortage lasted %v", s.last.Sub(s.since).Round(acceptRest)))
	s.since = time.Time{}
}

// close makes it silent.
func (s *shortage) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.calm != nil {
		s.calm.Stop()
	}
}
