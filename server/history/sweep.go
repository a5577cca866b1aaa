package history

import "time"

// stretch is how many buckets are looked through with one lock.
const stretch = 64

// Sweep forgets what is older than Config.TTL: messages, and records that nobody has held for so long and that keep none. held tells whether
// anybody is logged in under an id; it is called under the Store's locks and may not call the Store. It is for one goroutine, each time
// that a small part of Config.TTL has passed; now is New's.
func (s *Store) Sweep(now time.Duration, held func(id []byte) bool) {
	var id []byte
	s.walk(func(sh *shard, bucket uint32) { id = s.sweepBucket(sh, bucket, millis(now), held, id) })
}

// Missed gives each id a number for messages that never came here, nobody knows how many of which id, because this node was cut off from
// the others. Who resumes from before it is told a gap there, and who is logged in with the next message (TagTorn).
func (s *Store) Missed() {
	s.walk(func(sh *shard, bucket uint32) {
		for slot := *sh.index.Place(bucket); slot != 0; {
			r := s.memory.record(slot)
			if r.torn != tornNew {
				r.last++
				r.torn = tornNew
				if r.count > 0 {
					s.keep(sh, slot, missing, nil)
				}
			}
			slot = r.link // not before: to keep something may cost a neighbour its record
		}
	})
}

// walk calls f for each bucket, with its shard locked.
func (s *Store) walk(f func(sh *shard, bucket uint32)) {
	for i := range s.shards {
		sh := &s.shards[i]
		for bucket, more := uint32(0), true; more; bucket += stretch {
			sh.mu.Lock()
			end := min(bucket+stretch, sh.index.Buckets())
			for b := bucket; b < end; b++ {
				f(sh, b)
			}
			more = end < sh.index.Buckets()
			sh.unlock()
		}
	}
}

func (s *Store) sweepBucket(sh *shard, bucket, now uint32, held func(id []byte) bool, id []byte) []byte {
	m := &s.memory
	ttl := uint32(s.cfg.TTL.Milliseconds())
	for slot := *sh.index.Place(bucket); slot != 0; {
		r := m.record(slot)
		next := r.link
		s.expire(r, now)
		if r.joined || s.over(r, now, ttl) {
			id = s.appendID(id[:0], r)
			switch {
			case held(id):
				r.seen = now
			case s.over(r, now, ttl):
				s.forget(sh, slot)
			default:
				if r.joined = false; r.count == 0 {
					m.unlist(slot)
					m.list(slot, false) // before those that keep something
				}
			}
		}
		slot = next
	}
	return id
}

// over tells whether a record that nobody holds is to be forgotten. In a node of several, what it keeps goes with it: who is no longer told of
// by the others must not go on numbering as if it were (OnForget).
func (s *Store) over(r *record, now, ttl uint32) bool {
	return now-r.seen >= ttl && (r.count == 0 || s.forgot != nil)
}
