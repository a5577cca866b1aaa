package history_test

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"cometctl/server/history"
	"cometctl/server/router"
)

func passed() func() time.Duration {
	from := time.Now()
	return func() time.Duration { return time.Since(from) }
}

// subscriber is a client that comes and goes: it has a new session each time, and expects the numbers behind the last that it has seen.
type subscriber struct {
	id      []byte
	mu      sync.Mutex
	session router.Session // the one that counts
	last    uint64
	seen    int
	fault   string
}

// take is a message, live or from the history.
func (c *subscriber) take(n uint64, msg []byte) {
	c.seen++
	if n != c.last+1 && c.fault == "" {
		c.fault = fmt.Sprintf("number %d after %d", n, c.last)
	}
	if i := binary.BigEndian.Uint64(msg); i != uint64(c.seen-1) && c.fault == "" {
		c.fault = fmt.Sprintf("message %d came as number %d of those that were seen", i, c.seen-1)
	}
	c.last = n
}

// TestExactlyOnce publishes while subscribers leave and resume all the time: each has every message once and in order, whether it came while the
// subscriber was there, while it was away or within the resume. Run with -race.
func TestExactlyOnce(t *testing.T) {
	const ids, messages = 8, 3000
	var r *router.Local
	s := history.New(history.Config{Messages: 1 << 20, Bytes: 1 << 20}, passed())
	subs := map[router.Session]*subscriber{}
	var clients []*subscriber
	for i := range ids {
		c := &subscriber{id: fmt.Append(nil, i)}
		clients = append(clients, c)
		for life := range 1000 {
			subs[router.Session(i*1000+life+1)] = c
		}
	}
	r = router.NewLocal(func(to router.Session, msg []byte, tag uint64) {
		c := subs[to]
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.session != to {
			return // gone, as for a connection that has ended
		}
		n, id, text := history.Cut(msg)
		if tag != 9|history.TagNumbered || string(id) != string(c.id) {
			c.fault = fmt.Sprintf("tag %x, id %q", tag, id)
		}
		c.take(n, text)
	})
	r.Through(s)
	var all sync.WaitGroup
	sent := make(chan struct{})
	for i, c := range clients {
		all.Go(func() { c.live(r, s, router.Session(i*1000), sent) })
	}
	var publishers sync.WaitGroup
	for half := range 2 {
		publishers.Go(func() {
			for n := range messages {
				for i := half; i < ids; i += 2 { // one publisher an id, so that there is an order to look for
					if _, err := r.Send(clients[i].id, binary.BigEndian.AppendUint64(nil, uint64(n)), 9); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	publishers.Wait()
	close(sent)
	all.Wait()
	for _, c := range clients {
		if c.fault != "" || c.seen != messages {
			t.Errorf("%s: saw %d of %d messages; %s", c.id, c.seen, messages, c.fault)
		}
	}
}

// live resumes and leaves until everything was sent, and then once more.
func (c *subscriber) live(r *router.Local, s *history.Store, session router.Session, sent <-chan struct{}) {
	for life := range 1000 {
		last := life == 999
		select {
		case <-sent:
			last = true
		default:
		}
		session++
		c.resume(r, s, session)
		if last {
			return
		}
		for range life % 7 {
			runtime.Gosched()
		}
		c.mu.Lock()
		c.session = 0
		c.mu.Unlock()
		r.Logout(session)
	}
}

// resume holds the lock that deliver needs, as a loop does not see what is posted before its turn is over.
func (c *subscriber) resume(r *router.Local, s *history.Store, session router.Session) {
	for !c.try(r, s, session) {
		runtime.Gosched()
	}
}

func (c *subscriber) try(r *router.Local, s *history.Store, session router.Session) (done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, whole, busy, err := s.TryResume(c.id, c.last, true, func() error {
		c.session = session
		return r.Login(c.id, session)
	}, func(n uint64, msg []byte) {
		if msg == nil {
			return // not whole
		}
		if c.last == 0 {
			c.last = n - 1
		}
		c.take(n, msg)
	})
	if busy {
		return false
	}
	if c.last == 0 {
		c.last = at
	}
	if (!whole || c.last != at || err != nil) && c.fault == "" {
		c.fault = fmt.Sprintf("resumed: whole %v, at %d, but %d was told last; error %v", whole, at, c.last, err)
	}
	return true
}

// TestWanted has publishers hold one shard all the time. A loop that may only try, and is told when, gets it nevertheless.
func TestWanted(t *testing.T) {
	s := history.New(history.Config{Messages: 1}, passed())
	var begun sync.WaitGroup
	r := router.NewLocal(func(router.Session, []byte, uint64) {
		for range 20 {
			runtime.Gosched() // as one that waits for a loop
		}
	})
	r.Through(s)
	id := []byte("1")
	if err := r.Login(id, 1); err != nil {
		t.Fatal(err)
	}
	var publishers sync.WaitGroup
	end := make(chan struct{})
	for range 4 {
		begun.Add(1)
		publishers.Go(func() {
			begun.Done()
			for {
				select {
				case <-end:
					return
				default:
				}
				if _, err := r.Send(id, id, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	begun.Wait()
	free := make(chan bool, 1)
	worst := 0
	for n := range 200 {
		runtime.Gosched()
		for tries := 1; ; tries++ {
			_, _, busy, _ := s.TryResume(id, 0, false, func() error { return r.Login(id, router.Session(n%4+1)) }, nil)
			if !busy {
				worst = max(worst, tries)
				break
			}
			s.OnFree(id, func() { free <- true })
			<-free
		}
	}
	if worst > 10_000 { // if nobody gave way it would be ten times as many
		t.Errorf("%d tries for one resume", worst)
	}
	close(end)
	publishers.Wait()
}
