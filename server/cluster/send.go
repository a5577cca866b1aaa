package cluster

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

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
	if rec.Sessions == 0 && r.cfg.Offline != nil {
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
	err := r.nc.PublishRequest(Subject(id), reply, msg)
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
	if !isNone(m) {
		return
	}
	if tag, ok := lastNumber(m.Subject); ok {
		r.counts.offline.Add(1)
		r.cfg.Offline(tag)
	}
}

// isNone tells NATS's "no responders" status (ADR-4 of nats-architecture-and-design) from a message.
func isNone(m *nats.Msg) bool { return len(m.Data) == 0 && m.Header.Get("Status") == "503" }
