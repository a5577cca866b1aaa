package server

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestAccountTagsAreReused(t *testing.T) {
	var l ledger
	tag, a := l.open("")
	other, _ := l.open("")
	if tag == 0 || other == 0 || tag == other {
		t.Fatalf("tags %d and %d", tag, other)
	}
	a.sent.Add(3)
	for range 3 {
		a.queued()
	}
	l.settle(tag, delivered)
	l.settle(tag, dropped)
	l.close(tag)
	if again, _ := l.open(""); again == tag {
		t.Fatalf("account %d is given out while a copy is pending", tag)
	}
	if got, want := l.read(), (Ledger{Sent: 3, Copies: 3, Delivered: 1, Dropped: 1, Pending: 1}); got != want {
		t.Errorf("with a copy pending: %+v, want %+v", got, want)
	}
	l.settle(tag, gone) // the outcome comes after the publisher has left
	want := Ledger{Sent: 3, Copies: 3, Delivered: 1, Dropped: 1, Gone: 1}
	if got := l.read(); got != want {
		t.Errorf("settled: %+v, want %+v", got, want)
	}
	again, b := l.open("")
	if again != tag {
		t.Errorf("the settled account %d is not reused, but %d is", tag, again)
	}
	if got := b.read(); got != (Ledger{}) {
		t.Errorf("its next owner begins with %+v", got)
	}
	b.sent.Add(1)
	b.offline.Add(1)
	l.close(again)
	l.close(other)
	want.Sent, want.Offline = 4, 1
	if got := l.read(); got != want {
		t.Errorf("at the end: %+v, want %+v", got, want)
	}
	if n := len(*l.live.Load()); n != 3 {
		t.Errorf("%d accounts were made for 3 publishers at once", n)
	}
}

func TestAwait(t *testing.T) {
	var l ledger
	tag, a := l.open("")
	a.queued()
	if got := a.await(time.Millisecond); got.Pending != 1 {
		t.Errorf("out of patience: %+v", got)
	}
	go l.settle(tag, delivered)
	if got := a.await(patience); got != (Ledger{Copies: 1, Delivered: 1}) {
		t.Errorf("%+v", got)
	}
	if got := a.await(0); got.Delivered != 1 {
		t.Errorf("with nothing pending: %+v", got)
	}
}

// Publishers come and go, the outcomes of what they sent come on other goroutines and late. Run with -race.
func TestLedgerConcurrently(t *testing.T) {
	const publishers, rounds, copies = 4, 200, 20
	var l ledger
	var truth [3]int64
	type pending struct {
		tag uint32
		o   outcome
	}
	queue := make(chan pending, 50)
	var settlers, senders sync.WaitGroup
	for range 3 {
		settlers.Go(func() {
			for p := range queue {
				l.settle(p.tag, p.o)
			}
		})
	}
	var mu sync.Mutex
	for w := range publishers {
		senders.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(w)))
			var mine [3]int64
			for range rounds {
				tag, a := l.open("")
				if got := a.read(); got != (Ledger{}) {
					t.Errorf("a new account holds %+v", got)
				}
				for range copies {
					o := outcome(rnd.IntN(3))
					mine[o]++
					a.sent.Add(1)
					a.queued()
					queue <- pending{tag, o}
				}
				if rnd.IntN(2) == 0 {
					if got := a.await(patience); got.Pending != 0 || got.Sent != copies || !got.balanced() {
						t.Errorf("answered %+v", got)
					}
				}
				l.close(tag)
				l.read()
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range truth {
				truth[i] += mine[i]
			}
		})
	}
	senders.Wait()
	close(queue)
	settlers.Wait()
	const all = publishers * rounds * copies
	if got, want := l.read(), (Ledger{Sent: all, Copies: all, Delivered: truth[delivered], Dropped: truth[dropped], Gone: truth[gone]}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := l.past.look(); got.Sent != all {
		t.Errorf("%d messages are in accounts that nobody cleared", all-got.Sent)
	}
}
