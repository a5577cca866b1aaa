package memlog

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// processes returns the process table. If port is not zero it says of each process whether
// it listens there, or for anyPort where it listens, as far as that can be seen; unseen is true when somebody listens there
// whom we may not look into.
func processes(port int) (table []process, unseen bool, err error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, false, fmt.Errorf("memlog: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, false, fmt.Errorf("memlog: %w", err)
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			table = append(table, p)
			pids = append(pids, pid)
		}
	}
	if port == 0 {
		return table, false, nil
	}
	on, anybody, err := listening(pids, port)
	if err != nil {
		return nil, false, err
	}
	for i := range table {
		table[i].ports = on[table[i].pid]
	}
	return table, anybody && len(on) == 0, nil
}

// readProcess reads one row; a process that ends meanwhile is none.
func readProcess(pid int) (process, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return process{}, false
	}
	st, err := parseProcStat(b)
	if err != nil || st.ended() {
		return process{}, false
	}
	p := process{pid: pid, ppid: int(st.ppid), start: st.start}
	if b, err = os.ReadFile(dir + "/cmdline"); err == nil && len(b) > 0 {
		p.args = strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
	}
	return p, true
}
