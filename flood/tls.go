package flood

import (
	"crypto/tls"
	"sync"
	"time"

	"cometctl/internal/netloop"
)

// hostTLS is how the connections to one host speak TLS. A target's first connection makes a whole handshake, as a new client would: so many clients
// that share a session would spare the server what it is to be measured by. Who comes again resumes the host's last session, if the server gives tickets.
type hostTLS struct{ first, again *tls.Config }

// newHostTLS is the rules' TLS for a server of that name, which the certificate has to name.
func newHostTLS(rules *tls.Config, server string) *hostTLS {
	if rules == nil {
		rules = &tls.Config{}
	}
	h, s := &hostTLS{rules.Clone(), rules.Clone()}, &session{}
	h.first.ServerName, h.again.ServerName = server, server
	h.first.ClientSessionCache, h.again.ClientSessionCache = unresumed{s}, s
	return h
}

// session is a tls.ClientSessionCache for one host: it has its last session. It is touched by the goroutines that shake hands.
type session struct {
	mu   sync.Mutex
	last *tls.ClientSessionState
}

func (s *session) Get(string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.last != nil
}

func (s *session) Put(_ string, last *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = last
}

// unresumed keeps sessions for others.
type unresumed struct{ *session }

func (unresumed) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// connect dials target i, which has had a connection before where again is true.
func (a *lane) connect(l netloop.Loop, i int, again bool) (netloop.Conn, error) {
	if a.manner != Behaves {
		return a.misconnect(l, i)
	}
	h := a.plan.targets.hostOf(i)
	from := a.plan.origins.from(a.shape.origin(i), h.addr.Addr())
	switch {
	case h.tls == nil:
		return l.Dial(h.addr, from)
	case again:
		return l.DialTLS(h.addr, from, h.tls.again)
	}
	return l.DialTLS(h.addr, from, h.tls.first)
}

// shaken is netloop's Shaker: the request leaves now.
func (a *lane) shaken(l netloop.Loop, c netloop.Conn, resumed bool) {
	r := a.recs.At(c.Slot())
	now := a.plan.clock()
	a.tally.tls.Record(time.Duration(now - r.since))
	if resumed {
		a.tally.resumed++
	}
	r.since = now
	a.asked(l, c, r, now)
}

// Shaken makes a handler a netloop.Shaker.
func (h handler) Shaken(l netloop.Loop, c netloop.Conn, s tls.ConnectionState) {
	h[l.Index()].shaken(l, c, s.DidResume)
}
