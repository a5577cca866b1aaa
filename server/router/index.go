package router

import "math/bits"

const (
	headBits = 7
	headLen  = 1 << headBits
	load     = 2 // members per bucket: 2 bytes of index per member
)

// index is a hash index of chained slots. It grows by linear hashing (W. Litwin, "Linear hashing: a new tool for file and
// table addressing", VLDB 1980): each second member splits one bucket, in a fixed order, so that no insertion pays for
// all and no half-sized table is left behind. It owns the buckets; the chains run through the members' own records.
type index struct {
	heads   []*[headLen]uint32 // first slots of the chains; chunks never move
	buckets uint32             // heads in use: none, or headLen and more
	members uint32             // slots that are chained: grow counts one more, who unchains one counts it off
}

// head returns the place of the first slot of the chain of hash h, nil while nothing was ever added.
func (x *index) head(h uint32) *uint32 {
	if x.buckets == 0 {
		return nil
	}
	return x.place(x.bucket(h))
}

func (x *index) place(bucket uint32) *uint32 { return &x.heads[bucket>>headBits][bucket&(headLen-1)] }

// bucket takes as many bits of h as the greatest bucket has, and one less where that bucket is not split yet.
func (x *index) bucket(h uint32) uint32 {
	mask := uint32(1)<<bits.Len32(x.buckets-1) - 1
	if b := h & mask; b < x.buckets {
		return b
	}
	return h & (mask >> 1)
}

// grow makes room for one more member, and returns the bucket that has to be split for it and the new one, which is
// empty and the place of those members of the first whose hash says so now. It returns equal buckets if none has.
func (x *index) grow() (from, to uint32) {
	x.members++
	if x.buckets == 0 {
		x.heads = append(x.heads, new([headLen]uint32))
		x.buckets = headLen
	}
	if x.members <= load*x.buckets {
		return 0, 0
	}
	to = x.buckets
	if to&(headLen-1) == 0 {
		x.heads = append(x.heads, new([headLen]uint32))
	}
	x.buckets++
	return to &^ (1 << (bits.Len32(to) - 1)), to
}
