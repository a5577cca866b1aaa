package server

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"unsafe"

	"cometctl/internal/netloop"
	"cometctl/server/history"
)

// Page is a server's counters in memory that another process sees as well: who is killed leaves behind what it had counted. The serving
// process writes, by Config.Page; any other may read with the methods below. It holds no pointers. Both processes must run the same program.
type Page struct {
	counts  counts
	max     atomic.Int64 // Config.MaxConns
	taken   atomic.Int64 // calls of Server.Take
	used    atomic.Int32 // of tallies
	loops   [pageLoops]netloop.Meter
	tallies [pageTallies]tally
}

// pageTallies is enough for all accounts of a server without an admin listener: one for each origin, and one for those without.
const pageTallies = 64

// pageLoops is how many loops count each on its own; a worker has one, mostly. Further ones share.
const pageLoops = 8

// PageSize is the number of bytes that a Page takes.
const PageSize = int(unsafe.Sizeof(Page{}))

// NewPage makes mem, at least PageSize bytes that are zero or were a Page before, a Page. The memory must stay where it is.
func NewPage(mem []byte) (*Page, error) {
	if len(mem) < PageSize || uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%8 != 0 {
		return nil, fmt.Errorf("server: a page of counters takes %d bytes, and begins at a multiple of 8; there are %d", PageSize, len(mem))
	}
	return (*Page)(unsafe.Pointer(unsafe.SliceData(mem))), nil
}

// fresh hands out the numbers of one more account. A page that is full hands out such as nobody else sees.
func (p *Page) fresh() *tally {
	n := p.used.Add(1)
	if n > pageTallies {
		p.used.Add(-1)
		return new(tally)
	}
	return &p.tallies[n-1]
}

// Conns is what the connections were counted to be.
func (p *Page) Conns() ConnStats {
	st := p.counts.stats()
	st.Max = p.max.Load()
	return st
}

// Ledger is the sum of all accounts, and what was replayed.
func (p *Page) Ledger() (sum Ledger) {
	sum.Replayed = p.counts.replayed.Load()
	for i := range p.used.Load() {
		sum.Add(p.tallies[i].read())
	}
	return sum
}

// Accounts calls f for each account; owner is the origin whose messages it counts, or empty. The serving process must have ended, and so
// have the ledgers (Ledger.Ended). What was replayed is nobody's.
func (p *Page) Accounts(f func(owner string, l Ledger)) {
	if n := p.counts.replayed.Load(); n > 0 {
		f("", Ledger{Replayed: n})
	}
	for i := range p.used.Load() {
		t := &p.tallies[i]
		f(string(bytes.TrimRight(t.owner[:], "\x00")), t.look().Ended())
	}
}

// History is what the history has counted; what it holds is not among it.
func (p *Page) History() history.Stats { return p.counts.history.Stats() }

// Work is how long things took there.
func (p *Page) Work() Work {
	w := p.counts.times.look()
	for i := range p.loops {
		w.Loop.Add(p.loops[i].Read())
	}
	return w
}

// Room is the number of connections that the server could still take, and the most that it may have; both 0 while it does not serve yet.
func (p *Page) Room() (room, most int) {
	m := p.max.Load()
	return int(m - p.counts.held.Load()), int(m)
}

// Taken is how many connections came by Server.Take.
func (p *Page) Taken() int64 { return p.taken.Load() }

// Cut is the number of connections that did not end in time while the server drained.
func (p *Page) Cut() int64 { return p.counts.cut.Load() }

// Clear makes the page that of a server that has counted nothing yet. Nobody may be counting any more.
func (p *Page) Clear() { clear(unsafe.Slice((*byte)(unsafe.Pointer(p)), PageSize)) }
