package cluster

import (
	"encoding/json"
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
			if len(r.in) == 0 && r.cfg.Idle != nil {
				r.cfg.Idle()
			}
		case <-r.closing:
			for {
				select {
				case m := <-r.in:
					id = r.handle(m, id[:0])
				default:
					if r.cfg.Idle != nil {
						r.cfg.Idle()
					}
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
	from, kind := origin(m.Reply)
	sole := kind != kindDone && kind != kindBeside
	var tag uint64
	if r.cfg.Arrived != nil {
		tag = r.cfg.Arrived(from, sole)
	}
	rec, err := r.local.Send(id, m.Data, tag)
	if err != nil {
		r.counts.strays.Add(1)
		return id
	}
	r.counts.received.Add(1)
	r.counts.handed.Add(uint64(rec.Sessions))
	if rec.Sessions == 0 {
		r.counts.unheld.Add(1)
		if r.cfg.Unheld != nil {
			r.cfg.Unheld(tag, sole)
		}
	}
	if kind != kindVoid && kind != kindDone {
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

// asked answers a question of another node, or of anybody who speaks NATS. It is called on a goroutine of nats.go's.
func (r *Router) asked(m *nats.Msg) {
	if strings.HasPrefix(m.Reply, r.prefix) {
		r.counts.echoes.Add(1) // see handle
		return
	}
	if m.Reply == "" || r.cfg.Asked == nil {
		return
	}
	text := r.cfg.Asked(m.Data)
	if len(text) == 0 {
		return
	}
	if err := r.nc.Publish(m.Reply, text); err != nil {
		r.counts.unanswered.Add(1)
	}
}

// account answers who asks for what became of an origin's messages. It is called on a goroutine of nats.go's.
func (r *Router) account(m *nats.Msg) {
	if m.Reply == "" || r.cfg.Account == nil {
		return
	}
	text, err := json.Marshal(struct {
		Node   string          `json:"node"`
		Ledger json.RawMessage `json:"ledger"`
	}{r.cfg.Name, r.cfg.Account(string(m.Data))})
	if err == nil {
		err = r.nc.Publish(m.Reply, text)
	}
	if err != nil {
		r.counts.unanswered.Add(1)
	}
}
