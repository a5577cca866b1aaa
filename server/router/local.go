package router

import (
	"encoding/binary"
	"hash/maphash"
	"sync"

	"cometctl/internal/slab"
)

const (
	shardBits = 5
	shards    = 1 << shardBits
)

// idShard holds the chains of a share of the ids.
type idShard struct {
	mu sync.Mutex
	slab.Index
	more map[word]uint32 // by key: sessions of an id beyond its first; nil unless they are limited
	_    [16]byte        // a cache line each
}

// sessionShard holds the chains of a share of the sessions.
type sessionShard struct {
	mu sync.Mutex
	slab.Index
	sessions int      // sessions with at least one id
	_        [16]byte // a cache line each
}

// Local is the Router of one process. Make it with NewLocal.
//
// Locks are taken in this order, at most one of each kind: session shard, id shard, memory. Login and Logout hold their
// session's lock from beginning to end, hence each happens either wholly before or wholly after another of the same
// session. Send takes the id's lock only, and lets go of it before it delivers.
type Local struct {
	deliver  Deliver
	interest Interest     // nil: nobody asks
	stage    Stage        // nil: messages go straight to their sessions
	most     int          // sessions that an id may have; 0: as many as come
	seed     maphash.Seed // of this router, so that nobody can choose ids that share a chain
	fanouts  sync.Pool    // of *[]Session: room for the sessions of an id that has many
	memory   memory
	ids      [shards]idShard
	sessions [shards]sessionShard
}

var _ Router = (*Local)(nil)

// NewLocal returns an empty Local whose Send hands messages to deliver.
func NewLocal(deliver Deliver) *Local { return &Local{deliver: deliver, seed: maphash.MakeSeed()} }

// NewWatched returns an empty Local like NewLocal's, which tells interest of each id's first Login and last Logout.
func NewWatched(deliver Deliver, interest Interest) *Local {
	r := NewLocal(deliver)
	r.interest = interest
	return r
}

// Through makes all messages pass st. It must be called before the first Send.
func (r *Local) Through(st Stage) { r.stage = st }

// Limit lets each id have so many sessions at most; Login fails with ErrFull for one more. It must be called before the first Login. Only ids
// with more than one session cost memory for it.
func (r *Local) Limit(sessions int) {
	r.most = sessions
	for i := range r.ids {
		r.ids[i].more = map[word]uint32{}
	}
}

// Login implements Router. It allocates once per 512 logins, and it looks through the other ids that s holds: a session may
// well hold hundreds, but not a million.
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
	if r.most > 0 && leader != 0 && int(is.more[k.key])+1 >= r.most {
		return ErrFull
	}
	if leader == 0 && k.text != nil {
		k.key.lo = r.memory.putText(k.text)
	}
	slot, l := r.memory.newLogin()
	l.key, l.session = k.key, session
	if leader != 0 {
		r.follow(leader, slot)
		if is.more != nil {
			is.more[k.key]++
		}
	} else {
		r.lead(is, slot, k.hash)
		if r.interest != nil {
			r.interest(string(id))
		}
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
	for p := ss.Head(h >> shardBits); p != nil && *p != 0; {
		slot := *p
		l := r.memory.logins.At(slot)
		if l.session != session {
			p = &l.sibling
			continue
		}
		found = true
		*p = l.sibling
		ss.Unchained()
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
	if r.stage != nil {
		var ticket uint32
		if msg, tag, ticket = r.stage.Enter(id, msg, tag); ticket != 0 {
			defer r.stage.Leave(ticket)
		}
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

// Holds tells whether any session holds id.
func (r *Local) Holds(id []byte) bool {
	k, err := r.parse(id)
	if err != nil {
		return false
	}
	is := &r.ids[k.hash%shards]
	is.mu.Lock()
	defer is.mu.Unlock()
	return r.leader(is, &k) != 0
}

// Sessions appends sessions that hold id to dst, at most so many, and returns how many hold it in all. As in Send, one may have ended since, and the
// id's lock is held while they are counted.
func (r *Local) Sessions(dst []Session, id []byte, most int) (some []Session, all int, err error) {
	k, err := r.parse(id)
	if err != nil {
		return dst, 0, err
	}
	is := &r.ids[k.hash%shards]
	is.mu.Lock()
	defer is.mu.Unlock()
	for slot := r.leader(is, &k); slot != 0; all++ {
		l := r.memory.logins.At(slot)
		if all < most {
			dst = append(dst, l.session.session())
		}
		slot = l.peer
	}
	return dst, all, nil
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
		st.Logins += int(ss.Members())
		ss.mu.Unlock()
		is.mu.Lock()
		st.IDs += int(is.Members())
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
