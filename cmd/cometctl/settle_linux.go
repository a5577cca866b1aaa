package main

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// settleMemory makes the resident size of a long-lived process what its work needs, not what starting it needed: the
// garbage of package initialisation is collected and given back, and so are the pages of the program file that were only
// read to initialise (fonts for plot, tables of commands not run). Those are clean: what is needed again is read again,
// from the page cache. Errors are of no consequence, there is nothing to lose but a smaller number.
func settleMemory() {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var at, end uintptr // the mapping that the lines are about; empty unless it is a read-only part of a file
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"): // address perms offset dev inode path
			at, end = 0, 0
			if from, to, _ := strings.Cut(fields[0], "-"); fields[1][1] == '-' && fields[1][3] == 'p' && fields[4] != "0" {
				a, _ := strconv.ParseUint(from, 16, 64)
				e, _ := strconv.ParseUint(to, 16, 64)
				at, end = uintptr(a), uintptr(e)
			}
		case fields[0] == "Anonymous:" && fields[1] == "0" && at < end:
			// A page that was written before it became read-only (relocations) is anonymous, and would be lost; none is here.
			syscall.RawSyscall(syscall.SYS_MADVISE, at, end-at, syscall.MADV_DONTNEED)
		}
	}
	runtime.GC() // brings back what the collector itself needs, so that its first run is no step in a memory graph
}
