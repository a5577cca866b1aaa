package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// change is an id whose interest may have changed, or the mark of somebody who waits until those before it are done.
type change struct {
	id   string
	mark chan<- struct{}
}

// changes is the queue from Login and Logout, which must not wait, to tend. It is as long as NATS is behind.
type changes struct {
	mu   sync.Mutex
	list []change
	wake chan struct{} // one place: there is something in the list
	mark chan struct{} // one place: somebody waits until it is done
}

// add is the router.Interest of the local router.
func (c *changes) add(id string) { c.put(change{id: id}) }

func (c *changes) put(ch change) {
	c.mu.Lock()
	c.list = append(c.list, ch)
	c.mu.Unlock()
	signal(c.wake)
	if ch.mark != nil {
		signal(c.mark)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take swaps the list for an empty one, unless that is far too large.
func (c *changes) take(empty []change) []change {
	if cap(empty) > 1024 {
		empty = nil
	}
	clear(empty[:cap(empty)])
	c.mu.Lock()
	defer c.mu.Unlock()
	full := c.list
	c.list = empty[:0]
	return full
}

func (c *changes) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.list)
}

// stride is how far tend runs ahead of NATS. Without a bound, the answer to nats.go's ping would wait behind a million logins, and
// the connection be given up as dead.
const stride = 4096

// rest is how long tend lets changes gather after those that it has just made. The first login is told at once; of those that come in a
// crowd, each by itself would wake a thread here, one in NATS, and be a packet: 40 us where it can be 4.
const rest = 20 * time.Millisecond

// tend keeps the subscriptions in step with the ids that are held. It never acts on what a change was, but on what is true
// now: the last change of an id comes after its last login or logout, so that in the end the two agree.
func (r *Router) tend() {
	subs := map[string]*nats.Subscription{} // by subject, whose text they share
	ahead := 0                              // subscriptions that NATS may not have read yet
	var batch []change
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select { // until changes may be made again
		case <-r.closing:
			return
		case <-again.C:
		case <-r.changes.mark:
		}
		select {
		case <-r.closing:
			return
		case <-r.changes.wake:
		}
		again.Reset(rest)
		batch = r.changes.take(batch)
		for _, ch := range batch {
			if ch.mark != nil {
				close(ch.mark)
				continue
			}
			if err := r.agree(subs, ch.id); err != nil {
				if errors.Is(err, nats.ErrConnectionClosed) {
					return
				}
				r.cfg.Log.Error("cluster: subscription", "id", ch.id, "error", err)
			}
			if ahead++; ahead >= stride && r.nc.IsConnected() {
				_ = r.nc.FlushTimeout(r.cfg.Confirm)
				ahead = 0
			}
		}
	}
}

// agree subscribes or unsubscribes id. While there is no connection, nats.go keeps the books, and the server hears of all of
// them when it is back.
func (r *Router) agree(subs map[string]*nats.Subscription, id string) error {
	subject := Subject([]byte(id))
	sub, subscribed := subs[subject]
	switch held := r.wants([]byte(id)); {
	case held && !subscribed:
		sub, err := r.nc.ChanSubscribe(subject, r.in)
		if err != nil {
			return err
		}
		subs[sub.Subject] = sub
		r.counts.subscribed.Add(1)
	case !held && subscribed:
		delete(subs, subject)
		r.counts.subscribed.Add(-1)
		r.drops.forget(sub)
		return sub.Unsubscribe()
	}
	return nil
}

// wants tells whether this node is to hear of messages for id. An id that is only remembered is looked at again when it is forgotten.
func (r *Router) wants(id []byte) bool {
	return r.local.Holds(id) || r.cfg.Keeper != nil && r.cfg.Keeper.Has(id)
}

// Flush returns nil when NATS's server knows of all logins and logouts that had returned before the call, and has all messages that
// had been published. It fails with ErrDisconnected. For other servers of a cluster to know as well, Ping a node behind them.
func (r *Router) Flush(ctx context.Context) error {
	mark := make(chan struct{})
	r.changes.put(change{mark: mark})
	select {
	case <-mark:
	case <-r.closing:
		return fmt.Errorf("%w: closed", ErrDisconnected)
	case <-ctx.Done():
		return fmt.Errorf("cluster: logins wait for NATS: %w", context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Confirm) // nats.go insists on a deadline
	defer cancel()
	if err := r.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return nil
}

// drops counts the messages that nats.go threw away because the channel was full. It counts by subscription, and tells of the first
// of a row only; so we keep those that it told of, and ask them.
type drops struct {
	mu   sync.Mutex
	slow map[*nats.Subscription]bool
	past uint64 // of subscriptions that are no more
	told time.Time
}

// begins notes that sub drops messages, and tells whether that is worth a line in the log: one in ten seconds is.
func (d *drops) begins(sub *nats.Subscription, now time.Time) (tell bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow[sub] = true
	if tell = now.Sub(d.told) > 10*time.Second; tell {
		d.told = now
	}
	return tell
}

// forget is called before sub ends.
func (d *drops) forget(sub *nats.Subscription) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.slow, sub)
	if n, err := sub.Dropped(); err == nil {
		d.past += uint64(n)
	}
}

func (d *drops) count() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.past
	for sub := range d.slow {
		n, err := sub.Dropped()
		if err != nil { // told of after it had ended
			delete(d.slow, sub)
			continue
		}
		all += uint64(n)
	}
	return all
}
