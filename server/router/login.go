package router

import (
	"sync"

	"cometctl/internal/slab"
)

// word is 64 bits in halves, so that a login is aligned to 4 bytes and takes 28 of them instead of 32.
type word struct{ lo, hi uint32 }

func split(u uint64) word { return word{uint32(u), uint32(u >> 32)} }

func (w word) session() Session { return Session(w.hi)<<32 | Session(w.lo) }

// A key is an id in 64 bits: a number below 2^63 stands for itself; all others have textKey set in the upper half beside
// the hash of their text, and the slot of their text in the lower half. An id that is held has exactly one key.
const textKey = 1 << 31

// login is one pair of id and session. It is a member of two sets of chains, and each link belongs to the lock of its
// chain; key and session do not change while it is in either.
//
// By id, a bucket chains one login per id, its leader. The others of that id follow their leader in a list of their
// own, so that neither a popular id nor its neighbour in the bucket has to walk past its million sessions.
type login struct {
	key     word
	session word
	link    uint32 // id shard: leader: the next leader of the bucket; follower: the login before it in its list
	peer    uint32 // id shard: the next follower of the same id
	sibling uint32 // session shard: the next login of the bucket, of this session or another
}

// memory holds the records of all shards, so that what is reserved ahead is one chunk and not one per shard. mu guards
// taking and giving back; a record that is in use is read and written under the locks of its chains.
type memory struct {
	mu     sync.Mutex
	logins slab.Slab[login]
	blocks slab.Slab[block]
}

func (m *memory) newLogin() (uint32, *login) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slot := m.logins.Alloc()
	return slot, m.logins.At(slot)
}

func (m *memory) freeLogin(slot uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.logins.Free(slot)
}
