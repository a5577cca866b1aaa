package server

import (
	"context"
	"fmt"
	"time"

	"cometctl/internal/netloop"
)

// Drain ends the server in order. /readyz turns 503, publishers are told their totals, no connection is accepted any more,
// and each stream gets what is queued for it and its last chunk. It returns when every connection has ended, and at the
// latest after Config.DrainTimeout, or when ctx is done, with an error that says how many had to be cut. Calling it again
// answers the same.
func (s *Server) Drain(ctx context.Context) error {
	s.drain.Do(func() { s.drainErr = s.drainOnce(ctx) })
	return s.drainErr
}

func (s *Server) drainOnce(ctx context.Context) error {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	before := s.counts.cut.Load() // not 0 after a Close
	s.draining.Store(true)
	s.stopPub()
	s.engine.StopListening()
	front := &front{s: s}
	for i := range s.engine.Loops() {
		// Behind all mail: what publishers were told is sent goes out before the last chunk.
		s.engine.Do(i, func(l netloop.Loop) {
			l.Conns(func(c netloop.Conn) bool {
				front.goodbye(l, c, causeDrained)
				return true
			})
		})
	}
	s.wait(ctx, func() bool { return s.counts.open.Load() == 0 })
	var err error
	if s.family != nil {
		s.wait(ctx, func() bool { return s.senders.Load() == 0 }) // what they have sent is on its way
		err = s.family.Drain(whole)                               // it knows when to lose patience
	}
	s.shutAdmin() // before the engine ends: a publisher that is still sending learns the outcome of all it has sent
	if s.cluster != nil {
		s.cluster.Close() // what had arrived for sessions that have ended is told to the ledger
	}
	s.engine.Close()
	s.stopTalk()
	if cut := s.counts.cut.Load() - before; cut > 0 {
		return fmt.Errorf("server: %d connections did not end within %v and were cut", cut, s.cfg.DrainTimeout)
	}
	return err
}

// wait waits until something is so that a connection's or a publisher's end may bring about.
func (s *Server) wait(ctx context.Context, is func() bool) {
	for !is() {
		select {
		case <-s.idle:
		case <-ctx.Done():
			return
		}
	}
}

// left tells who waits in wait.
func (s *Server) left() {
	if s.draining.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// shutAdmin gives the publishers' last answers a moment to leave.
func (s *Server) shutAdmin() {
	if s.http == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.httpDone
	s.httpDone <- nil // for a Close that comes later
}
