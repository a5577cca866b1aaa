package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/server/router"
)

// Send implements router.Router. It hands msg to the sessions of id on this node, publishes it for the others, and returns
// the receipt of this node. Receipt.Published says that NATS took it: unknown remains whether a session elsewhere got it. Without a
// connection to NATS it is false, and that is no error unless Config.Required. It fails with router.ErrID, ErrTooLarge or
// ErrDisconnected, and then nobody got msg.
func (r *Router) Send(id, msg []byte, tag uint64) (router.Receipt, error) {
	if err := r.admit(id, msg); err != nil {
		return router.Receipt{}, err
	}
	rec, err := r.local.Send(id, msg, tag) // 1. here first
	if err != nil {
		return rec, err
	}
	reply := r.prefix + kindDone
	if rec.Sessions == 0 {
		reply = r.prefix + kindVoid + "." + strconv.FormatUint(tag, 10)
	}
	rec.Published = r.publish(id, reply, msg) == nil // 2. then everywhere else
	return rec, nil
}

// admit refuses what can be refused before anybody got it.
func (r *Router) admit(id, msg []byte) error {
	if err := router.ValidID(id); err != nil {
		return err
	}
	if most := r.max.Load(); most > 0 && int64(len(msg)) > most {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed; raise its max_payload or send less", ErrTooLarge, len(msg), most)
	}
	if r.cfg.Required && !r.nc.IsConnected() {
		return r.disconnected()
	}
	return nil
}

func (r *Router) publish(id []byte, reply string, msg []byte) error {
	var err error
	if r.nc.IsConnected() {
		r.ahead.take(len(id) + len(reply) + len(msg))
		err = r.nc.PublishRequest(Subject(id), reply, msg)
	} else {
		err = ErrDisconnected
	}
	if err != nil {
		r.counts.unpublished.Add(1)
		return err
	}
	r.counts.published.Add(1)
	return nil
}

// disconnected says since when and why.
func (r *Router) disconnected() error {
	_, since, cause := r.watch.now()
	if errors.Is(cause, nats.ErrConnectionClosed) || r.nc.IsClosed() {
		return fmt.Errorf("%w: closed", ErrDisconnected)
	}
	if since.IsZero() {
		return ErrDisconnected
	}
	return fmt.Errorf("%w since %s: %v", ErrDisconnected, since.Format("15:04:05.000"), cause)
}

// reported is called with NATS's word that nobody wanted a message.
func (r *Router) reported(m *nats.Msg) {
	if !broker.NoResponders(m) {
		return
	}
	if mark, ok := strings.CutPrefix(m.Subject, r.prefix+kindVoid+"."+markLetter); ok {
		r.marks.pass(mark)
		return
	}
	if tag, ok := lastNumber(m.Subject); ok && r.cfg.Offline != nil {
		r.counts.offline.Add(1)
		r.cfg.Offline(tag)
	}
}

// markLetter stands in front of a mark where a tag is a number only.
const markLetter = "m"

// marks are those who wait in Settle.
type marks struct {
	mu   sync.Mutex
	last uint64
	by   map[string]chan struct{}
}

func (k *marks) add() (mark string, passed <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil {
		k.by = map[string]chan struct{}{}
	}
	k.last++
	mark = strconv.FormatUint(k.last, 10)
	c := make(chan struct{})
	k.by[mark] = c
	return mark, c
}

// pass lets who waits for mark go on, and forgets the mark.
func (k *marks) pass(mark string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, ok := k.by[mark]; ok {
		close(c)
		delete(k.by, mark)
	}
}

// Settle returns nil when Config.Offline has heard of all messages that were published before the call and that nobody wanted: what
// is published to a subject without subscribers brings NATS's word behind all others. It fails with ErrDisconnected, or when ctx or
// Config.Confirm is over.
func (r *Router) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Confirm)
	defer cancel()
	mark, passed := r.marks.add()
	defer r.marks.pass(mark)
	if err := r.nc.PublishRequest(voidSubject, r.prefix+kindVoid+"."+markLetter+mark, nil); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	select {
	case <-passed:
		return nil
	case <-r.closing:
		return fmt.Errorf("%w: closed", ErrDisconnected)
	case <-ctx.Done():
		return fmt.Errorf("cluster: NATS has not said whom nobody wanted: %w", context.Cause(ctx))
	}
}
