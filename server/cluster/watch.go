package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Outage is a time without a connection to NATS. What other nodes sent to this one then did not arrive, and what was published shortly
// before From may not have.
type Outage struct {
	From, To time.Time // To is zero while it lasts
	Cause    string
}

// watch is what is known of the connection and of the name.
type watch struct {
	joined atomic.Bool // connected, and the name is ours
	claims sync.Mutex  // one claim of the name at a time

	mu      sync.Mutex
	up      bool
	taken   error // ErrName, while another node has the name
	last    Outage
	cause   error
	outages uint64
	losses  uint64 // calls of lost: tells one connection from the next
}

// connection is equal for two calls with no loss between them.
func (w *watch) connection() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.losses
}

func (w *watch) now() (up bool, since time.Time, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up, w.last.From, w.cause
}

// lost notes that the connection is gone, or was never there.
func (w *watch) lost(at time.Time, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up {
		w.outages++
	}
	if w.up || w.last.From.IsZero() {
		w.last = Outage{From: at}
	}
	w.losses++
	w.joined.Store(false)
	w.up, w.cause = false, cause
	w.last.Cause = fmt.Sprint(cause)
}

// back notes that the connection is there; again tells whether it had been lost.
func (w *watch) back(at time.Time) (o Outage, again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	again = !w.up && !w.last.From.IsZero()
	if again {
		w.last.To = at
	}
	w.up, w.cause = true, nil
	return w.last, again
}

// observe sets the connection's handlers, and takes up the name at once if there is a connection already.
func (r *Router) observe() error {
	r.nc.SetDisconnectErrHandler(func(nc *nats.Conn, err error) {
		if nc.IsClosed() {
			err = nats.ErrConnectionClosed
		} else if err == nil {
			err = nc.LastError()
		}
		r.watch.lost(time.Now(), err)
		r.ahead.lost()
		if nc.IsClosed() {
			return
		}
		r.cfg.Log.Warn("cluster: lost the connection to NATS; trying again", "error", err)
	})
	r.nc.SetReconnectHandler(func(*nats.Conn) {
		r.connected()
		go func() {
			if err := r.claim(); errors.Is(err, ErrName) {
				r.cfg.Log.Error(err.Error())
			}
		}()
	})
	r.nc.SetClosedHandler(func(nc *nats.Conn) {
		r.watch.lost(time.Now(), nats.ErrConnectionClosed)
	})
	r.nc.SetErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrSlowConsumer) && sub != nil {
			if r.drops.begins(sub, time.Now()) {
				r.cfg.Log.Warn("cluster: too many messages wait here, further ones are dropped", "subject", sub.Subject, "pending", cap(r.in))
			}
			return
		}
		r.cfg.Log.Error("cluster: NATS", "error", err)
	})
	if !r.nc.IsConnected() {
		r.watch.lost(time.Now(), nats.ErrNoServers)
		if !r.nc.IsConnected() { // neither now, nor since the handlers are set without their noticing
			return nil
		}
	}
	r.connected()
	if err := r.claim(); errors.Is(err, ErrName) {
		return err
	}
	return nil
}

func (r *Router) connected() {
	r.max.Store(r.nc.MaxPayload())
	o, again := r.watch.back(time.Now())
	if again {
		r.cfg.Log.Info("cluster: connected to NATS", "url", r.nc.ConnectedUrlRedacted(), "after", o.To.Sub(o.From))
	}
}

// claim asks whether another node has our name, and makes it ours if not. Of two that ask at the same time, the one with the
// smaller nonce gets it, unless the other one has just been told that there is nobody: hence the second question.
func (r *Router) claim() error {
	w := &r.watch
	w.claims.Lock()
	defer w.claims.Unlock()
	if w.joined.Load() {
		return nil
	}
	connection := w.connection()
	var taken, err error
	for rivals, round := true, 0; rivals && taken == nil && round < 2; round++ {
		rivals = false
		err = r.ask(context.Background(), r.cfg.Name, r.cfg.Gather, func(a answer) bool {
			rivals = !a.none
			if rivals && (a.joined || a.nonce < r.nonce) {
				taken = fmt.Errorf("%w: %q is another node's; give each its own", ErrName, r.cfg.Name)
			}
			return a.none || taken != nil
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taken = taken; taken != nil {
		return taken
	}
	if err != nil && !errors.Is(err, ErrUnconfirmed) { // unconfirmed: whoever had the name does not answer any more
		return err
	}
	w.joined.Store(w.losses == connection) // otherwise the next connection's claim waits already
	return nil
}

// Ready returns nil when this node takes part: connected, under a name of its own. Otherwise it returns ErrDisconnected or
// ErrName.
func (r *Router) Ready() error {
	if !r.nc.IsConnected() {
		return r.disconnected()
	}
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	if r.watch.taken == nil && !r.watch.joined.Load() {
		return fmt.Errorf("%w: connected, and about to join", ErrDisconnected)
	}
	return r.watch.taken
}

// counts are written by all goroutines and read by Stats.
type counts struct {
	published, unpublished, offline                      atomic.Uint64
	received, handed, unheld, echoes, strays, unanswered atomic.Uint64
	subscribed                                           atomic.Int64
}

// Stats is what a node has done and met. All but the first three only grow. Over all nodes, published messages are received (once by
// each node that holds the id), offline, dropped, or were lost in an outage.
type Stats struct {
	Connected   bool   `json:"connected"`
	Subscribed  int    `json:"subscribed"` // ids that NATS knows this node by
	Waiting     int    `json:"waiting"`    // logins and logouts that NATS is still to hear of
	Published   uint64 `json:"published"`
	Unpublished uint64 `json:"unpublished"` // NATS did not take them: no connection
	Offline     uint64 `json:"offline"`     // published with no session here, and wanted by nobody; counted with Config.Offline only
	Received    uint64 `json:"received"`    // messages of other nodes
	Handed      uint64 `json:"handed"`      // sessions that those were handed to
	Unheld      uint64 `json:"unheld"`      // of Received: nobody held the id any more
	Dropped     uint64 `json:"dropped"`     // thrown away because Config.Pending messages waited already
	Reports     uint64 `json:"reports"`     // answers and reports of NATS thrown away because too many waited: Offline lacks them
	Echoes      uint64 `json:"echoes"`      // our own messages, brought back after a reconnection and ignored
	Strays      uint64 `json:"strays"`      // what is none of ours, or an answer to nobody
	Unanswered  uint64 `json:"unanswered"`  // requests that could not be answered: no connection
	Outages     uint64 `json:"outages"`     // times that the connection was lost
	Last        Outage `json:"last"`        // the last time without connection
}

// Stats reads the counters.
func (r *Router) Stats() Stats {
	c := &r.counts
	st := Stats{
		Connected: r.nc.IsConnected(), Subscribed: int(c.subscribed.Load()), Waiting: r.changes.len(),
		Published: c.published.Load(), Unpublished: c.unpublished.Load(), Offline: c.offline.Load(),
		Received: c.received.Load(), Handed: c.handed.Load(), Unheld: c.unheld.Load(),
		Echoes: c.echoes.Load(), Strays: c.strays.Load(), Unanswered: c.unanswered.Load(), Dropped: r.drops.count(),
	}
	for _, sub := range append(r.answers[:], r.reports) {
		if n, err := sub.Dropped(); err == nil {
			st.Reports += uint64(n)
		}
	}
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	st.Outages, st.Last = r.watch.outages, r.watch.last
	return st
}
