package server

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Ledger accounts for messages. For an id with one session, Sent = Delivered + Offline + Dropped + Gone + Pending; with
// several sessions a message has several copies, and Copies = Delivered + Dropped + Gone + Pending. Every field is counted
// where it happens, none is derived. Between messages both equations hold to the digit. While messages are on their way, one
// may be seen in Sent and nowhere else yet, and now and then a copy in none of its fields or in two.
type Ledger struct {
	Sent      int64 `json:"sent"`      // messages that were taken from publishers
	Offline   int64 `json:"offline"`   // messages for an id that nobody held
	Copies    int64 `json:"copies"`    // deliveries begun: one for each session of the message's id
	Delivered int64 `json:"delivered"` // copies that were written to their socket whole
	Dropped   int64 `json:"dropped"`   // copies that met the slow policy
	Gone      int64 `json:"gone"`      // copies that were queued when their connection ended
	Pending   int64 `json:"pending"`   // copies still queued
}

// account is the part of the ledger that one publishing request has caused.
type account struct {
	sent, offline, copies, delivered, dropped, gone, pending atomic.Int64

	waiting atomic.Bool   // somebody waits in settle
	zero    chan struct{} // told when pending may have become 0
	closed  atomic.Bool   // its publisher has left; once nothing is pending the slot is free
}

func (a *account) queued() {
	a.pending.Add(1)
	a.copies.Add(1)
}

// read looks again when it saw a copy in none of its fields or in two, because that changed places meanwhile. It does not
// look forever: who moves the copy may be interrupted for long, and a ledger that is wrong must be seen to be wrong.
func (a *account) read() Ledger {
	l := a.look()
	for tries := 0; tries < 100 && !l.balanced(); tries++ {
		runtime.Gosched()
		l = a.look()
	}
	return l
}

func (a *account) look() Ledger {
	return Ledger{Sent: a.sent.Load(), Offline: a.offline.Load(), Copies: a.copies.Load(), Delivered: a.delivered.Load(),
		Dropped: a.dropped.Load(), Gone: a.gone.Load(), Pending: a.pending.Load()}
}

// balanced tells whether every copy is accounted for.
func (l Ledger) balanced() bool { return l.Copies == l.Delivered+l.Dropped+l.Gone+l.Pending }

func (l *Ledger) add(m Ledger) {
	l.Sent += m.Sent
	l.Offline += m.Offline
	l.Copies += m.Copies
	l.Delivered += m.Delivered
	l.Dropped += m.Dropped
	l.Gone += m.Gone
	l.Pending += m.Pending
}

// ledger holds the accounts of the publishers that are here or have something pending, and the sum of all earlier ones.
// An account is found by a small number, which travels with each message as its tag.
type ledger struct {
	mu    sync.Mutex
	past  Ledger                     // of accounts that were cleared
	live  atomic.Pointer[[]*account] // by tag - 1; replaced when it grows, so that at needs no lock
	empty []uint32                   // tags of cleared accounts
}

// open starts an account. Its tag is never 0.
func (l *ledger) open() (uint32, *account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.empty); n > 0 {
		tag := l.empty[n-1]
		l.empty = l.empty[:n-1]
		return tag, l.at(tag)
	}
	var all []*account
	if p := l.live.Load(); p != nil {
		all = *p
	}
	all = append(all[:len(all):len(all)], &account{zero: make(chan struct{}, 1)})
	l.live.Store(&all)
	return uint32(len(all)), all[len(all)-1]
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
	l.past.add(a.read())
	for _, v := range []*atomic.Int64{&a.sent, &a.offline, &a.copies, &a.delivered, &a.dropped, &a.gone} {
		v.Store(0)
	}
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
	sum := l.past
	if p := l.live.Load(); p != nil {
		for _, a := range *p {
			sum.add(a.read())
		}
	}
	return sum
}
