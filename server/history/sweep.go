package history

import "time"

// stretch is how many buckets Sweep looks through with one lock.
const stretch = 64

// Sweep forgets what is older than Config.TTL: messages, and records that nobody has held for so long and that keep none. held tells whether
// anybody is logged in under an id; it is called under the Store's locks and may not call the Store. It is for one goroutine, each time
// that a small part of Config.TTL has passed; now is New's.
func (s *Store) Sweep(now time.Duration, held func(id []byte) bool) {
	var id []byte
	for i := range s.shards {
		sh := &s.shards[i]
		for bucket, more := uint32(0), true; more; bucket += stretch {
			sh.mu.Lock()
			end := min(bucket+stretch, sh.index.Buckets())
			for b := bucket; b < end; b++ {
				id = s.sweepBucket(sh, b, millis(now), held, id)
			}
			more = end < sh.index.Buckets()
			sh.mu.Unlock()
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
