package msggen

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/subject"
)

// When a run on NATS is over, the nodes are asked what became of its messages, again and again until their sum explains every one of
// them and none is pending, or does not change any more.
const (
	auditFirst = 3 * time.Second        // for the first node's answer
	auditQuiet = 300 * time.Millisecond // for a further node's: nobody knows how many there are
	auditPause = 50 * time.Millisecond  // between two questions
	auditStill = time.Second            // without change, it stays so
	auditLimit = 10 * time.Second
)

// leaveNATS makes the ledger of a run whose workers have ended, and ends their connections.
func (r *run) leaveNATS(workers []*worker) {
	var asker *nats.Conn
	for _, w := range workers {
		p := w.other.(*natsPublisher)
		if n, err := p.reports.Dropped(); err == nil {
			r.unheard += uint64(n)
		}
		if p.nc.IsConnected() {
			asker = p.nc
		}
	}
	if asker != nil && r.hard.Err() == nil {
		r.ledger = r.audit(asker)
	}
	for _, w := range workers {
		p := w.other.(*natsPublisher)
		p.close()
		denied := min(p.denied.Load(), r.accepted.Load())
		r.accepted.Add(-denied)
		r.bad.Add(denied)
	}
	l, own := &r.ledger, r.offline.Load()
	l.Bad = r.bad.Load()
	l.Sent = r.generated.Load() - min(l.Bad, r.generated.Load())
	l.Forwarded = l.Sent - min(own, l.Sent)
	l.Offline += own
}

// audit is the sum of what the nodes did with the messages of this run.
func (r *run) audit(nc *nats.Conn) Ledger {
	a := audit{nc: nc, origin: r.origin, answers: make(chan *nats.Msg, 1024), nodes: map[string]Ledger{}}
	sub, err := nc.ChanSubscribe(subject.Reply(r.origin, subject.Confirm)+".*", a.answers)
	if err != nil {
		r.broke(fmt.Errorf("the nodes cannot be asked what became of the messages: %w", err))
		return Ledger{}
	}
	defer func() { _ = sub.Unsubscribe() }() // it may be gone with the connection
	ctx, cancel := context.WithTimeout(context.Background(), auditLimit)
	defer cancel()
	var sum Ledger
	for moved := time.Now(); a.ask(ctx); time.Sleep(auditPause) {
		if now := a.sum(); now != sum {
			sum, moved = now, time.Now()
		}
		explained := sum.Received+sum.Overrun+r.offline.Load()+r.bad.Load() >= r.generated.Load() && sum.Pending == 0
		if explained || time.Since(moved) >= auditStill {
			break
		}
	}
	return a.sum()
}

// audit asks nodes.
type audit struct {
	nc      *nats.Conn
	origin  string
	answers chan *nats.Msg
	asked   int               // questions
	nodes   map[string]Ledger // what each said last; one that does not answer any more has done what it said
}

// ask asks all nodes once, and tells whether there are any. Once they are known, it waits for none but those.
func (a *audit) ask(ctx context.Context) bool {
	a.asked++
	reply := fmt.Sprintf("%s.%d", subject.Reply(a.origin, subject.Confirm), a.asked)
	if a.nc.PublishRequest(subject.Ledger, reply, []byte(a.origin)) != nil {
		return false
	}
	known, heard := len(a.nodes), map[string]bool{}
	quiet := time.NewTimer(auditFirst)
	defer quiet.Stop()
	for a.asked == 1 || len(heard) < known {
		select {
		case m := <-a.answers:
			if m.Subject != reply {
				continue // to an earlier question
			}
			if broker.NoResponders(m) {
				return false
			}
			var said struct {
				Node   string `json:"node"`
				Ledger Ledger `json:"ledger"`
			}
			if json.Unmarshal(m.Data, &said) != nil {
				continue // it is not a node's
			}
			a.nodes[said.Node], heard[said.Node] = said.Ledger, true
			quiet.Reset(auditQuiet)
		case <-quiet.C:
			return len(a.nodes) > 0
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (a *audit) sum() (all Ledger) {
	for _, l := range a.nodes {
		all.add(l)
	}
	return all
}
