//go:build !linux

package memlog

import (
	"fmt"
	"os"
	"time"

	"github.com/shirou/gopsutil/v3/net"
	gops "github.com/shirou/gopsutil/v3/process"
)

// A probe looks at one process through gopsutil. It has no figures of the kernel's memory,
// and lists the process's connections to count them, which is slow past some ten thousand.
type probe struct {
	p     *gops.Process
	start int64
	notes notes
}

// openProbe returns a probe of p, or errEnded.
func openProbe(p process) (*probe, error) {
	gp, err := gops.NewProcess(int32(p.pid))
	if err != nil {
		return nil, errEnded
	}
	pr := &probe{p: gp, start: p.start}
	pr.notes.add("anon_kb, pss_kb, slab_kb and sockbuf_kb are empty: only Linux tells them")
	if !pr.alive() {
		return nil, errEnded
	}
	return pr, nil
}

func (p *probe) close() {}

// news returns why cells are empty, each reason once.
func (p *probe) news() []string { return p.notes.drain() }

// alive reports whether the process is still there, and not another one with its pid.
func (p *probe) alive() bool {
	gp, err := gops.NewProcess(p.p.Pid)
	if err != nil {
		return false
	}
	start, err := gp.CreateTime()
	return err != nil || start == p.start
}

// sample fills s but for Time and Elapsed. Its error is errEnded; whatever cannot be had
// is NA and a note.
func (p *probe) sample(s *Sample) error {
	s.clear()
	if !p.alive() {
		return errEnded
	}
	if m, err := p.p.MemoryInfo(); err != nil {
		p.empty("rss_kb", err)
	} else {
		s.RSS = int64(m.RSS / 1024)
	}
	if t, err := p.p.Times(); err != nil {
		p.empty("cpu_s", err)
	} else {
		s.CPU = time.Duration((t.User + t.System) * float64(time.Second))
	}
	if n, err := p.p.NumThreads(); err != nil {
		p.empty("threads", err)
	} else {
		s.Threads = int64(n)
	}
	if n, err := p.p.NumFDs(); err != nil {
		p.empty("fds", err)
	} else {
		s.FDs = int64(n)
	}
	if n, err := p.countConns(); err != nil {
		p.empty("conns", err)
	} else {
		s.Conns = n
	}
	return nil
}

func (p *probe) empty(column string, err error) {
	p.notes.add(fmt.Sprintf("%s is empty: %v", column, err))
}

// countConns counts the established connections on the process's own listening ports.
func (p *probe) countConns() (int64, error) {
	conns, err := net.ConnectionsPid("tcp", p.p.Pid)
	if err != nil {
		return NA, err
	}
	ports := map[uint32]bool{}
	for _, c := range conns {
		if c.Status == "LISTEN" {
			ports[c.Laddr.Port] = true
		}
	}
	if len(ports) == 0 {
		return NA, errNoListener
	}
	n := int64(0)
	for _, c := range conns {
		if c.Status == "ESTABLISHED" && ports[c.Laddr.Port] {
			n++
		}
	}
	return n, nil
}

// processes returns the process table. If port is not zero it says of each process whether
// it listens there, or for anyPort where it listens, as far as that can be seen; unseen is true when somebody listens there
// whom we may not look into.
func processes(port int) (table []process, unseen bool, err error) {
	all, err := gops.Processes()
	if err != nil {
		return nil, false, fmt.Errorf("memlog: %w", err)
	}
	on, anybody := map[int][]int{}, false
	if port != 0 {
		conns, err := net.Connections("tcp")
		if err != nil {
			return nil, false, fmt.Errorf("memlog: %w", err)
		}
		for _, c := range conns {
			if c.Status == "LISTEN" && (port == anyPort || int(c.Laddr.Port) == port) {
				anybody = true
				if c.Pid != 0 {
					on[int(c.Pid)] = append(on[int(c.Pid)], int(c.Laddr.Port))
				}
			}
		}
	}
	seen := false
	for _, gp := range all {
		p := process{pid: int(gp.Pid), ports: on[int(gp.Pid)]}
		if p.start, err = gp.CreateTime(); err != nil && p.pid != os.Getpid() {
			continue // ended meanwhile, or not ours to look into
		}
		if ppid, err := gp.Ppid(); err == nil {
			p.ppid = int(ppid)
		}
		if args, err := gp.CmdlineSlice(); err == nil {
			p.args = args
		}
		seen = seen || len(p.ports) > 0
		table = append(table, p)
	}
	return table, anybody && !seen, nil
}
