//go:build !linux

package memlog

import "github.com/shirou/gopsutil/v3/net"

// A machine is what a sample takes from the system as a whole. Here that is the connections, which are
// listed to be counted, which is slow past some ten thousand; it has no figures of the kernel's memory.
type machine struct{}

func openMachine() machine { return machine{} }
func (machine) close()     {}

// sample fills s.Conns, or says why it cannot.
func (machine) sample(s *Sample, members []*member, notes *notes) {
	notes.add("anon_kb, pss_kb, slab_kb and sockbuf_kb are empty: only Linux tells them")
	var err error
	if s.Conns, err = countConns(members); err != nil {
		notes.empty("conns", err)
	}
}

// countConns counts the established connections on the members' listening ports. Processes may
// share a connection; it counts once.
func countConns(members []*member) (int64, error) {
	ports := map[uint32]bool{}
	type connection struct{ local, remote net.Addr }
	established := map[connection]bool{}
	for _, m := range members {
		conns, err := net.ConnectionsPid("tcp", int32(m.pid))
		if err != nil {
			return NA, err
		}
		for _, c := range conns {
			switch c.Status {
			case "LISTEN":
				ports[c.Laddr.Port] = true
			case "ESTABLISHED":
				established[connection{c.Laddr, c.Raddr}] = true
			}
		}
	}
	if len(ports) == 0 {
		return NA, errNoListener
	}
	n := int64(0)
	for c := range established {
		if ports[c.local.Port] {
			n++
		}
	}
	return n, nil
}
