// Package history numbers the messages of an id and keeps the last of them, so that a client that comes back, or one that only looks in
// now and then (long poll), is told what it missed, or that this cannot be told. It is the stage that messages pass on their way from the
// router to the sessions of this process (router.Stage).
//
//   - An id that somebody was shown numbers of, or that messages are kept for, has a record. Its numbers rise by one and begin at a random one:
//     a number of another run, another node, another id or of a record that was forgotten meanwhile is none of this record, and the resume
//     that brings it is a gap. So no counter has to be kept for ever, and no hole is silent.
//   - What is kept is bounded by id (Config.Messages, Config.Bytes, Config.TTL) and in all (Config.Total). Where all is too much, the id
//     whose last message is oldest loses its messages first.
//   - While nothing is kept and nobody is shown numbers, a message costs one atomic load.
//
// Memory is one slab of units of 64 bytes without pointers: a record is a unit, and its messages lie in a chain of further ones, so that
// nothing is garbage when it goes, whatever its size, and what Config.Total counts is what the slab has taken. It is never given back.
//
// Who runs where, and the order of locks: shard, then the router's, then memory. A publisher locks its id's shard in Enter and holds it
// until Leave, that is while its message is posted, and may wait there for a loop. Hence a loop must never wait for a shard: TryResume says
// busy instead. Whoever holds a shard and needs another (to make room) only tries, too. Sweep and Has may wait; no loop calls them.
// docs/design/history.md in the project has the rules of gaps, the order of eviction, and figures.
//
//	history.go  Config, Store, Enter and Leave
//	resume.go   TryResume
//	sweep.go    Sweep: what has been kept long enough; Missed: what never came
//	record.go   the record of an id, and how it is found
//	kept.go     the messages of a record
//	memory.go   units, and whose turn it is to lose them
//	message.go  a message with its number
package history

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"cometctl/internal/slab"
)

// Defaults of Config.
const (
	DefaultBytes = 64 << 10
	DefaultTTL   = 5 * time.Minute
	DefaultTotal = 256 << 20
)

// Bounds of Config. MaxTTL is what 32 bits of milliseconds can tell apart, and then some.
const (
	MaxMessages = 1 << 20
	MinBytes    = 256
	MaxBytes    = 1 << 30
	MaxTTL      = 30 * 24 * time.Hour
	MinTotal    = 1 << 20
	MaxTotal    = 1 << 38
)

// Config bounds what is kept. Zero Bytes, TTL and Total mean their defaults; the bounds above are for who checks what people ask for.
type Config struct {
	Messages int           // kept by id; 0: none, and only ids that somebody is shown numbers of have a record
	Bytes    int           // kept by id, 8 for each message included; a larger message is not kept, nor what was before it
	TTL      time.Duration // of a message, and of a record from when nobody holds its id
	Total    int64         // memory for all ids, in bytes
}

const (
	shardBits = 6
	shards    = 1 << shardBits
)

// shard holds the records of a share of the ids.
type shard struct {
	mu     sync.Mutex  // let go of with unlock
	wanted atomic.Bool // a loop found it taken
	queue  queue       // those who are told when it is free
	index  slab.Index
	staged []byte // the message that its publisher has in hand; also room for one that is read
	_      [64]byte
}

// Store is the history of all ids. Make it with New. It implements router.Stage.
type Store struct {
	cfg    Config
	now    func() time.Duration
	start  func() uint64   // makes the number before a record's first
	forgot func(id string) // hears of each record that is no more; nil: nobody
	seed   maphash.Seed    // of this store, so that nobody can choose ids that share a chain
	active atomic.Int64    // reasons not to let messages pass as they are: Config.Messages, sessions that show numbers, records
	counts *Counts         //
	memory memory          //
	shards [shards]shard   //
}

// Counts are those numbers of Stats that only grow. They hold no pointers and may lie in memory that another process sees (CountIn).
type Counts struct {
	evicted, expired, resumed, gaps atomic.Int64
}

// Stats are the counters; what is held now is not among them.
func (c *Counts) Stats() Stats {
	return Stats{Evicted: c.evicted.Load(), Expired: c.expired.Load(), Resumed: c.resumed.Load(), Gaps: c.gaps.Load()}
}

// New returns an empty Store. now is the time since some beginning; it never goes back.
func New(cfg Config, now func() time.Duration) *Store {
	if cfg.Bytes == 0 {
		cfg.Bytes = DefaultBytes
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.Total == 0 {
		cfg.Total = DefaultTotal
	}
	s := &Store{cfg: cfg, now: now, start: randomStart, seed: maphash.MakeSeed(), counts: new(Counts)}
	s.memory.limit = unitsOf(cfg.Total)
	if cfg.Messages > 0 {
		s.active.Add(1)
	}
	return s
}

// randomStart is a number of 10^11 to 10^12, as TCP's initial sequence numbers are random. It leaves room for 9·10^15 messages before
// JavaScript cannot tell numbers apart any more (2^53).
func randomStart() uint64 { return 1e11 + rand.Uint64N(9e11) }

// OnForget makes f hear of each id whose record is no more. It must be called before anything else, and makes the Store that of one node
// among several: an id is forgotten Config.TTL after its last session has left, even while messages for it come, because those of
// other nodes come for the history's sake alone and would keep it alive for ever. f is called under locks of the Store: it must return at
// once and not call the Store.
func (s *Store) OnForget(f func(id string)) { s.forgot = f }

// CountIn makes c what the Store counts in. It must be called before anything else.
func (s *Store) CountIn(c *Counts) { s.counts = c }

// Show tells that n sessions more show their client numbers, or fewer where n is negative.
func (s *Store) Show(n int) { s.active.Add(int64(n)) }

// Active tells whether there is anything that Sweep might have to do.
func (s *Store) Active() bool { return s.active.Load() != 0 }

// Enter implements router.Stage. While nothing is kept and nobody shows numbers it returns msg as it is and ticket 0. Otherwise it locks
// the id's shard until Leave. The message of an id with a record gets its number and is kept; what is returned then is the message with its
// number (Cut), lent until Leave, and TagNumbered is set in the tag; so is TagTorn, if messages were missed before it.
func (s *Store) Enter(id, msg []byte, tag uint64) (staged []byte, stagedTag uint64, ticket uint32) {
	if s.active.Load() == 0 {
		return msg, tag, 0
	}
	hash := s.hash(id)
	sh := &s.shards[hash%shards]
	if sh.wanted.Load() {
		sh.giveWay()
	}
	sh.mu.Lock()
	ticket = hash%shards + 1
	slot := s.find(sh, hash, id)
	if slot == 0 {
		if s.cfg.Messages == 0 {
			return msg, tag, ticket // nobody was ever shown a number of it
		}
		if slot = s.create(sh, hash, id, false); slot == 0 {
			return msg, tag, ticket
		}
	}
	r := s.memory.record(slot)
	r.last++
	if r.torn != tornNot {
		r.torn = tornNot
		tag |= TagTorn
	}
	if s.cfg.Messages > 0 {
		s.keep(sh, slot, uint32(len(msg)), msg)
	}
	sh.staged = Append(sh.staged[:0], r.last, id, msg)
	return sh.staged, tag | TagNumbered, ticket
}

// keepStaged is how much room a shard holds on to between two messages.
const keepStaged = 16 << 10

// Leave implements router.Stage.
func (s *Store) Leave(ticket uint32) {
	if ticket == 0 {
		return
	}
	sh := &s.shards[ticket-1]
	if cap(sh.staged) > keepStaged {
		sh.staged = nil
	}
	sh.unlock()
}

// Has tells whether id has a record: its numbers live, and who holds one of them may come back. It may wait for a publisher.
func (s *Store) Has(id []byte) bool {
	if s.active.Load() == 0 {
		return false
	}
	hash := s.hash(id)
	sh := &s.shards[hash%shards]
	sh.mu.Lock()
	defer sh.unlock()
	return s.find(sh, hash, id) != 0
}

// Stats is what a Store holds and has done.
type Stats struct {
	IDs      int64 `json:"ids"`      // that have a record now
	Messages int64 `json:"messages"` // kept now, gaps between them included
	Bytes    int64 `json:"bytes"`    // of memory that is in use, for records and messages
	Reserved int64 `json:"reserved"` // of memory that was taken from the system for them: the most that Bytes ever was, and indexes
	Total    int64 `json:"total"`    // the most that may be reserved: Config.Total
	Evicted  int64 `json:"evicted"`  // messages given up before their time because of Total, ever
	Expired  int64 `json:"expired"`  // messages given up because of TTL, ever
	Resumed  int64 `json:"resumed"`  // resumes from a position, ever
	Gaps     int64 `json:"gaps"`     // of them, those that were not told all that they missed
}

// Add adds what o counts.
func (st *Stats) Add(o Stats) {
	st.IDs += o.IDs
	st.Messages += o.Messages
	st.Bytes += o.Bytes
	st.Reserved += o.Reserved
	st.Total += o.Total
	st.Evicted += o.Evicted
	st.Expired += o.Expired
	st.Resumed += o.Resumed
	st.Gaps += o.Gaps
}

// Stats reads all counters, one after another.
func (s *Store) Stats() Stats {
	st := s.counts.Stats()
	st.Total = s.cfg.Total
	s.memory.stats(&st)
	return st
}

func (s *Store) hash(id []byte) uint32 { return uint32(maphash.Bytes(s.seed, id)) }

// millis is the time as records keep it. It comes round every 49 days; what is kept is younger.
func (s *Store) millis() uint32 { return millis(s.now()) }

func millis(d time.Duration) uint32 { return uint32(d / time.Millisecond) }
