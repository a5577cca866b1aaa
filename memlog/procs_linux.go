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
	var pids []int
	err = eachProcess(func(pid int) {
		if p, ok := readProcess(pid); ok {
			table = append(table, p)
			pids = append(pids, pid)
		}
	})
	if err != nil {
		return nil, false, err
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

// eachProcess calls f with the pid of every process.
func eachProcess(f func(pid int)) error {
	err := eachEntry("/proc", func(_ *os.File, name string) bool {
		if pid, err := strconv.Atoi(name); err == nil {
			f(pid)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("memlog: %w", err)
	}
	return nil
}

// readProcess reads one row; a process that ends meanwhile is none.
func readProcess(pid int) (process, bool) {
	st, err := readStat(pid)
	if err != nil || st.ended() {
		return process{}, false
	}
	p := process{pid: pid, ppid: int(st.ppid), start: st.start}
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err == nil && len(b) > 0 {
		p.args = strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
	}
	return p, true
}

// readStat reads one process's /proc/PID/stat.
func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	return parseProcStat(b)
}
