package router

// leader returns the leader of the id k, 0 if nobody holds it. The caller holds the id's lock, for lead
// and follow too.
func (r *Local) leader(is *idShard, k *ident) uint32 {
	p := is.Head(k.hash >> shardBits)
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
	if from, to := is.Grow(); from != to {
		// The members of bucket from are divided between the two, which turns their order round.
		rest := *is.Place(from)
		*is.Place(from) = 0
		for rest != 0 {
			l := r.memory.logins.At(rest)
			p := is.Head(r.hashKey(l.key) >> shardBits)
			*p, l.link, rest = rest, *p, l.link
		}
	}
	p := is.Head(hash >> shardBits)
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
	switch n := is.more[l.key]; {
	case n > 1:
		is.more[l.key] = n - 1
	case n > 0:
		delete(is.more, l.key)
	}
	p := is.Head(h >> shardBits)
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
		is.Unchained()
		if r.interest != nil {
			r.interest(r.memory.id(l.key))
		}
		if l.key.hi&textKey != 0 {
			r.memory.dropText(l.key.lo)
		}
	}
}

// holds tells whether session holds any id, and whether it holds the one of leader. The caller holds both locks.
func (r *Local) holds(ss *sessionShard, h uint32, session word, leader uint32) (known, same bool) {
	p := ss.Head(h >> shardBits)
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
	if from, to := ss.Grow(); from != to {
		rest := *ss.Place(from)
		*ss.Place(from) = 0
		for rest != 0 {
			l := r.memory.logins.At(rest)
			p := ss.Head(r.hash(l.session) >> shardBits)
			*p, l.sibling, rest = rest, *p, l.sibling
		}
	}
	p := ss.Head(hash >> shardBits)
	r.memory.logins.At(slot).sibling = *p
	*p = slot
}
