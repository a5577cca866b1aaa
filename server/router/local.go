package router

import (
	"encoding/binary"
	"hash/maphash"
	"sync"

	"cometctl/internal/slab"
)

// word is 64 bits in halves, so that a login is aligned to 4 bytes and takes 28 of them instead of 32.
type word struct{ lo, hi uint32 }

func split(u uint64) word { return word{uint32(u), uint32(u >> 32)} }

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

const (
	shardBits = 5
	shards    = 1 << shardBits
)

// idShard holds the chains of a share of the ids.
type idShard struct {
	mu sync.Mutex
	index
	_ [24]byte // a cache line each
}

// sessionShard holds the chains of a share of the sessions.
type sessionShard struct {
	mu sync.Mutex
	index
	sessions int     // sessions with at least one id
	_        [16]byte // a cache line each
}

// memory holds the records of all shards, so that what is reserved ahead is one chunk and not one per shard. mu guards
// taking and giving back; a record that is in use is read and written under the locks of its chains.
type memory struct {
	mu     sync.Mutex
	logins slab.Slab[login]
	blocks slab.Slab[block]
}

// Local is the Router of one process. Make it with NewLocal.
//
// Locks are taken in this order, at most one of each kind: session shard, id shard, memory. Login and Logout hold their
// session's lock from beginning to end, hence each happens either wholly before or wholly after another of the same
// session. Send takes the id's lock only, and lets go of it before it delivers.
type Local struct {
	deliver  Deliver
	seed     maphash.Seed // of this router, so that nobody can choose ids that share a chain
	fanouts  sync.Pool    // of *[]Session: room for the sessions of an id that has many
	memory   memory
	ids      [shards]idShard
	sessions [shards]sessionShard
}

var _ Router = (*Local)(nil)

// NewLocal returns an empty Local whose Send hands messages to deliver.
func NewLocal(deliver Deliver) *Local { return &Local{deliver: deliver, seed: maphash.MakeSeed()} }

// Login implements Router. It is one allocation per 512 logins and usually none.
func (r *Local) Login(id []byte, s Session) error {
	if s == 0 {
		return ErrNoSession
	}
	k, err := r.parse(id)
	if err != nil {
		return err
	}
	session := split(uint64(s))
	h := r.hash(session)
	ss := &r.sessions[h%shards]
	ss.mu.Lock()
	defer ss.mu.Unlock()
	is := &r.ids[k.hash%shards]
	is.mu.Lock()
	defer is.mu.Unlock()

	leader := r.leader(is, &k)
	known, same := r.holds(ss, h, session, leader)
	if same {
		return nil
	}
	if leader == 0 && k.text != nil {
		k.key.lo = r.memory.putText(k.text)
	}
	slot, l := r.memory.newLogin()
	l.key, l.session = k.key, session
	if leader != 0 {
		r.follow(leader, slot)
	} else {
		r.lead(is, slot, k.hash)
	}
	r.own(ss, slot, h)
	if !known {
		ss.sessions++
	}
	return nil
}

// Logout implements Router.
func (r *Local) Logout(s Session) {
	session := split(uint64(s))
	h := r.hash(session)
	ss := &r.sessions[h%shards]
	ss.mu.Lock()
	defer ss.mu.Unlock()
	found := false
	for p := ss.head(h >> shardBits); p != nil && *p != 0; {
		slot := *p
		l := r.memory.logins.At(slot)
		if l.session != session {
			p = &l.sibling
			continue
		}
		found = true
		*p = l.sibling
		ss.members--
		r.leave(slot, l)
		r.memory.freeLogin(slot)
	}
	if found {
		ss.sessions--
	}
}

// Send implements Router. It allocates nothing, save that an id with more sessions than any before needs room once.
func (r *Local) Send(id, msg []byte, tag uint64) (Receipt, error) {
	k, err := r.parse(id)
	if err != nil {
		return Receipt{}, err
	}
	var few [16]Session
	n, many := r.collect(&k, &few)
	to := few[:n]
	if many != nil {
		to = *many
	}
	for _, s := range to {
		r.deliver(s, msg, tag)
	}
	rec := Receipt{Sessions: len(to)}
	if many != nil {
		r.fanouts.Put(many)
	}
	return rec, nil
}

// collect puts the sessions that hold k into few, or all of them into many if they are more than that.
func (r *Local) collect(k *ident, few *[16]Session) (n int, many *[]Session) {
	is := &r.ids[k.hash%shards]
	is.mu.Lock()
	defer is.mu.Unlock()
	slot := r.leader(is, k)
	for ; slot != 0 && n < len(few); n++ {
		l := r.memory.logins.At(slot)
		few[n] = l.session.session()
		slot = l.peer
	}
	if slot == 0 {
		return n, nil
	}
	many, _ = r.fanouts.Get().(*[]Session)
	if many == nil {
		many = new([]Session)
	}
	all := append((*many)[:0], few[:]...)
	for slot != 0 {
		l := r.memory.logins.At(slot)
		all = append(all, l.session.session())
		slot = l.peer
	}
	*many = all
	return 0, many
}

// Stats is how much a Local holds.
type Stats struct {
	Sessions int // sessions that hold at least one id
	IDs      int // ids that are held by at least one session
	Logins   int // pairs of the two
}

// Stats counts shard by shard: exact when nobody logs in or out meanwhile.
func (r *Local) Stats() (st Stats) {
	for i := range shards {
		ss, is := &r.sessions[i], &r.ids[i]
		ss.mu.Lock()
		st.Sessions += ss.sessions
		st.Logins += int(ss.members)
		ss.mu.Unlock()
		is.mu.Lock()
		st.IDs += int(is.members)
		is.mu.Unlock()
	}
	return st
}

// ident is an id as the router looks for it. A textual id's key lacks its lower half until its leader is found.
type ident struct {
	key  word
	hash uint32
	text []byte // nil for a number
}

func (r *Local) parse(id []byte) (k ident, err error) {
	if err := ValidID(id); err != nil {
		return k, err
	}
	if n, ok := number(id); ok {
		k.key = split(n)
		k.hash = r.hash(k.key)
		return k, nil
	}
	k.hash = uint32(maphash.Bytes(r.seed, id)) &^ textKey
	k.key.hi, k.text = textKey|k.hash, id
	return k, nil
}

// hash has 31 bits, as many as a key has room for: the shard's first, the bucket's after them.
func (r *Local) hash(w word) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint32(b[:], w.lo)
	binary.LittleEndian.PutUint32(b[4:], w.hi)
	return uint32(maphash.Bytes(r.seed, b[:])) &^ textKey
}

func (r *Local) hashKey(key word) uint32 {
	if key.hi&textKey != 0 {
		return key.hi &^ textKey
	}
	return r.hash(key)
}

func (w word) session() Session { return Session(w.hi)<<32 | Session(w.lo) }

// leader returns the leader of the id k, 0 if nobody holds it. The caller holds the id's lock, as for the next four.
func (r *Local) leader(is *idShard, k *ident) uint32 {
	p := is.head(k.hash >> shardBits)
	if p == nil {
		return 0
	}
	for slot := *p; slot != 0; {
		l := r.memory.logins.At(slot)
		if k.text == nil && l.key == k.key || k.text != nil && l.key.hi == k.key.hi && r.memory.isText(l.key.lo, k.text) {
			k.key = l.key
			return slot
		}
		slot = l.link
	}
	return 0
}

// lead makes the login at slot the leader of an id that nobody has held.
func (r *Local) lead(is *idShard, slot, hash uint32) {
	if from, to := is.grow(); from != to {
		// The members of bucket from are divided between the two, which turns their order round.
		rest := *is.place(from)
		*is.place(from) = 0
		for rest != 0 {
			l := r.memory.logins.At(rest)
			p := is.head(r.hashKey(l.key) >> shardBits)
			*p, l.link, rest = rest, *p, l.link
		}
	}
	p := is.head(hash >> shardBits)
	r.memory.logins.At(slot).link = *p
	*p = slot
}

// follow puts the login at slot behind its leader.
func (r *Local) follow(leader, slot uint32) {
	first, l := r.memory.logins.At(leader), r.memory.logins.At(slot)
	l.link, l.peer = leader, first.peer
	if l.peer != 0 {
		r.memory.logins.At(l.peer).link = slot
	}
	first.peer = slot
}

// leave takes the login at slot out of its id's chain. The next follower of a leader takes its place; the last login of
// an id takes the id's text along.
func (r *Local) leave(slot uint32, l *login) {
	h := r.hashKey(l.key)
	is := &r.ids[h%shards]
	is.mu.Lock()
	defer is.mu.Unlock()
	p := is.head(h >> shardBits)
	for *p != 0 && *p != slot {
		p = &r.memory.logins.At(*p).link
	}
	switch {
	case *p == 0: // not a leader
		r.memory.logins.At(l.link).peer = l.peer
		if l.peer != 0 {
			r.memory.logins.At(l.peer).link = l.link
		}
	case l.peer != 0:
		*p = l.peer
		r.memory.logins.At(l.peer).link = l.link
	default:
		*p = l.link
		is.members--
		if l.key.hi&textKey != 0 {
			r.memory.dropText(l.key.lo)
		}
	}
}

// holds tells whether session holds any id, and whether it holds the one of leader. The caller holds both locks.
func (r *Local) holds(ss *sessionShard, h uint32, session word, leader uint32) (known, same bool) {
	p := ss.head(h >> shardBits)
	if p == nil {
		return false, false
	}
	for slot := *p; slot != 0; {
		l := r.memory.logins.At(slot)
		if l.session == session {
			known = true
			if leader != 0 && l.key == r.memory.logins.At(leader).key {
				return true, true
			}
		}
		slot = l.sibling
	}
	return known, false
}

// own puts the login at slot into its session's chain. The caller holds the session's lock.
func (r *Local) own(ss *sessionShard, slot, hash uint32) {
	if from, to := ss.grow(); from != to {
		rest := *ss.place(from)
		*ss.place(from) = 0
		for rest != 0 {
			l := r.memory.logins.At(rest)
			p := ss.head(r.hash(l.session) >> shardBits)
			*p, l.sibling, rest = rest, *p, l.sibling
		}
	}
	p := ss.head(hash >> shardBits)
	r.memory.logins.At(slot).sibling = *p
	*p = slot
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
