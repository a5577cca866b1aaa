package flood

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// cut is a burst of connections that were lost, and what became of their targets. Losses belong together that are no more than cutGap apart.
type cut struct {
	id         uint32 // a lane's own; 0 in a sum
	first      int64  // loss, ns since the epoch
	last       int64
	lost       int
	back       int
	comeback   []backs // back, by time
	missed     int64
	recovered  uint64
	duplicated uint64
}

// backs are connections that opened again within one step of time.
type backs struct {
	step int64 // since the epoch, of backStep; of late ones, the last of a longer step
	n    int
}

const (
	cutGap   = int64(time.Second)
	maxCuts  = 16 // that are kept, the largest
	backStep = int64(10 * time.Millisecond)
	peakStep = 10                     // of them, over which the rate of those who come back is told
	peakTime = int64(2 * time.Minute) // from a cut on; who comes later is no herd
	maxSteps = 4096                   // of a cut; who comes later, hours later, is counted at the last
)

// cuts are those of a lane, or of all, in the order of their beginning.
type cuts struct {
	list []cut
	more int    // smaller ones that were forgotten
	next uint32 // id of the newest
}

// lose counts a connection that was lost at the time now, and returns the id of its cut.
func (c *cuts) lose(now int64) uint32 {
	if n := len(c.list); n == 0 || now-c.list[n-1].last > cutGap {
		c.next++
		c.list = append(c.list, cut{id: c.next, first: now})
		c.trim()
	}
	last := &c.list[len(c.list)-1]
	last.last = now
	last.lost++
	return last.id
}

// find returns the cut with an id, nil if it was forgotten.
func (c *cuts) find(id uint32) *cut {
	for i := len(c.list) - 1; i >= 0; i-- {
		if c.list[i].id == id {
			return &c.list[i]
		}
	}
	return nil
}

// trim forgets the smallest cuts where there are too many; the last one may still grow.
func (c *cuts) trim() {
	for len(c.list) > maxCuts {
		least := 0
		for i := range c.list[:len(c.list)-1] {
			if c.list[i].lost < c.list[least].lost {
				least = i
			}
		}
		c.list = slices.Delete(c.list, least, least+1)
		c.more++
	}
}

// opened counts a connection that the cut has lost and that opened again at the time now. Steps are longer for who comes late, so that a cut
// has few of them.
func (c *cut) opened(now int64) {
	c.back++
	step := now / backStep
	switch since := now - c.first; {
	case since > peakTime:
		step += 100*peakStep - 1 - step%(100*peakStep)
	case since > peakTime/6:
		step += peakStep - 1 - step%peakStep
	}
	n := len(c.comeback)
	switch {
	case n > 0 && (c.comeback[n-1].step >= step || n == maxSteps):
		c.comeback[n-1].n++
	default:
		c.comeback = append(c.comeback, backs{step, 1})
	}
}

// add adds the cuts of another lane or process. Those within cutGap of each other are one: they have one reason.
func (c *cuts) add(o *cuts) {
	c.more += o.more
	if len(o.list) == 0 {
		return
	}
	all := slices.Concat(c.list, o.list)
	slices.SortFunc(all, func(a, b cut) int { return int(min(max(a.first-b.first, -1), 1)) })
	c.list = c.list[:0:0]
	for _, next := range all {
		n := len(c.list)
		if n == 0 || next.first-c.list[n-1].last > cutGap {
			next.comeback = slices.Clone(next.comeback)
			c.list = append(c.list, next)
			continue
		}
		c.list[n-1].unite(&next)
	}
	c.trim()
}

func (c *cut) unite(o *cut) {
	c.id = 0
	c.first, c.last = min(c.first, o.first), max(c.last, o.last)
	c.lost, c.back = c.lost+o.lost, c.back+o.back
	c.missed, c.recovered, c.duplicated = c.missed+o.missed, c.recovered+o.recovered, c.duplicated+o.duplicated
	var merged []backs
	a, b := c.comeback, o.comeback
	for len(a)+len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].step < b[0].step:
			merged, a = append(merged, a[0]), a[1:]
		case len(a) == 0 || b[0].step < a[0].step:
			merged, b = append(merged, b[0]), b[1:]
		default:
			merged = append(merged, backs{a[0].step, a[0].n + b[0].n})
			a, b = a[1:], b[1:]
		}
	}
	for n := len(merged); n > maxSteps; n = len(merged) {
		merged[n-2].n += merged[n-1].n
		merged = merged[:n-1]
	}
	c.comeback = merged
}

// Cut is a burst of connections that were lost within a short time, and how they came back.
type Cut struct {
	AtS        float64  `json:"at_s"`           // the first loss, from the beginning of the ramp
	Lost       int      `json:"lost"`           // connections; one that was lost twice counts twice
	LostMs     float64  `json:"lost_within_ms"` // from the first loss to the last
	Back       int      `json:"back"`           // those of them that are open again
	Back50     *float64 `json:"back_50_ms"`     // from the first loss until half of the lost were back, to 10 ms; null: they were not
	Back95     *float64 `json:"back_95_ms"`     //
	Back100    *float64 `json:"back_100_ms"`    //
	Peak       int      `json:"peak_in_100ms"`  // the most that opened again within 100 ms
	Missed     uint64   `json:"missed"`         // messages that none of them received though their successors came on the next connection
	Recovered  uint64   `json:"recovered"`      // messages written before the next connection was open that came on it after all
	Duplicated uint64   `json:"duplicated"`     // messages written before it that came on it a second time
}

// Recovery says what was lost while the run lasted, and how it came back.
type Recovery struct {
	Cuts []Cut `json:"cuts"`           // the largest, in their order
	More int   `json:"more,omitempty"` // smaller ones
}

// gone reports whether most of so many connections were lost at a time: the server was not there, and nobody could write to it either.
func (r *Recovery) gone(asked int) bool {
	if r == nil {
		return false
	}
	for _, c := range r.Cuts {
		if c.Lost*2 >= asked {
			return true
		}
	}
	return false
}

// recovery is nil where nothing was lost.
func (c *cuts) recovery(began int64) *Recovery {
	if len(c.list) == 0 {
		return nil
	}
	r := &Recovery{More: c.more}
	for i := range c.list {
		r.Cuts = append(r.Cuts, c.list[i].result(began))
	}
	return r
}

func (c *cut) result(began int64) Cut {
	r := Cut{AtS: math.Round(float64(c.first-began)/1e6) / 1e3, Lost: c.lost, LostMs: math.Round(float64(c.last-c.first)/1e4) / 100,
		Back: c.back, Missed: uint64(max(c.missed, 0)), Recovered: c.recovered, Duplicated: c.duplicated}
	sum, within, from := 0, 0, 0
	for _, b := range c.comeback {
		sum, within = sum+b.n, within+b.n
		for ; c.comeback[from].step <= b.step-peakStep; from++ {
			within -= c.comeback[from].n
		}
		if b.step*backStep-c.first <= peakTime {
			r.Peak = max(r.Peak, within)
		}
		for _, share := range []struct {
			percent int
			at      **float64
		}{{50, &r.Back50}, {95, &r.Back95}, {100, &r.Back100}} {
			if *share.at == nil && sum*100 >= c.lost*share.percent {
				*share.at = new(math.Round(float64((b.step+1)*backStep-c.first)/1e4) / 100)
			}
		}
	}
	return r
}

// appendTo writes c for a fleet's coordinator; cutsFrom reads it.
func (c *cuts) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.more))
	dst = binary.AppendUvarint(dst, uint64(len(c.list)))
	for _, x := range c.list {
		for _, n := range []int64{x.first, x.last, int64(x.lost), int64(x.back), x.missed, int64(x.recovered), int64(x.duplicated), int64(len(x.comeback))} {
			dst = binary.AppendVarint(dst, n)
		}
		step := int64(0)
		for _, b := range x.comeback {
			dst = binary.AppendUvarint(dst, uint64(b.step-step))
			dst = binary.AppendUvarint(dst, uint64(b.n))
			step = b.step
		}
	}
	return dst
}

// cutsFrom reads what appendTo has written, and refuses what it never writes.
func cutsFrom(b []byte) (c cuts, rest []byte, ok bool) {
	var n int
	if c.more, b, ok = cutUvarint(b, maxNumber); !ok {
		return c, b, false
	}
	if n, b, ok = cutUvarint(b, maxCuts); !ok {
		return c, b, false
	}
	for range n {
		var x cut
		if x, b, ok = cutFrom(b); !ok || len(c.list) > 0 && x.first-c.list[len(c.list)-1].last <= cutGap {
			return c, b, false
		}
		c.list = append(c.list, x)
	}
	return c, b, true
}

func cutFrom(b []byte) (x cut, rest []byte, ok bool) {
	var n [8]int64
	for i := range n {
		v, k := binary.Varint(b)
		if k <= 0 || v > maxNumber && i > 1 || v < 0 && i != 4 || v < -maxNumber {
			return x, b, false
		}
		n[i], b = v, b[k:]
	}
	x = cut{first: n[0], last: n[1], lost: int(n[2]), back: int(n[3]), missed: n[4], recovered: uint64(n[5]), duplicated: uint64(n[6])}
	if x.last < x.first || n[7] > maxSteps {
		return x, b, false
	}
	step := int64(0)
	for i := range n[7] {
		var ahead, count int
		if ahead, b, ok = cutUvarint(b, int(math.MaxInt64/backStep-1-step)); !ok || ahead == 0 && i > 0 {
			return x, b, false
		}
		if count, b, ok = cutUvarint(b, maxNumber/maxSteps); !ok {
			return x, b, false
		}
		step += int64(ahead)
		x.comeback = append(x.comeback, backs{step, count})
	}
	return x, b, true
}
