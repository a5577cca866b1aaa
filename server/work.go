package server

import (
	"slices"
	"time"

	"cometctl/internal/meter"
	"cometctl/internal/netloop"
)

// Work is how long things take.
type Work struct {
	Loop  netloop.Stats   `json:"loop"`    // of all loops together
	Login meter.Histogram `json:"login_s"` // what the router took for a login; of one in 16
	// Send is what it took to hand a message to its sessions' loops, or to NATS, waits for room there included: of one in 64 of each publisher's
	// stream, and of the first. Of a message that stands alone in a cluster it is the time until it was known what became of it.
	Send meter.Histogram `json:"send_s"`
}

// Add adds what others have done.
func (w *Work) Add(o Work) {
	w.Loop.Add(o.Loop)
	w.Login.Add(o.Login)
	w.Send.Add(o.Send)
}

// Of how many logins and messages one is timed.
const (
	loginSample = 16
	sendSample  = 64
)

// times are the server's own meters.
type times struct{ login, send meter.Times }

func (t *times) look() Work { return Work{Login: t.login.Read(), Send: t.send.Read()} }

// timed calls do, and counts how long it took if n, which is how many there were before, is one of every.
func timed(t *meter.Times, n, every int64, do func() error) error {
	if n%every != 0 {
		return do()
	}
	began := time.Now()
	err := do()
	t.Add(time.Since(began))
	return err
}

// loopMeter is where a loop counts its turns: on the page, if there is one.
func (s *Server) loopMeter(loop int) *netloop.Meter {
	m := new(netloop.Meter)
	if p := s.cfg.Page; p != nil {
		m = &p.loops[loop%pageLoops]
	}
	if !slices.Contains(s.meters, m) {
		s.meters = append(s.meters, m)
	}
	return m
}

func (s *Server) work() Work {
	w := s.counts.times.look()
	for _, m := range s.meters {
		w.Loop.Add(m.Read())
	}
	return w
}
