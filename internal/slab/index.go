package slab

import "math/bits"

const (
	headBits = 7
	headLen  = 1 << headBits
	load     = 2 // members per bucket: 2 bytes of index per member
)

// Index is a hash index of chained slots. It grows by linear hashing (W. Litwin, "Linear hashing: a new tool for file and
// table addressing", VLDB 1980): each second member splits one bucket, in a fixed order, so that no insertion pays for
// all and no half-sized table is left behind. It owns the buckets; the chains run through the members' own records. It never shrinks. The
// zero value is empty and takes nothing but itself; like a Slab it has no lock.
type Index struct {
	heads   []*[headLen]Slot // first slots of the chains; chunks never move
	buckets uint32           // heads in use: none, or headLen and more
	members uint32           // slots that are chained
}

// Head returns the place of the first slot of the chain of hash h, nil while nothing was ever added.
func (x *Index) Head(h uint32) *Slot {
	if x.buckets == 0 {
		return nil
	}
	return x.Place(x.Bucket(h))
}

// Place returns the place of the first slot of a bucket's chain, for buckets below Buckets.
func (x *Index) Place(bucket uint32) *Slot { return &x.heads[bucket>>headBits][bucket&(headLen-1)] }

// Buckets is the number of chains. A walk over all of them may be left off and taken up again: members that Grow moves meanwhile go to
// buckets behind all others.
func (x *Index) Buckets() uint32 { return x.buckets }

// Members is the number of slots that are chained.
func (x *Index) Members() uint32 { return x.members }

// Bytes is what the buckets take.
func (x *Index) Bytes() int { return 4 * headLen * len(x.heads) }

// Unchained counts one member off, which the caller has taken out of its chain.
func (x *Index) Unchained() { x.members-- }

// Bucket is the chain of hash h: it takes as many bits of h as the greatest bucket has, and one less where that bucket is not split yet.
func (x *Index) Bucket(h uint32) uint32 {
	mask := uint32(1)<<bits.Len32(x.buckets-1) - 1
	if b := h & mask; b < x.buckets {
		return b
	}
	return h & (mask >> 1)
}

// Grow makes room for one more member, which it counts, and returns the bucket that has to be split for it and the new one, which is
// empty and the place of those members of the first whose hash says so now. It returns equal buckets if none has.
func (x *Index) Grow() (from, to uint32) {
	x.members++
	if x.buckets == 0 {
		x.heads = append(x.heads, new([headLen]Slot))
		x.buckets = headLen
	}
	if x.members <= load*x.buckets {
		return 0, 0
	}
	to = x.buckets
	if to&(headLen-1) == 0 {
		x.heads = append(x.heads, new([headLen]Slot))
	}
	x.buckets++
	return to &^ (1 << (bits.Len32(to) - 1)), to
}
