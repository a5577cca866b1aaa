package cluster

import (
	"strings"

	"github.com/nats-io/nats.go"
)

// receive hands over what comes from other nodes until the end, and then what is left in the channel.
func (r *Router) receive() {
	var id []byte
	for {
		select {
		case m := <-r.in:
			id = r.handle(m, id[:0])
		case <-r.closing:
			for {
				select {
				case m := <-r.in:
					id = r.handle(m, id[:0])
				default:
					return
				}
			}
		}
	}
}

// handle hands one message over. NoEcho keeps our own messages away, but only those of the same connection: after
// a reconnection, a server that was stopped for a while may still read the old connection's last messages and bring them to
// the new one. Their sessions here have them already, hence the look at the reply subject.
func (r *Router) handle(m *nats.Msg, id []byte) []byte {
	if strings.HasPrefix(m.Reply, r.prefix) {
		r.counts.echoes.Add(1)
		return id
	}
	if strings.HasPrefix(m.Subject, nodePrefix) {
		r.respond(m, 0)
		return id
	}
	id, ok := appendID(id, m.Subject)
	if !ok {
		r.counts.strays.Add(1)
		return id
	}
	rec, err := r.local.Send(id, m.Data, r.cfg.Tag)
	if err != nil {
		r.counts.strays.Add(1)
		return id
	}
	r.counts.received.Add(1)
	r.counts.handed.Add(uint64(rec.Sessions))
	if rec.Sessions == 0 {
		r.counts.unheld.Add(1)
	}
	if k := kind(m.Reply); k != kindVoid && k != kindDone {
		r.respond(m, rec.Sessions)
	}
	return id
}

// respond answers a request, of a node or of anybody who speaks NATS.
func (r *Router) respond(m *nats.Msg, sessions int) {
	if m.Reply == "" {
		return
	}
	a := answer{sessions: sessions, nonce: r.nonce, joined: r.watch.joined.Load(), name: r.cfg.Name}
	if err := r.nc.Publish(m.Reply, a.append(nil)); err != nil {
		r.counts.unanswered.Add(1)
	}
}
