package server

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Ledger accounts for messages. For ids with one session each, at rest,
//
//	Sent + Received = Delivered + Dropped + Gone + Pending + Offline + Forwarded + Unpublished
//
// The last two and Received are zero in a server that is no node of a cluster. With several sessions a message has several
// copies, and Copies = Delivered + Dropped + Gone + Pending. Every field is counted where it happens, none is derived. Between
// messages both equations hold to the digit. While messages are on their way, one may be seen in Sent and nowhere else yet, and
// now and then a copy in none of its fields or in two.
//
// Over all nodes of a cluster, what was lost between them is the sum of Forwarded less those of Received and Overrun.
type Ledger struct {
	Sent      int64 `json:"sent"`      // messages that were taken from publishers
	Offline   int64 `json:"offline"`   // messages for an id that nobody held
	Copies    int64 `json:"copies"`    // deliveries begun: one for each session of the message's id
	Delivered int64 `json:"delivered"` // copies that were written to their socket whole
	Dropped   int64 `json:"dropped"`   // copies that met the slow policy
	Gone      int64 `json:"gone"`      // copies that were queued when their connection ended
	Pending   int64 `json:"pending"`   // copies still queued

	// Replayed are messages that were written from the history, to clients that came back or looked in. They are in none of the other fields and
	// in neither equation; absent from JSON where there are none.
	Replayed int64 `json:"replayed,omitempty"`

	// Of a node of a cluster; absent from JSON where they are 0.
	Forwarded   int64 `json:"forwarded,omitempty"`   // messages without a session here that the other nodes were sent, unless they turned out to be Offline
	Received    int64 `json:"received,omitempty"`    // messages of other nodes (their Forwarded) or of publishers that speak to NATS
	Unpublished int64 `json:"unpublished,omitempty"` // messages without a session here, while the other nodes could not be reached
	Overrun     int64 `json:"overrun,omitempty"`     // messages of others thrown away before they were Received, because too many waited
}

// tally is the numbers of an account. It holds no pointer and may lie in memory that another process sees (Config.Page).
type tally struct {
	sent, offline, copies, delivered, dropped, gone, pending, forwarded, received, unpublished atomic.Int64

	owner [maxOwner]byte // whose account it is, of somebody elsewhere; for who reads a Page of a process that has ended
}

// maxOwner is how much of an owner's name is kept: an origin of server/cluster.
const maxOwner = 16

// numbers are all that only grow while an account is open, or settle with it: everything but what is pending.
func (t *tally) numbers() [9]*atomic.Int64 {
	return [...]*atomic.Int64{&t.sent, &t.offline, &t.copies, &t.delivered, &t.dropped, &t.gone, &t.forwarded, &t.received, &t.unpublished}
}

// take moves the numbers of o, which has nothing pending, to t.
func (t *tally) take(o *tally) {
	to := t.numbers()
	for i, from := range o.numbers() {
		to[i].Add(from.Swap(0))
	}
}

func (t *tally) look() Ledger {
	return Ledger{Sent: t.sent.Load(), Offline: t.offline.Load(), Copies: t.copies.Load(), Delivered: t.delivered.Load(),
		Dropped: t.dropped.Load(), Gone: t.gone.Load(), Pending: t.pending.Load(),
		Forwarded: t.forwarded.Load(), Received: t.received.Load(), Unpublished: t.unpublished.Load()}
}

// read looks again when it saw a copy in none of its fields or in two, because that changed places meanwhile. It does not
// look forever: who moves the copy may be interrupted for long, and a ledger that is wrong must be seen to be wrong.
func (t *tally) read() Ledger {
	l := t.look()
	for tries := 0; tries < 100 && !l.balanced(); tries++ {
		runtime.Gosched()
		l = t.look()
	}
	return l
}

func (t *tally) own(owner string) { t.owner = [maxOwner]byte{}; copy(t.owner[:], owner) }

// account is the part of the ledger that one publishing request has caused, or one origin of messages from elsewhere.
type account struct {
	*tally
	waiting atomic.Bool   // somebody waits in settle
	zero    chan struct{} // told when pending may have become 0
	closed  atomic.Bool   // its publisher has left; once nothing is pending the slot is free
}

func (a *account) queued() {
	a.pending.Add(1)
	a.copies.Add(1)
}

// Ended is what l is when the process has ended, however suddenly: what was begun and not settled is gone. The very last message, which was
// counted somewhere and not everywhere yet, is too.
func (l Ledger) Ended() Ledger {
	if inHand := l.Sent + l.Received - l.Offline - l.Forwarded - l.Unpublished - l.Copies; inHand > 0 {
		l.Copies += inHand
	}
	l.Gone, l.Pending = l.Copies-l.Delivered-l.Dropped, 0
	return l
}

// balanced tells whether every copy is accounted for.
func (l Ledger) balanced() bool { return l.Copies == l.Delivered+l.Dropped+l.Gone+l.Pending }

// Add adds what m counts.
func (l *Ledger) Add(m Ledger) {
	l.Sent += m.Sent
	l.Offline += m.Offline
	l.Copies += m.Copies
	l.Delivered += m.Delivered
	l.Dropped += m.Dropped
	l.Gone += m.Gone
	l.Pending += m.Pending
	l.Forwarded += m.Forwarded
	l.Received += m.Received
	l.Unpublished += m.Unpublished
	l.Overrun += m.Overrun
	l.Replayed += m.Replayed
}

// ledger holds the accounts of the publishers that are here or have something pending, and the sum of all earlier ones.
// An account is found by a small number, which travels with each message as its tag.
type ledger struct {
	mu    sync.Mutex
	past  *tally                     // of accounts that were cleared
	fresh func() *tally              // makes the numbers of one more account; nil makes them on the heap
	live  atomic.Pointer[[]*account] // by tag - 1; replaced when it grows, so that at needs no lock
	empty []uint32                   // tags of cleared accounts
}

// open starts an account; owner is its origin, if it has one. Its tag is never 0.
func (l *ledger) open(owner string) (uint32, *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.empty); n > 0 {
		tag := l.empty[n-1]
		l.empty = l.empty[:n-1]
		a := l.at(tag)
		a.own(owner)
		return tag, a
	}
	var all []*account
	if p := l.live.Load(); p != nil {
		all = *p
	}
	all = append(all[:len(all):len(all)], &account{tally: l.blank(), zero: make(chan struct{}, 1)})
	all[len(all)-1].own(owner)
	l.live.Store(&all)
	return uint32(len(all)), all[len(all)-1]
}

func (l *ledger) blank() *tally {
	if l.fresh != nil {
		return l.fresh()
	}
	return new(tally)
}

func (l *ledger) at(tag uint32) *account { return (*l.live.Load())[tag-1] }

// close ends an account: now, or when the last of its messages is settled.
func (l *ledger) close(tag uint32) {
	a := l.at(tag)
	a.closed.Store(true)
	if a.pending.Load() == 0 {
		l.clear(tag, a)
	}
}

// clear moves a closed account that has nothing pending into the past. Two may come at the same time.
func (l *ledger) clear(tag uint32, a *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !a.closed.Load() || a.pending.Load() != 0 {
		return
	}
	if l.past == nil {
		l.past = l.blank()
	}
	l.past.take(a.tally)
	a.closed.Store(false)
	l.empty = append(l.empty, tag)
}

// outcome of one copy.
type outcome uint8

const (
	delivered outcome = iota
	dropped
	gone
)

// settle books the outcome of a copy that was queued under tag.
func (l *ledger) settle(tag uint32, o outcome) {
	a := l.at(tag)
	switch o {
	case delivered:
		a.delivered.Add(1)
	case dropped:
		a.dropped.Add(1)
	case gone:
		a.gone.Add(1)
	}
	if a.pending.Add(-1) > 0 {
		return
	}
	if a.waiting.Load() {
		select {
		case a.zero <- struct{}{}:
		default:
		}
	}
	if a.closed.Load() {
		l.clear(tag, a)
	}
}

// await waits until nothing of the account is pending, at most for patience: a slow subscriber may keep its copies queued
// for as long as it likes. It is for the publisher itself, which must not be sending meanwhile.
func (a *account) await(patience time.Duration) Ledger {
	a.waiting.Store(true)
	defer a.waiting.Store(false)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for a.pending.Load() > 0 {
		select {
		case <-a.zero:
		case <-timer.C:
			return a.read()
		}
	}
	return a.read()
}

// read sums up the past and all live accounts.
func (l *ledger) read() Ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum Ledger
	if l.past != nil {
		sum = l.past.look()
	}
	if p := l.live.Load(); p != nil {
		for _, a := range *p {
			sum.Add(a.read())
		}
	}
	return sum
}
