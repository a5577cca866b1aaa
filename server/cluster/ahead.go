package cluster

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Bounds on what was published and NATS has not confirmed with a PONG.
const (
	aheadMax = 128 << 10 // bytes; more than that waits in publish
	aheadAsk = 32 << 10  // bytes; so many are worth a PING
)

// ahead keeps what was published from running away from what NATS has read. nats.go holds its lock while it writes, and needs it to
// read a PONG: were a write to block for long because the server writes too, a word for each message that nobody wanted, then the server
// would wait for us to read, we for our lock, and the lock for the server. Within the sockets' buffers no write blocks.
type ahead struct {
	mu        sync.Mutex
	room      sync.Cond     // on mu: told when more was confirmed
	sent      int64         // bytes published
	confirmed int64         // of them, those before the latest PONG
	asking    bool          // a PING is under way, or about to be
	ask       chan struct{} // one place: a PING is due
}

func (a *ahead) init() {
	a.room.L = &a.mu
	a.ask = make(chan struct{}, 1)
}

// take books n bytes that are to be published now, once there is room for them.
func (a *ahead) take(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.sent-a.confirmed >= aheadMax {
		a.room.Wait()
	}
	a.sent += int64(n)
	if !a.asking && a.sent-a.confirmed >= aheadAsk {
		a.asking = true
		signal(a.ask)
	}
}

// confirm asks NATS for PONGs until closing. Without an answer what was published counts as read: the
// connection has broken, or does soon.
func (a *ahead) confirm(nc *nats.Conn, patience time.Duration, closing <-chan struct{}) {
	for {
		select {
		case <-closing:
			a.settle(1 << 62) // who still waits is refused by the closed connection
			return
		case <-a.ask:
		}
		a.mu.Lock()
		upTo := a.sent
		a.mu.Unlock()
		_ = nc.FlushTimeout(patience)
		a.settle(upTo)
	}
}

// lost is called when the connection has broken: there will be no PONG for what was published on it.
func (a *ahead) lost() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.confirmed = max(a.confirmed, a.sent)
	a.room.Broadcast()
}

// settle books the first upTo bytes as confirmed.
func (a *ahead) settle(upTo int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.confirmed = max(a.confirmed, upTo)
	if a.asking = a.sent-a.confirmed >= aheadAsk; a.asking {
		signal(a.ask)
	}
	a.room.Broadcast()
}
