package flood

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
)

// perOrigin is how many connections use one source address before the next one's turn comes. The system has 28,232
// ports for each by default, and looks for a free one in a time that grows with those that are taken.
const perOrigin = 1000

// origins chooses source addresses. The zero value leaves the choice to the system.
type origins struct {
	v4, v6 []netip.Prefix
	start  uint64 // of the rotation through 127.0.0.0/8
}

// loopback4 is all of it this host on Linux; elsewhere only 127.0.0.1 is.
var loopback4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)

// ParseSources reads the value of --source: addresses and prefixes with commas between them.
func ParseSources(s string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, f := range strings.Split(s, ",") {
		f = strings.TrimSpace(f)
		p, err := netip.ParsePrefix(f)
		if addr, addrErr := netip.ParseAddr(f); addrErr == nil && addr.Zone() == "" {
			p, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no source; give addresses or prefixes like 127.0.0.0/8, with commas between them", f)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// newOrigins checks that each source is this machine's and that each target has a source of its family. Without sources,
// IPv4 loopback targets rotate through 127.0.0.0/8 from start on.
func newOrigins(sources []netip.Prefix, t *Targets, start uint64) (origins, error) {
	o := origins{start: start}
	for _, p := range sources {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(nth(p, 0), 0)))
		if err != nil {
			var system *os.SyscallError
			if errors.As(err, &system) {
				err = system.Err // how it was tried helps nobody
			}
			return o, fmt.Errorf("flood: the source %s is no address of this machine (%w); name one that it has, or leave out --source", nth(p, 0), err)
		}
		c.Close()
		if p.Addr().Is4() {
			o.v4 = append(o.v4, p)
		} else {
			o.v6 = append(o.v6, p)
		}
	}
	if len(sources) == 0 {
		return o, nil
	}
	for _, h := range t.hosts {
		if len(o.of(h.addr.Addr())) == 0 {
			return o, fmt.Errorf("flood: the target %s has another address family than every source; add a source for it", h.addr)
		}
	}
	return o, nil
}

func (o *origins) of(to netip.Addr) []netip.Prefix {
	if to.Is4() {
		return o.v4
	}
	return o.v6
}

// from is the source of connection n to the address to: one address for perOrigin connections, then the next. Port 0
// leaves the port to the system. It is invalid where the system chooses the address too.
func (o *origins) from(n int, to netip.Addr) netip.AddrPort {
	k := uint64(n / perOrigin)
	list := o.of(to)
	if len(list) == 0 {
		if len(o.v4)+len(o.v6) > 0 || !to.Is4() || !to.IsLoopback() || runtime.GOOS != "linux" {
			return netip.AddrPort{}
		}
		return netip.AddrPortFrom(nth(loopback4, o.start+k), 0)
	}
	return netip.AddrPortFrom(nth(list[k%uint64(len(list))], k/uint64(len(list))), 0)
}

// nth is host k of a prefix, from the beginning again after the last. IPv4's first and last address of a network are no
// hosts and are left out (RFC 3021: but for a prefix of 31 bits).
func nth(p netip.Prefix, k uint64) netip.Addr {
	if p.Addr().Is4() {
		free := uint(32 - p.Bits())
		hosts, first := uint64(1)<<free, uint64(0)
		if free > 1 {
			hosts, first = hosts-2, 1
		}
		b := p.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(first+k%hosts))
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	if free := uint(128 - p.Bits()); free < 64 {
		k %= 1 << free
	}
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+k)
	return netip.AddrFrom16(b)
}
