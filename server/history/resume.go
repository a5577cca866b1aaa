package history

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// patience is how often a publisher lets others go first when a loop wants its shard.
const patience = 100

// giveWay lets a loop have a shard that it has found taken: it may only try, and would lose against publishers who wait in line.
func (sh *shard) giveWay() {
	for range patience {
		runtime.Gosched()
		if !sh.wanted.Load() {
			return
		}
	}
	sh.wanted.Store(false) // its connection may have ended meanwhile
}

// queue is functions to call when a shard is free. It has a lock of its own, a leaf.
type queue struct {
	some atomic.Bool
	mu   sync.Mutex
	fs   []func()
}

func (q *queue) add(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fs = append(q.fs, f)
	q.some.Store(true)
}

func (q *queue) take() []func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	fs := q.fs
	q.fs = nil
	q.some.Store(false)
	return fs
}

// unlock lets go of the shard, and tells those who wait for that. Whoever has held it, however shortly, must: it may be the one that they have
// found there.
func (sh *shard) unlock() {
	sh.mu.Unlock()
	if !sh.queue.some.Load() {
		return
	}
	for _, f := range sh.queue.take() {
		go f() // not here: we may be in a loop's turn, or hold another shard
	}
}

// OnFree calls f, once and soon, when it is worth while to try TryResume for id again, on a goroutine of its own. f should post to a loop
// (Engine.Do).
func (s *Store) OnFree(id []byte, f func()) {
	sh := &s.shards[s.hash(id)%shards]
	sh.queue.add(f)
	if sh.mu.TryLock() { // who held it may have left before f was in the queue
		sh.unlock()
	}
}

// TryResume logs a session in to id and tells what its client has missed, with no message between the two and none told twice: what is
// published before join is told by f, what is published later goes to the session. join is called with the shard locked and is the router's
// Login; where it fails, nothing is told, and err is its error.
//
// Without a position (known is false) nothing is missed, and since is ignored. Otherwise the client had everything up to the number since; 0
// asks for all that is kept. f is called for each message that is kept and newer, oldest first; its msg is lent for the call, and it must not
// call the Store or the Router.
//
// Where something was missed that is not kept, f is called with that gap in its place: with a nil msg and the number up to which messages are lost,
// in part. A number that is none of this record's, from the future for one, is such a gap before all that is kept. whole tells that there was
// no gap. at is the number of the last message before the login, a position to come back with; it is never 0.
//
// busy says that nothing has happened, because a publisher holds the shard and may wait for the caller's loop: try again in a later turn, when
// OnFree says so.
func (s *Store) TryResume(id []byte, since uint64, known bool, join func() error, f func(n uint64, msg []byte)) (at uint64, whole, busy bool, err error) {
	hash := s.hash(id)
	sh := &s.shards[hash%shards]
	if !sh.mu.TryLock() {
		sh.wanted.Store(true)
		return 0, false, true, nil
	}
	defer sh.unlock()
	sh.wanted.Store(false)
	if err := join(); err != nil {
		return 0, false, false, err
	}
	slot := s.find(sh, hash, id)
	if slot == 0 {
		slot = s.create(sh, hash, id, true)
	}
	r := s.memory.record(slot)
	now := s.millis()
	r.seen, r.joined = now, true
	if r.torn == tornNew {
		r.torn = tornShown
	}
	if r.count == 0 {
		s.memory.unlist(slot) // it has nothing to lose any more
	}
	if !known {
		return r.last, true, false, nil
	}
	s.expire(r, now)
	whole = s.tell(sh, r, since, f)
	s.counts.resumed.Add(1)
	if !whole {
		s.counts.gaps.Add(1)
	}
	return r.last, whole, false, nil
}

// tell calls f for what is kept behind since, and for gaps.
func (s *Store) tell(sh *shard, r *record, since uint64, f func(n uint64, msg []byte)) (whole bool) {
	m := &s.memory
	n := r.first()
	mine := since >= n-1 && since <= r.last
	if whole = mine || since == 0; !whole {
		f(n-1, nil)
	}
	p := place{r.head, int(r.from)}
	for ; n <= r.last; n++ {
		length, _, gap, _ := m.head(&p)
		switch {
		case mine && n <= since:
			m.skip(&p, length)
		case gap:
			whole = false
			f(n, nil)
		case p.at+length <= roomLen:
			f(n, m.units.At(p.slot).room[p.at:p.at+length:p.at+length])
			p.at += length
		default:
			sh.staged = slices.Grow(sh.staged[:0], length)[:length]
			m.read(&p, sh.staged)
			f(n, sh.staged)
		}
	}
	if cap(sh.staged) > keepStaged {
		sh.staged = nil
	}
	return whole
}
