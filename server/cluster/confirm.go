package cluster

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/subject"
	"cometctl/server/router"
)

// SendConfirmed does what Send does and waits until it knows more: either that no other node holds id, which NATS knows at
// once and exactly, or the answers of the nodes that got msg, which come in within Config.Gather of each other. It fails as
// Send does, with ErrDisconnected, or with ErrUnconfirmed when nobody answered before ctx or Config.Confirm was over; with the last two
// the Confirmation still says what happened here.
func (r *Router) SendConfirmed(ctx context.Context, id, msg []byte, tag uint64) (c router.Confirmation, err error) {
	if err := r.admit(id, msg); err != nil {
		return c, err
	}
	if c.Receipt, err = r.local.Send(id, msg, tag); err != nil {
		return c, err
	}
	gather := r.cfg.Gather
	kind := kindConfirm
	if c.Sessions > 0 {
		kind = kindBeside
	}
	err = r.request(ctx, kind, gather, func(reply string) error { return r.publish(id, reply, msg) }, func(a answer) bool {
		c.Published = true
		if !a.none {
			c.Nodes++
			c.Remote += a.sessions
		}
		return a.none || gather < 0
	})
	return c, err
}

// Ping returns nil when the node of that name has handled all that this node had sent before: messages, and through NATS's
// servers also logins and logouts that were flushed (Flush). It fails with ErrNode, ErrDisconnected or ErrUnconfirmed. A
// node that is busy answers after what waits there.
func (r *Router) Ping(ctx context.Context, name string) error {
	if err := router.ValidID([]byte(name)); err != nil {
		return fmt.Errorf("%w: %w", ErrNode, err)
	}
	found := false
	err := r.ask(ctx, name, 0, func(a answer) bool {
		found = !a.none
		return true
	})
	if err == nil && !found {
		return fmt.Errorf("%w: %q", ErrNode, name)
	}
	return err
}

// AskAll asks all other nodes a question and hands each answer to got until none has come for Config.Answers
// after the last one. A node that is late is not heard. It fails with ErrDisconnected, or with ErrUnconfirmed when there are other nodes and none
// answers; that there are none is no error.
func (r *Router) AskAll(ctx context.Context, question []byte, got func(answer []byte)) error {
	return r.request(ctx, kindAnswer, r.cfg.Answers, func(reply string) error { return r.nc.PublishRequest(subject.Ask, reply, question) }, func(a answer) bool {
		if !a.none {
			got([]byte(a.text))
		}
		return a.none
	})
}

// ask requests the nodes of a name.
func (r *Router) ask(ctx context.Context, name string, gather time.Duration, got func(answer) (enough bool)) error {
	return r.request(ctx, kindConfirm, gather, func(reply string) error { return r.nc.PublishRequest(nodeSubject(name), reply, nil) }, got)
}

// request publishes with a reply subject of its own and hands the answers to got.
func (r *Router) request(ctx context.Context, kind string, gather time.Duration, publish func(reply string) error, got func(answer) (enough bool)) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Confirm)
	defer cancel()
	room := 16
	if kind == kindAnswer {
		room = 1024 // all nodes answer, and what does not fit is lost
	}
	answers := make(chan answer, room)
	n := r.waiting.add(answers)
	defer r.waiting.remove(n)
	if err := publish(r.prefix + kind + "." + strconv.FormatUint(n, 10)); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return collect(ctx, r.closing, answers, gather, got)
}

// collect hands answers to got until that is enough, or none came for gather after the last one. It fails if there was no
// first one.
func collect(ctx context.Context, closing <-chan struct{}, answers <-chan answer, gather time.Duration, got func(answer) (enough bool)) error {
	var quiet <-chan time.Time // from the first answer on
	for {
		select {
		case a := <-answers:
			if got(a) {
				return nil
			}
			quiet = time.After(gather)
		case <-quiet:
			return nil
		case <-ctx.Done():
			if quiet != nil {
				return nil
			}
			return fmt.Errorf("%w: %w", ErrUnconfirmed, context.Cause(ctx))
		case <-closing:
			return fmt.Errorf("%w: closed", ErrDisconnected)
		}
	}
}

// waiting is the requests that still collect answers.
type waiting struct {
	mu   sync.Mutex
	last uint64
	by   map[uint64]chan<- answer
}

func (w *waiting) add(answers chan<- answer) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	w.by[w.last] = answers
	return w.last
}

func (w *waiting) remove(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.by, n)
}

func (w *waiting) find(n uint64) chan<- answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.by[n]
}

// answered is called with each answer, also with those that come too late. An answer that finds its request's channel full
// is one of very many at once, and counted.
func (r *Router) answered(m *nats.Msg) {
	n, ok := lastNumber(m.Subject)
	if !ok {
		return
	}
	a, ok := answer{none: true}, true
	switch _, kind := origin(m.Subject); {
	case broker.NoResponders(m):
	case kind == kindAnswer:
		a = answer{text: string(m.Data)}
	default:
		a, ok = parseAnswer(m.Data)
	}
	to := r.waiting.find(n)
	if !ok || to == nil {
		r.counts.strays.Add(1)
		return
	}
	select {
	case to <- a:
	default:
		r.counts.strays.Add(1)
	}
}
