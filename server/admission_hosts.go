package server

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"cometctl/internal/netloop"
)

// host is where connections come from: an IPv4 address, or the first 64 bits of an IPv6 address, the least that one customer gets.
// It is never 0. IPv4 lies in ::/8, which is nobody's.
type host uint64

func hostAt(a netip.Addr) host {
	if a.Is4() || a.Is4In6() {
		v4 := a.As4()
		return 0xffff<<32 | host(binary.BigEndian.Uint32(v4[:]))
	}
	v6 := a.As16()
	return max(1, host(binary.BigEndian.Uint64(v6[:8]))) // ::1 among them
}

// hosts counts connections by where they come from. Any goroutine may use it.
type hosts struct {
	most int
	mu   sync.Mutex
	by   map[host]int
}

func newHosts(most int) *hosts { return &hosts{most: most, by: map[host]int{}} }

func (h *hosts) enter(from host) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by[from] >= h.most {
		return false
	}
	h.by[from]++
	return true
}

func (h *hosts) leave(from host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by[from]--; h.by[from] == 0 {
		delete(h.by, from)
	}
}

// enterHost counts a connection for its address, where that is asked for. The address is kept, because who has reset has none any more.
func (f *front) enterHost(l netloop.Loop, c netloop.Conn) bool {
	if f.s.hosts == nil {
		return true
	}
	peer := l.Peer(c)
	if !peer.IsValid() { // it has gone already
		return true
	}
	from := hostAt(peer.Addr())
	if !f.s.hosts.enter(from) {
		return false
	}
	*f.loop(l).from.Reach(c.Slot()) = from
	return true
}

func (f *front) leaveHost(fl *frontLoop, c netloop.Conn) {
	if f.s.hosts == nil {
		return
	}
	if from := fl.from.Reach(c.Slot()); *from != 0 {
		f.s.hosts.leave(*from)
		*from = 0
	}
}
