//go:build !linux

package memlog

import (
	"fmt"
	"os"

	"github.com/shirou/gopsutil/v3/net"
	gops "github.com/shirou/gopsutil/v3/process"
)

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
		p, ok := describe(gp)
		if !ok {
			continue
		}
		p.ports = on[p.pid]
		seen = seen || len(p.ports) > 0
		table = append(table, p)
	}
	return table, anybody && !seen, nil
}

// readProcess reads one row; a process that ends meanwhile is none.
func readProcess(pid int) (process, bool) {
	gp, err := gops.NewProcess(int32(pid))
	if err != nil {
		return process{}, false
	}
	return describe(gp)
}

// describe reads what the table says of a process. It is false if that has ended, or is not ours to
// look into.
func describe(gp *gops.Process) (p process, ok bool) {
	p.pid = int(gp.Pid)
	var err error
	if p.start, err = gp.CreateTime(); err != nil && p.pid != os.Getpid() {
		return p, false
	}
	if ppid, err := gp.Ppid(); err == nil {
		p.ppid = int(ppid)
	}
	if args, err := gp.CmdlineSlice(); err == nil {
		p.args = args
	}
	return p, true
}
