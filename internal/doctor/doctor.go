// Package doctor says what a machine can hold before anything is opened, and what is missing for a number that is asked for.
//
// Two halves that do not know each other:
//
//   - Read takes a Snapshot: what this system tells of its limits. On Linux that is files below /proc and /sys (linux.go, and
//     group.go for cgroups), elsewhere a few calls of the system. What it does not tell is nil, never a zero.
//   - Examine judges a Snapshot for what is asked (Ask): one Check for each limit, with the number of connections at which it
//     would be met, and the commands that raise it. It is a pure function, so that machines which nobody here has can be tried in tests.
//
// What a connection costs are figures of our own, measured and written down in docs/limits.md (need.go). Nothing here opens,
// changes or prints anything, and the package holds no state: any goroutine may call it.
package doctor

import (
	"fmt"
	"math"
)

// Snapshot is what a machine tells of its limits in one moment. What it does not tell, or does not have, is nil.
type Snapshot struct {
	OS         string `json:"os"`
	Kernel     string `json:"kernel"`
	Processors int    `json:"processors"` // that this process may use

	Quota    *float64 `json:"quota_processors"` // of them that its group may use at a time (cgroup)
	Governor string   `json:"governor"`         // of their frequency; empty: none is seen, as on virtual machines

	FilesHard *int64 `json:"files_hard"` // descriptors of a process, which raises its soft limit to it by itself; nil: no limit
	NrOpen    *int64 `json:"nr_open"`    // what root may raise that to (fs.nr_open)
	FileMax   *int64 `json:"file_max"`   // files of the whole machine (fs.file-max)
	FilesOpen *int64 `json:"files_open"` // that are open on it

	Ports *Ports `json:"ports"` // ephemeral ones

	Somaxconn  *int64 `json:"somaxconn"`       // the longest accept queue
	SynBacklog *int64 `json:"syn_backlog"`     // tcp_max_syn_backlog
	SynCookies *int64 `json:"syn_cookies"`     // 0: none
	Page       int64  `json:"page_bytes"`      // of memory
	TCPMem     *Three `json:"tcp_mem"`         // pages for all TCP buffers: low, pressure, high
	TCPPages   *int64 `json:"tcp_mem_in_use"`  // of them
	TCPRmem    *Three `json:"tcp_rmem"`        // bytes of one socket's receive buffer: least, default, most
	TCPWmem    *Three `json:"tcp_wmem"`        // and of its send buffer
	TrackMax   *int64 `json:"conntrack_max"`   // nil: the module is not there
	TrackCount *int64 `json:"conntrack_count"` // connections that are tracked

	Memory    *int64 `json:"memory_bytes"`           // of the machine
	Available *int64 `json:"memory_available_bytes"` // without swapping
	GroupFree *int64 `json:"group_memory_bytes"`     // what the limits of its groups leave this process (cgroup)

	Threads *int64 `json:"threads_max"` // of the machine
	Pids    *int64 `json:"pids_max"`    // tasks that the process's groups may have (cgroup), or kernel.pid_max if that is less
	Tasks   *int64 `json:"tasks"`       // there are now
	Watches *int64 `json:"epoll_max_user_watches"`

	Clock        string   `json:"clock_source"`
	Synchronized *bool    `json:"clock_synchronized"` // by the kernel's own word (adjtimex)
	ClockErrorMS *float64 `json:"clock_error_ms"`     // at most, by the same
}

// Ports are the ephemeral ports of a source address.
type Ports struct {
	First    int64 `json:"first"`
	Last     int64 `json:"last"`
	Reserved int64 `json:"reserved"` // of them, for others (ip_local_reserved_ports)
}

// Free is how many connections of one address to one target they allow.
func (p Ports) Free() int64 { return max(p.Last-p.First+1-p.Reserved, 0) }

// Three are the three numbers of a setting such as tcp_mem.
type Three [3]int64

// Ask is what the machine is to hold. Conns is all that is needed.
type Ask struct {
	Conns   int     `json:"conns"`
	Rate    float64 `json:"rate"`    // messages a second, all connections together
	Workers int     `json:"workers"` // processes of each side; 0: as many as descriptors ask for

	// Server and Client say which ends of the connections are on this machine.
	Server bool `json:"server"`
	Client bool `json:"client"`

	Targets int   `json:"targets"` // different addresses and ports that the client connects to; 0 is 1
	Sources int64 `json:"sources"` // addresses that it connects from; 0: one, or all of 127.0.0.0/8 where Loopback says so and the system has it
	// Loopback says that the targets are loopback addresses of IPv4.
	Loopback bool `json:"loopback"`
}

// State is what a check has found.
type State string

// The states, from good to bad.
const (
	OK      State = "ok"
	Advice  State = "advice"  // it will do; something would be better
	Unknown State = "unknown" // the system does not tell
	Missing State = "missing" // what is asked for cannot be
)

// Check is one limit of the machine beside what is asked.
type Check struct {
	Name  string   `json:"name"`
	State State    `json:"state"`
	Has   string   `json:"has"`               // what there is
	Needs string   `json:"needs,omitempty"`   // what it takes
	Most  *int64   `json:"most_conns"`        // connections that this limit alone allows, as far as one can tell; nil: any number
	Fix   []string `json:"fix,omitempty"`     // commands, in this order, that make it enough, as root
	Else  string   `json:"instead,omitempty"` // what may be done instead, by anybody
}

// Report is what Examine has found.
type Report struct {
	Asked   Ask     `json:"asked"`
	Workers int     `json:"workers"`       // processes of each side that it was computed for
	Need    int64   `json:"need_bytes"`    // of memory, in all
	Checks  []Check `json:"checks"`        //
	Most    int64   `json:"most_conns"`    // connections that all limits allow together, with so many workers (or, with Ask.Workers 0, with any)
	MostBy  string  `json:"most_conns_by"` // the check that says so
	Missing int     `json:"missing"`       // checks of that state
}

// Examine judges what a machine that is like s can hold of what is asked.
func Examine(s Snapshot, a Ask) Report {
	a.Targets = max(a.Targets, 1)
	if !a.Server && !a.Client {
		a.Server, a.Client = true, true
	}
	n := needOf(s, a)
	r := Report{Asked: a, Workers: n.workers, Need: n.bytes(), Most: math.MaxInt64}
	for _, check := range []func(Snapshot, need) (Check, bool){
		descriptors, allFiles, ports, acceptQueue, synQueue, tcpMemory, buffers, tracking,
		memory, tasks, watches, processors, clock,
	} {
		c, applies := check(s, n)
		if !applies {
			continue
		}
		r.Checks = append(r.Checks, c)
		if c.State == Missing {
			r.Missing++
		}
		if c.Most != nil && *c.Most < r.Most {
			r.Most, r.MostBy = *c.Most, c.Name
		}
	}
	return r
}

// bounded is the state of a limit that allows most connections.
func (n need) bounded(most int64) State {
	if most < int64(n.Conns) {
		return Missing
	}
	return OK
}

// untold is the check of a limit that the system does not tell.
func untold(name string) (Check, bool) {
	return Check{Name: name, State: Unknown, Has: "this system does not tell"}, true
}

// group writes 1234567 as 1,234,567.
func group(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 10<<10:
		return group(n) + " B"
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
