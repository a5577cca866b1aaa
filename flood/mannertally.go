package flood

import (
	"encoding/binary"
	"maps"
	"slices"
)

// badTally is what was counted of those who have one manner. The zero badTally is nobody.
type badTally struct {
	asked, open, made int
	failed, closed    map[cause]int // nil: none
	bytes, messages   uint64
}

func (b *badTally) add(o *badTally) {
	b.asked, b.open, b.made = b.asked+o.asked, b.open+o.open, b.made+o.made
	b.bytes, b.messages = b.bytes+o.bytes, b.messages+o.messages
	addCauses(&b.failed, o.failed)
	addCauses(&b.closed, o.closed)
}

func addCauses(to *map[cause]int, from map[cause]int) {
	if *to == nil && len(from) > 0 {
		*to = map[cause]int{}
	}
	for c, n := range from {
		(*to)[c] += n
	}
}

// bads are those of all manners, from Slow on.
type bads [manners - 1]badTally

func (b *bads) asked() (n int) {
	for i := range b {
		n += b[i].asked
	}
	return n
}

func (b *bads) add(o *bads) {
	for i := range b {
		b[i].add(&o[i])
	}
}

// lose says that the process which held them is no more.
func (b *bads) lose(why cause) {
	for i := range b {
		if t := &b[i]; t.open > 0 {
			addCauses(&t.closed, map[cause]int{why: t.open})
			t.open = 0
		}
	}
}

// Misbehaved is what became of the connections of one manner. Nothing of it is in the rest of the result.
type Misbehaved struct {
	Asked    int            `json:"asked"` // connections: each comes back when it has ended
	Open     int            `json:"open"`  // at the end
	Opened   int            `json:"opened"`
	Failed   int            `json:"failed"` // those that could not be opened
	FailedBy map[string]int `json:"failed_by"`
	Closed   int            `json:"closed"` // those that were open and ended, by the server or, where they abort, by flood
	ClosedBy map[string]int `json:"closed_by"`
	Bytes    uint64         `json:"bytes"`    // received
	Messages uint64         `json:"messages"` // received, each counted once
}

// results are the Misbehaved by name of their manner; nil where nobody was asked to misbehave.
func (b *bads) results() map[string]Misbehaved {
	var all map[string]Misbehaved
	for i := range b {
		t := &b[i]
		if t.asked == 0 {
			continue
		}
		if all == nil {
			all = map[string]Misbehaved{}
		}
		m := Misbehaved{Asked: t.asked, Open: t.open, Opened: t.made, Bytes: t.bytes, Messages: t.messages}
		m.Failed, m.FailedBy = byWord(t.failed)
		m.Closed, m.ClosedBy = byWord(t.closed)
		all[Manner(i+1).String()] = m
	}
	return all
}

// appendTo writes b for a fleet's coordinator; badsFrom reads it.
func (b *bads) appendTo(dst []byte) []byte {
	for i := range b {
		t := &b[i]
		for _, n := range []uint64{uint64(t.asked), uint64(t.open), uint64(t.made), t.bytes, t.messages} {
			dst = binary.AppendUvarint(dst, n)
		}
		dst = appendCauses(appendCauses(dst, t.failed), t.closed)
	}
	return dst
}

// appendCauses writes causes and their counts; causesFrom reads them.
func appendCauses(dst []byte, by map[cause]int) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(by)))
	for _, c := range slices.Sorted(maps.Keys(by)) {
		dst = append(binary.AppendUvarint(dst, uint64(len(c))), c...)
		dst = binary.AppendUvarint(dst, uint64(by[c]))
	}
	return dst
}

func badsFrom(b []byte) (all bads, rest []byte, ok bool) {
	for i := range all {
		var n [5]int
		for k := range n {
			if n[k], b, ok = cutUvarint(b, maxNumber); !ok {
				return all, b, false
			}
		}
		t := badTally{asked: n[0], open: n[1], made: n[2], bytes: uint64(n[3]), messages: uint64(n[4])}
		for _, by := range []*map[cause]int{&t.failed, &t.closed} {
			read := map[cause]int{}
			if b, ok = causesFrom(b, read); !ok {
				return all, b, false
			}
			addCauses(by, read)
		}
		all[i] = t
	}
	return all, b, true
}
