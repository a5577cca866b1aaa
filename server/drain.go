package server

import (
	"context"
	"fmt"
	"time"

	"cometctl/internal/netloop"
)

// Drain ends the server in order. /readyz turns 503, publishers are told their totals, no connection is accepted any more,
// and each stream gets what is queued for it and its last chunk, one after the other so that their clients do not come back all at once. It returns when every connection has ended, and at the
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
	s.sayGoodbye(ctx)
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

// How sessions are told to go: evenly over the first half of DrainTimeout, because who is told comes back at once, here or elsewhere, and all of them
// together would be a herd. The other half is for their output to leave. Few need not take so long: goodbyeRate a second are no herd, and
// what goodbyeStep has room for goes at once.
const (
	goodbyeRate = 500
	goodbyeStep = 20 * time.Millisecond
)

// goodbyes is how many of n sessions are to be told to go when so much of the time has passed, of the window that all of them have.
func goodbyes(n int, elapsed, window time.Duration) int {
	if elapsed >= window || window <= goodbyeStep {
		return n
	}
	return int(float64(n) * float64(elapsed) / float64(window))
}

// goodbyeWindow is how long n sessions have to go.
func goodbyeWindow(n int, timeout time.Duration) time.Duration {
	return min(timeout/2, time.Duration(n)*time.Second/goodbyeRate)
}

// sayGoodbye tells everybody to go: at once who has no session, the others one after another. It returns when all were told, have gone, or ctx is done.
func (s *Server) sayGoodbye(ctx context.Context) {
	front := &front{s: s}
	sessions := make([][]netloop.Conn, s.engine.Loops())
	parts := make(chan int, len(sessions))
	for i := range sessions {
		s.engine.Do(i, func(l netloop.Loop) {
			sessions[i] = front.dismiss(l)
			parts <- len(sessions[i])
		})
	}
	n := 0
	for got := 0; got < len(sessions); {
		select {
		case part := <-parts:
			n += part
			got++
		case <-s.idle:
			if s.counts.open.Load() == 0 {
				return // a Close that comes in between leaves no loop to ask
			}
		case <-ctx.Done():
			return
		}
	}
	began, window, told := time.Now(), goodbyeWindow(n, s.cfg.DrainTimeout), make([]int, len(sessions))
	tick := time.NewTicker(goodbyeStep)
	defer tick.Stop()
	for {
		elapsed := time.Since(began)
		for i, all := range sessions {
			until := goodbyes(len(all), elapsed, window)
			front.sendAway(i, all[told[i]:until])
			told[i] = until
		}
		if elapsed >= window || s.counts.open.Load() == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// dismiss ends all connections of a loop that have no session, and returns the others.
func (f *front) dismiss(l netloop.Loop) (sessions []netloop.Conn) {
	fl := f.loop(l)
	l.Conns(func(c netloop.Conn) bool {
		if fl.clients.At(c.Slot()).has(flagLogged) {
			sessions = append(sessions, c)
		} else {
			f.goodbye(l, c, causeDrained)
		}
		return true
	})
	return sessions
}

// sendAway ends these sessions of a loop: behind all mail, so that what publishers were told is sent goes out before the last chunk.
func (f *front) sendAway(loop int, sessions []netloop.Conn) {
	if len(sessions) == 0 {
		return
	}
	f.s.engine.Do(loop, func(l netloop.Loop) {
		for _, c := range sessions {
			if cl, _ := f.s.session(l, c); cl != nil { // it has not left by itself
				f.goodbye(l, c, causeDrained)
			}
		}
	})
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
