package server

import (
	"bytes"
	"os"
	"strconv"
)

// residentMemory is the process's resident memory in bytes, from the second number of /proc/self/statm (pages); 0 if that
// cannot be read.
func residentMemory() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 63)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// openDescriptors is the number of descriptors that the process has open; 0 if /proc cannot be read. Since Linux 6.2 it is the
// directory's size; before, every entry has to be read, which takes a while when there are very many.
func openDescriptors() int {
	const dir = "/proc/self/fd"
	if info, err := os.Stat(dir); err == nil && info.Size() > 0 {
		return int(info.Size())
	}
	return countFiles(dir)
}

func countFiles(dir string) int {
	d, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return len(names) - 1 // without d
}
