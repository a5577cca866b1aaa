package memlog

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Target says which process to log, or which. At most one of its fields is set; the zero
// Target is the running `cometctl serve`.
//
// A pid is one process, with one life. The others describe a process: when it ends, the
// next one that fits the description continues the log. Of several that fit, such as a
// master and its workers, who share a port, it is the one from whom all others descend.
type Target struct {
	PIDs []int          // these processes
	Port int            // whoever listens on this TCP port
	Name *regexp.Regexp // whose command line matches, as with pgrep -f; never a memlog
}

// Errors that say why there is no process to log. The error that holds one of them tells
// what was looked for and lists what was seen.
var (
	ErrNoTarget      = errors.New("no such process")              // returned by Run when nothing fits the Target
	ErrSeveral       = errors.New("more than one process")        // returned by Run when the Target fits several
	ErrTargetEnded   = errors.New("the target has ended")         // returned by Run when a target that was not to be followed ends
	ErrInterrupted   = errors.New("interrupted")                  // returned by Run when its context ends before Duration is over
	ErrTargetMissing = errors.New("the target has not come back") // returned by Run when Duration is over while it waits for a restart
)

// A process is one row of the process table.
type process struct {
	pid, ppid int
	start     int64    // in some unit of the system's; with pid it names the process for good
	args      []string // the command line; none for the kernel's own threads
	ports     []int    // on which it listens, of those that were asked for
}

// anyPort asks for the processes that listen on whatever port.
const anyPort = -1

func (p process) String() string {
	const most = 120
	line := plain(strings.Join(p.args, " "))
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "..."
	}
	return fmt.Sprintf("pid %d (%s)", p.pid, line)
}

// String says in words what t looks for.
func (t Target) String() string {
	switch {
	case len(t.PIDs) > 0:
		return "pid " + numbers(t.PIDs)
	case t.Port != 0:
		return fmt.Sprintf("a process that listens on TCP port %d", t.Port)
	case t.Name != nil:
		return fmt.Sprintf("a process whose command line matches %q", t.Name)
	}
	return "a running `cometctl serve`"
}

// fits reports whether p is what t looks for.
func (t Target) fits(p process) bool {
	switch {
	case len(t.PIDs) > 0:
		return slices.Contains(t.PIDs, p.pid)
	case t.Port != 0:
		return slices.Contains(p.ports, t.Port)
	case t.Name != nil:
		// Another memlog with the same pattern has it on its command line.
		return len(p.args) > 0 && !p.isCometctl("memlog") && t.Name.MatchString(strings.Join(p.args, " "))
	}
	return p.isCometctl("serve")
}

// isCometctl recognises `cometctl COMMAND`, also from a binary with a version in its name.
func (p process) isCometctl(command string) bool {
	if len(p.args) < 2 {
		return false
	}
	base := filepath.Base(strings.ReplaceAll(p.args[0], `\`, "/"))
	return strings.HasPrefix(base, "cometctl") && p.args[1] == command
}

// choose finds the process in the table that t means, or all that its PIDs name. self is the
// caller's pid: a Name does not mean it or its ancestors, the shell and make and ssh whose
// command lines hold the pattern too.
func (t Target) choose(table []process, self int) ([]process, error) {
	kin := ancestry(table, self)
	var fit []process
	for _, p := range table {
		if t.fits(p) && (t.Name == nil || !kin[p.pid]) {
			fit = append(fit, p)
		}
	}
	if len(t.PIDs) > 0 {
		return t.all(fit, len(table))
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("memlog: %w: looked for %s%s", ErrNoTarget, t, t.sawInstead(table, kin))
	}
	if p, ok := head(fit, table); ok {
		return []process{p}, nil
	}
	return nil, fmt.Errorf("memlog: %w fits, choose with --pid: looked for %s and saw%s", ErrSeveral, t, list(fit))
}

// all demands that each of the PIDs is among the processes that were found.
func (t Target) all(found []process, of int) ([]process, error) {
	var missing []int
	for _, pid := range t.PIDs {
		if !slices.ContainsFunc(found, func(p process) bool { return p.pid == pid }) {
			missing = append(missing, pid)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("memlog: %w: looked for pid %s among %d processes", ErrNoTarget, numbers(missing), of)
	}
	return found, nil
}

// head finds the one of the group from whom all others descend.
func head(group, table []process) (process, bool) {
	lines := make([]map[int]bool, len(group))
	for i, p := range group {
		lines[i] = ancestry(table, p.pid)
	}
	for _, p := range group {
		if !slices.ContainsFunc(lines, func(line map[int]bool) bool { return !line[p.pid] }) {
			return p, true
		}
	}
	return process{}, false
}

// ancestry returns pid, its parent, its parent's parent and so on.
func ancestry(table []process, of int) map[int]bool {
	parent := make(map[int]int, len(table))
	for _, p := range table {
		parent[p.pid] = p.ppid
	}
	kin := map[int]bool{}
	for pid := of; pid > 0 && !kin[pid]; pid = parent[pid] {
		kin[pid] = true
	}
	return kin
}

// sawInstead lists the processes that could have been meant, the youngest first.
func (t Target) sawInstead(table []process, kin map[int]bool) string {
	if t.Port != 0 {
		return "" // Run tells who listens where
	}
	var others []process
	for _, p := range table {
		if len(p.args) > 0 && !kin[p.pid] {
			others = append(others, p)
		}
	}
	hint := "; saw"
	if t.Name == nil {
		hint = " (--pid, --port and --name name another program); saw"
	}
	if len(others) == 0 {
		return hint + " no other process"
	}
	slices.SortFunc(others, func(a, b process) int { return b.pid - a.pid })
	return hint + list(others)
}

// listeners says who listens where, the lowest port first.
func listeners(table []process) string {
	var all []process
	for _, p := range table {
		if len(p.ports) > 0 {
			slices.Sort(p.ports)
			p.ports = slices.Compact(p.ports) // IPv4 and IPv6
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return "; nobody is seen to listen on any TCP port"
	}
	slices.SortFunc(all, func(a, b process) int { return cmp.Or(a.ports[0]-b.ports[0], a.pid-b.pid) })
	return "; there are" + listOf(all, func(p process) string {
		return fmt.Sprintf("port %s: %v", numbers(p.ports), p)
	})
}

// numbers writes numbers as people do: "80, 443".
func numbers(ns []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ns)), ", "), "[]")
}

// names writes a few processes on one line.
func names(ps []process) string {
	const most = 5
	var texts []string
	for i, p := range ps {
		if i == most {
			texts = append(texts, fmt.Sprintf("%d more", len(ps)-most))
			break
		}
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}

// list prints processes one a line, ten at most.
func list(ps []process) string { return listOf(ps, process.String) }

func listOf(ps []process, text func(process) string) string {
	const most = 10
	var b strings.Builder
	for i, p := range ps {
		if i == most {
			fmt.Fprintf(&b, "\n  and %d more", len(ps)-most)
			break
		}
		b.WriteString("\n  " + text(p))
	}
	return b.String()
}
