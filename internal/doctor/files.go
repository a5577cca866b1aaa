package doctor

import (
	"fmt"
	"math"
)

// descriptors of one process.
func descriptors(s Snapshot, n need) (Check, bool) {
	c := Check{Name: "descriptors of a process", State: OK}
	if s.FilesHard == nil {
		c.Has = "no limit is set"
		return c, true
	}
	share := (int64(n.Conns) + int64(n.workers) - 1) / int64(n.workers)
	most := n.each * int64(n.workers)
	if n.Workers == 0 && n.each > 0 {
		c.Has = fmt.Sprintf("%s each (hard limit; the soft one is raised to it)", group(*s.FilesHard))
		c.Needs = processes(n)
		return c, true
	}
	c.Most, c.State = new(most), n.bounded(most)
	c.Has = fmt.Sprintf("%s each (hard limit; the soft one is raised to it)", group(*s.FilesHard))
	c.Needs = group(share + filesEach)
	if c.State == Missing {
		want := share + filesEach
		if s.NrOpen != nil && *s.NrOpen < want {
			c.Fix = append(c.Fix, fmt.Sprintf("sysctl -w fs.nr_open=%d", want))
		}
		c.Fix = append(c.Fix, fmt.Sprintf("ulimit -n %d", want))
		if n.each > 0 {
			c.Else = fmt.Sprintf("give --workers %d, or auto, so that no process needs more", n.enough())
		}
	}
	return c, true
}

// processes says how many there are.
func processes(n need) string {
	what := map[bool]string{true: "serve", false: "flood"}[n.Server]
	if n.ends == 2 {
		what = "serve and of flood each"
	}
	if n.workers == 1 {
		return "1 process of " + what
	}
	return fmt.Sprintf("%s processes of %s (--workers auto)", group(int64(n.workers)), what)
}

// allFiles of the machine. Both ends count, and each process has some besides.
func allFiles(s Snapshot, n need) (Check, bool) {
	const name = "descriptors of the machine"
	if s.FileMax == nil {
		return untoldOnLinux(s, name)
	}
	if *s.FileMax >= plenty {
		return Check{Name: name, State: OK, Has: "no limit is set (fs.file-max)"}, true
	}
	open := valueOf(s.FilesOpen)
	besides := open + n.processes()*filesEach
	most := max(*s.FileMax-besides, 0) / n.ends
	need := int64(n.Conns)*n.ends + besides
	c := Check{Name: name, State: n.bounded(most), Most: new(most),
		Has: fmt.Sprintf("%s (fs.file-max), %s open", group(*s.FileMax), group(open)), Needs: group(need)}
	if c.State == Missing {
		c.Fix = []string{fmt.Sprintf("sysctl -w fs.file-max=%d", roundUp(need))}
	}
	return c, true
}

// ports, of every source to every target. The server's end takes none.
func ports(s Snapshot, n need) (Check, bool) {
	const name = "ports"
	switch {
	case !n.Client:
		return Check{}, false
	case s.Ports == nil:
		return untold(name)
	}
	each := s.Ports.Free()
	most := times(times(each, n.sources), int64(n.Targets))
	c := Check{Name: name, State: n.bounded(most), Most: new(most),
		Needs: group(int64(n.Conns)), Has: fmt.Sprintf("%s (%d to %d%s) for each of %s and each of %s", group(each), s.Ports.First, s.Ports.Last, reserved(s.Ports.Reserved),
			count(n.sources, "source address", "source addresses"), count(int64(n.Targets), "target", "targets"))}
	if c.State != Missing {
		return c, true
	}
	const widest = 65535 - 10240 + 1
	if s.OS == "linux" && widest*n.sources*int64(n.Targets) >= int64(n.Conns) && each < widest {
		c.Fix = []string{`sysctl -w net.ipv4.ip_local_port_range="10240 65535"`}
	}
	if each > 0 {
		per := each * int64(n.Targets)
		c.Else = fmt.Sprintf("give --source %s addresses of this machine, with commas between them", group((int64(n.Conns)+per-1)/per))
	}
	return c, true
}

func reserved(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %s reserved", group(n))
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return group(n) + " " + many
}

// times multiplies what may be very many.
func times(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/a {
		return math.MaxInt64
	}
	return a * b
}

// roundUp makes a number that is to be typed a little larger and easier to read.
func roundUp(n int64) int64 {
	step := int64(1)
	for step*100 < n {
		step *= 10
	}
	return (n + step - 1) / step * step
}

// valueOf is a reading that may be left out.
func valueOf(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

// untoldOnLinux is untold for a limit that only Linux has.
func untoldOnLinux(s Snapshot, name string) (Check, bool) {
	if s.OS != "linux" {
		return Check{}, false
	}
	return untold(name)
}
