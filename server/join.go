package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"sync"
	"time"

	"cometctl/server/router"
)

// Cluster is a router over many processes, as a server needs it; package server/cluster has one. Its methods may be called by all
// goroutines.
type Cluster interface {
	router.Router
	// SendConfirmed is Send and waits until it is known what became of the message on all nodes.
	SendConfirmed(ctx context.Context, id, msg []byte, tag uint64) (router.Confirmation, error)
	// Settle returns when Hooks.Offline has heard of all messages that were sent before and that nobody wanted.
	Settle(ctx context.Context) error
	// Holds tells whether any session of this node holds id.
	Holds(id []byte) bool
	// AskAll asks all other nodes a question and hands got the answers of their Hooks.Asked.
	AskAll(ctx context.Context, question []byte, got func(answer []byte)) error
	// Sessions lists those of this node that hold id, as router.Local does.
	Sessions(dst []router.Session, id []byte, most int) (some []router.Session, all int, err error)
	// Local counts the sessions of this node.
	Local() router.Stats
	// Ready returns nil while this node takes part.
	Ready() error
	// Status is what /stats tells of it.
	Status() ClusterStats
	// Close leaves. What had arrived is handed over before it returns.
	Close()
}

// Hooks are what a Cluster calls; the server makes them. They are of the kinds that server/cluster's Config says.
type Hooks struct {
	Deliver  router.Deliver                              // a message for a session
	Offline  func(tag uint64)                            // nobody anywhere wanted the message that was sent with that tag
	Arrived  func(origin string, sole bool) (tag uint64) // a message from elsewhere; on one goroutine
	Unheld   func(tag uint64, sole bool)                 // and it found no session here
	Idle     func()                                      // no further message has come yet
	Account  func(origin string) []byte                  // JSON of the Ledger of an origin; empty is all
	Asked    func(question []byte) (answer []byte)       // what another node asked with AskAll; on one goroutine
	Stage    router.Stage                                // what messages pass before Deliver
	Keeper   router.Keeper                               // of ids that nobody holds any more; nil: there is none
	Sessions int                                         // of this process that an id may have; 0: as many as come
}

// ClusterStats says how a node stands with the others.
type ClusterStats struct {
	Node          string `json:"node"`
	Connected     bool   `json:"connected"`
	Subscribed    int    `json:"subscribed"`     // ids that NATS knows this node by
	Waiting       int    `json:"waiting"`        // logins and logouts that NATS is still to hear of
	Published     uint64 `json:"published"`      // messages that NATS took
	Received      uint64 `json:"received"`       // messages of others, copies included
	Unheld        uint64 `json:"unheld"`         // of Received: nobody held the id any more
	Overrun       uint64 `json:"overrun"`        // thrown away because too many waited for this node
	Reports       uint64 `json:"reports_lost"`   // answers and words of NATS thrown away because too many waited
	Echoes        uint64 `json:"echoes"`         // our own messages, brought back after a reconnection and ignored
	SlowConsumers int64  `json:"slow_consumers"` // connections that the embedded NATS server has cut off for their slowness
	Servers       int    `json:"servers"`        // other NATS servers that the embedded one has a route to
	Outages       uint64 `json:"outages"`        // times that the connection to NATS was lost
	Last          Outage `json:"last"`           // the last of them
}

// Add adds what another node says of itself to what it says of its parent: Connected is that both are, Last is the later one. Servers and
// SlowConsumers are the NATS server's, which is not the other node's.
func (c *ClusterStats) Add(o ClusterStats) {
	c.Connected = c.Connected && o.Connected
	c.Subscribed += o.Subscribed
	c.Waiting += o.Waiting
	c.Count(o)
}

// Count adds of what another node said of itself what only grows, for when it has ended.
func (c *ClusterStats) Count(o ClusterStats) {
	c.Published += o.Published
	c.Received += o.Received
	c.Unheld += o.Unheld
	c.Overrun += o.Overrun
	c.Reports += o.Reports
	c.Echoes += o.Echoes
	c.Outages += o.Outages
	if o.Last.From.After(c.Last.From) {
		c.Last = o.Last
	}
}

// Outage is a time without a connection to NATS.
type Outage struct {
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"` // zero while it lasts
	Cause string    `json:"cause,omitempty"`
}

// join makes the router: that of this process, or a cluster's.
func (s *Server) join() error {
	if s.cfg.Join == nil {
		s.local = router.NewLocal(s.post)
		s.local.Through(s.history)
		if s.cfg.MaxConnsPerID > 0 {
			s.local.Limit(s.cfg.MaxConnsPerID)
		}
		s.router = s.local
		return nil
	}
	c, err := s.cfg.Join(Hooks{Deliver: s.post, Offline: s.offline, Arrived: s.arrived, Unheld: s.unheld, Idle: s.engine.Flush, Account: s.account, Asked: s.asked,
		Stage: s.history, Keeper: s.history, Sessions: s.cfg.MaxConnsPerID})
	if err != nil {
		return err
	}
	s.cluster, s.router = c, c
	return nil
}

// here counts the sessions of this process.
func (s *Server) here() router.Stats {
	if s.cluster != nil {
		return s.cluster.Local()
	}
	return s.local.Stats()
}

// offline moves a message from those that the other nodes were sent to those that nobody held.
func (s *Server) offline(tag uint64) {
	a := s.ledger.at(uint32(tag))
	a.offline.Add(1)
	a.forwarded.Add(-1)
}

func (s *Server) arrived(origin string, sole bool) uint64 {
	tag := s.origins.tag(&s.ledger, origin)
	if sole {
		s.ledger.at(tag).received.Add(1)
	}
	return uint64(tag)
}

func (s *Server) unheld(tag uint64, sole bool) {
	if sole {
		s.ledger.at(uint32(tag)).offline.Add(1)
	}
}

// account answers for an origin.
func (s *Server) account(origin string) []byte {
	var l Ledger
	if origin == "" {
		l = s.ledgerNow()
	} else if tag := s.origins.find(origin); tag != 0 {
		l = s.ledger.at(tag).read()
	}
	if s.family != nil {
		l.Add(s.family.Account(origin))
	}
	text, err := json.Marshal(l)
	if err != nil {
		return []byte("null") // a struct of numbers: it cannot be
	}
	return text
}

// ledgerNow is the whole ledger.
func (s *Server) ledgerNow() Ledger {
	l := s.ledger.read()
	l.Replayed += s.counts.replayed.Load()
	if s.cluster != nil {
		l.Overrun += int64(min(s.cluster.Status().Overrun, math.MaxInt64))
	}
	return l
}

// maxOrigins is how many publishers elsewhere have an account of their own here. With one more, the one that was silent for longest
// loses it: its sums stay in the ledger, its name is forgotten.
const maxOrigins = 60

// origins are the accounts of publishers elsewhere.
type origins struct {
	last    string // the origin of the latest message and its account; of arrived's goroutine only
	lastTag uint32

	mu    sync.Mutex
	by    map[string]*originAccount
	clock uint64
}

type originAccount struct {
	tag  uint32
	used uint64
}

// tag is the account of an origin, opened at its first message. One goroutine may call it.
func (o *origins) tag(l *ledger, origin string) uint32 {
	if origin == o.last && o.lastTag != 0 {
		return o.lastTag
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.by[origin]
	if a == nil {
		if o.by == nil {
			o.by = map[string]*originAccount{}
		}
		if len(o.by) >= maxOrigins {
			o.forgetOldest(l)
		}
		tag, _ := l.open(origin)
		a = &originAccount{tag: tag}
		o.by[origin] = a
	}
	o.clock++
	a.used = o.clock
	o.last, o.lastTag = origin, a.tag
	return a.tag
}

func (o *origins) forgetOldest(l *ledger) {
	var oldest string
	least := uint64(math.MaxUint64)
	for name, a := range o.by {
		if a.used < least {
			oldest, least = name, a.used
		}
	}
	l.close(o.by[oldest].tag)
	delete(o.by, oldest)
}

// find is the account of an origin, 0 if it has none.
func (o *origins) find(origin string) uint32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.by[origin]; a != nil {
		return a.tag
	}
	return 0
}

// How long a publisher's account stays open for NATS's words about its messages, should they not come.
const settlePatience = 5 * time.Second

// leave ends a publisher's account, when NATS has said which of its messages nobody wanted.
func (p *publisher) leave() {
	p.s.senders.Add(-1)
	p.s.left()
	if p.s.cluster == nil {
		p.s.ledger.close(p.tag)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), settlePatience)
		defer cancel()
		_ = p.s.cluster.Settle(ctx) // in an outage they do not come any more
		p.s.ledger.close(p.tag)
	}()
}

// confirm is send for a message that stands alone: it knows of all nodes what became of it.
func (p *publisher) confirm(ctx context.Context, id, msg []byte) (remote int, err error) {
	if err := p.admit(id, msg); err != nil {
		return 0, err
	}
	var c router.Confirmation
	err = timed(&p.s.counts.times.send, p.sent.Add(1)-1, sendSample, func() (err error) {
		c, err = p.s.cluster.SendConfirmed(ctx, id, msg, uint64(p.tag))
		return err
	})
	switch {
	case c.Sessions > 0: // whatever became of the rest
	case err == nil && c.Offline():
		p.account.offline.Add(1)
	case err == nil, errors.Is(err, router.ErrUnconfirmed):
		p.forwarded.Add(1)
	case errors.Is(err, router.ErrDisconnected) && !p.s.cfg.Required:
		p.unpublished.Add(1)
	default:
		p.sent.Add(-1)
		return 0, err
	}
	return c.Remote, nil
}

// status is the answer to a message that was refused.
func statusOf(err error) int {
	switch {
	case errors.Is(err, router.ErrDisconnected):
		return http.StatusServiceUnavailable
	case errors.Is(err, router.ErrTooLarge), errors.Is(err, errMessageMax):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}
