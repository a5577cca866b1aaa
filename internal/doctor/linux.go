package doctor

import (
	"bytes"
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// files is a Linux's /proc and /sys, as a file system whose root is "/". What cannot be read, or does not parse, is nil: a
// container may hide anything. They are read with the file system's own ReadFile: a file below /proc/sys gives all in the first
// read and nothing in a second, and fs.ReadFile, which goes by sizes, begins with a single byte.
type files struct{ fs.FS }

// linux fills s from the files.
func linux(root fs.FS, s *Snapshot) {
	f := files{root}
	const ipv4, core = "proc/sys/net/ipv4/", "proc/sys/net/core/"
	s.OS, s.Kernel = "linux", f.text("proc/sys/kernel/osrelease")
	s.Governor = f.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
	s.NrOpen = f.number("proc/sys/fs/nr_open")
	s.FileMax = f.number("proc/sys/fs/file-max")
	if now := f.numbers("proc/sys/fs/file-nr"); len(now) == 3 {
		s.FilesOpen = new(max(now[0]-now[1], 0))
	}
	s.Ports = f.ports(ipv4)
	s.Somaxconn = f.number(core + "somaxconn")
	s.SynBacklog = f.number(ipv4 + "tcp_max_syn_backlog")
	s.SynCookies = f.number(ipv4 + "tcp_syncookies")
	s.TCPMem, s.TCPRmem, s.TCPWmem = f.three(ipv4+"tcp_mem"), f.three(ipv4+"tcp_rmem"), f.three(ipv4+"tcp_wmem")
	s.TCPPages = f.after("proc/net/sockstat", "TCP:", "mem")
	s.TrackMax = f.number("proc/sys/net/netfilter/nf_conntrack_max")
	s.TrackCount = f.number("proc/sys/net/netfilter/nf_conntrack_count")
	s.Memory, s.Available = kilobytes(f.after("proc/meminfo", "MemTotal:")), kilobytes(f.after("proc/meminfo", "MemAvailable:"))
	s.Threads = f.number("proc/sys/kernel/threads-max")
	s.Pids = f.number("proc/sys/kernel/pid_max")
	s.Tasks = f.tasks()
	s.Watches = f.number("proc/sys/fs/epoll/max_user_watches")
	s.Clock = f.text("sys/devices/system/clocksource/clocksource0/current_clocksource")
	f.groups(s)
}

func (f files) text(name string) string {
	b, err := fs.ReadFile(f.FS, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// plenty stands for every greater number: it is as good as no limit, and a thousand of it can be added up.
const plenty = 1 << 50

// number reads a file of one.
func (f files) number(name string) *int64 { return parseNumber(f.text(name)) }

func parseNumber(text string) *int64 {
	u, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil
	}
	return new(int64(min(u, plenty)))
}

func (f files) numbers(name string) (all []int64) {
	for _, word := range strings.Fields(f.text(name)) {
		n := parseNumber(word)
		if n == nil {
			return nil
		}
		all = append(all, *n)
	}
	return all
}

func (f files) three(name string) *Three {
	if n := f.numbers(name); len(n) == 3 {
		return new(Three(n))
	}
	return nil
}

// after reads the number behind the words, in the line that begins with the first of them.
func (f files) after(name string, words ...string) *int64 {
	for line := range strings.Lines(f.text(name)) {
		rest := strings.Fields(line)
		if len(rest) == 0 || rest[0] != words[0] {
			continue
		}
		for i := 1; i < len(rest); i++ {
			if rest[i-1] == words[len(words)-1] {
				return parseNumber(rest[i])
			}
		}
	}
	return nil
}

func kilobytes(p *int64) *int64 {
	if p == nil {
		return nil
	}
	return new(*p << 10)
}

// ports reads the range, and how many of it are kept for others.
func (f files) ports(ipv4 string) *Ports {
	r := f.numbers(ipv4 + "ip_local_port_range")
	if len(r) != 2 || r[0] < 1 || r[1] < r[0] || r[1] > math.MaxUint16 {
		return nil
	}
	return &Ports{First: r[0], Last: r[1], Reserved: reservedPorts(f.text(ipv4+"ip_local_reserved_ports"), r[0], r[1])}
}

// reservedPorts counts those of a list like 8000,9000-9010 that lie in a range. The kernel writes it sorted and without overlaps.
func reservedPorts(list string, first, last int64) (n int64) {
	for _, part := range strings.Split(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a := parseNumber(from)
		b := a
		if isRange {
			b = parseNumber(to)
		}
		if a != nil && b != nil {
			n += max(min(*b, last)-max(*a, first)+1, 0)
		}
	}
	return n
}

// tasks are those of the whole system: the number behind the slash in /proc/loadavg.
func (f files) tasks() *int64 {
	if fields := strings.Fields(f.text("proc/loadavg")); len(fields) == 5 {
		_, all, _ := strings.Cut(fields[3], "/")
		return parseNumber(all)
	}
	return nil
}

// groups reads the limits of the cgroups that this process is in, in either of the two versions. Each group above it counts: the
// tightest is what is left. A container sees its own group as the root, whatever /proc/self/cgroup calls it.
func (f files) groups(s *Snapshot) {
	text, err := fs.ReadFile(f.FS, "proc/self/cgroup")
	if err != nil {
		return
	}
	for line := range bytes.Lines(text) {
		id, rest, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		for dir := strings.Trim(path, "/"); ; dir = parent(dir) {
			if id == "0" && controllers == "" {
				f.group2(s, "sys/fs/cgroup/"+dir)
			}
			for _, c := range strings.Split(controllers, ",") {
				f.group1(s, c, "sys/fs/cgroup/"+c+"/"+dir)
			}
			if dir == "" {
				break
			}
		}
	}
}

// parent is the path of the group above; empty above the highest.
func parent(dir string) string {
	i := strings.LastIndexByte(dir, '/')
	return dir[:max(i, 0)]
}

// group2 is one group of version 2.
func (f files) group2(s *Snapshot, dir string) {
	dir = strings.TrimSuffix(dir, "/")
	f.groupMemory(s, dir+"/memory.max", dir+"/memory.current")
	least(&s.Pids, f.number(dir+"/pids.max"))
	if quota, period, ok := strings.Cut(f.text(dir+"/cpu.max"), " "); ok {
		groupQuota(s, quota, period)
	}
}

// group1 is one group of version 1, for one controller.
func (f files) group1(s *Snapshot, controller, dir string) {
	dir = strings.TrimSuffix(dir, "/")
	switch controller {
	case "memory":
		f.groupMemory(s, dir+"/memory.limit_in_bytes", dir+"/memory.usage_in_bytes")
	case "pids":
		least(&s.Pids, f.number(dir+"/pids.max"))
	case "cpu":
		groupQuota(s, f.text(dir+"/cpu.cfs_quota_us"), f.text(dir+"/cpu.cfs_period_us"))
	}
}

func (f files) groupMemory(s *Snapshot, limit, used string) {
	if most := f.number(limit); most != nil && *most < plenty { // version 1 says 2^63 where there is no limit
		least(&s.GroupFree, new(max(*most-valueOf(f.number(used)), 0)))
	}
}

func groupQuota(s *Snapshot, quota, period string) {
	q, p := parseNumber(quota), parseNumber(period) // "max" and -1 are none
	if q == nil || p == nil || *p == 0 {
		return
	}
	if cores := float64(*q) / float64(*p); s.Quota == nil || cores < *s.Quota {
		s.Quota = &cores
	}
}

// least keeps the lesser of two limits.
func least(limit **int64, other *int64) {
	if other != nil && (*limit == nil || *other < **limit) {
		*limit = other
	}
}
