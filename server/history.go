package server

import (
	"math"
	"time"

	"cometctl/internal/netloop"
	"cometctl/server/history"
)

// checkHistory checks what history.New takes as it is.
func (c *Config) checkHistory() error {
	h := &c.History
	def(&h.Bytes, history.DefaultBytes)
	def(&h.TTL, history.DefaultTTL)
	def(&h.Total, history.DefaultTotal)
	switch {
	case h.Messages < 0 || h.Messages > history.MaxMessages:
		return configErrorf("--history %d: give 1 to %d messages, or 0 to keep none", h.Messages, history.MaxMessages)
	case h.Bytes < history.MinBytes || h.Bytes > history.MaxBytes:
		return configErrorf("--history-bytes %d: give %d to %d bytes, or 0 for %d", h.Bytes, history.MinBytes, history.MaxBytes, history.DefaultBytes)
	case h.TTL < time.Second || h.TTL > history.MaxTTL:
		return configErrorf("--history-ttl %v: give 1s to %v, or 0 for %v", h.TTL, history.MaxTTL, history.DefaultTTL)
	case h.Total < history.MinTotal || h.Total > history.MaxTotal:
		return configErrorf("--history-total %d: give %d to %d bytes, or 0 for %d", h.Total, history.MinTotal, int64(history.MaxTotal), history.DefaultTotal)
	case h.Total < 2*int64(h.Bytes):
		return configErrorf("--history-total %d with --history-bytes %d: that is not even two ids; give at least %d", h.Total, h.Bytes, 2*h.Bytes)
	}
	return nil
}

// remember makes the history. A server without a front has nobody to tell of it, and keeps none.
func (s *Server) remember() {
	cfg := s.cfg.History
	if s.cfg.NoFront {
		cfg.Messages = 0
	}
	s.history = history.New(cfg, func() time.Duration { return time.Since(s.born) })
	s.history.CountIn(&s.counts.history)
	if cfg.Messages > 0 {
		s.sweeping.Do(s.startSweeping)
	}
}

// show tells that n sessions more show numbers of messages (or fewer, where n is negative), which has messages numbered.
func (s *Server) show(n int) {
	s.history.Show(n)
	if n > 0 {
		s.sweeping.Do(s.startSweeping)
	}
}

// startSweeping begins to forget what is old, until the server ends. It also looks whether messages of other nodes were missed. That this is
// noticed late does no harm: who has been told since then that nothing was missed, is told at its next resume.
func (s *Server) startSweeping() {
	s.sweeper.Go(func() {
		var before ClusterStats
		tick := time.NewTicker(min(max(s.cfg.History.TTL/16, 50*time.Millisecond), 10*time.Second))
		defer tick.Stop()
		for {
			select {
			case <-s.pubs.Done():
				return
			case <-tick.C:
			}
			if !s.history.Active() {
				continue
			}
			if s.cluster != nil {
				st := s.cluster.Status()
				if st.Overrun != before.Overrun || st.Last.To != before.Last.To {
					s.tear()
				}
				before = st
			}
			s.history.Sweep(time.Since(s.born), s.holds)
		}
	})
}

// tear has it known that messages of other nodes never came. Meanwhile it is not known who has logged in before.
func (s *Server) tear() {
	s.torn.Store(math.MaxInt64)
	s.history.Missed()
	s.torn.Store(int64(time.Since(s.born) / time.Second))
}

// missed takes note of what a numbered session has to be told before m, which is the first message of its id behind some that never came here. Who came
// later was told its position behind them; among those that have no position here, some who came in the same second are told as well.
func (f *front) missed(c netloop.Conn, cl *client, r *roll, m *message) {
	knows := int64(cl.since) > f.s.torn.Load()
	if r != nil {
		p := r.find(m.id)
		if p == nil {
			return
		}
		knows = p.n >= m.n-1
		p.hole = p.hole || !knows
	} else if cl.phase == phasePoll {
		knows = *f.s.loops[c.Loop()].marks.At(c.Slot()) >= m.n-1
	}
	if !knows {
		cl.flags |= flagHole
	}
}

// holds tells whether any session of this process holds id.
func (s *Server) holds(id []byte) bool {
	if s.cluster != nil {
		return s.cluster.Holds(id)
	}
	return s.local.Holds(id)
}
