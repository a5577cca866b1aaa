package strain

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// take reads what the kernel tells of this process. What cannot be read is left out.
func take() sample {
	s := sample{at: time.Now(), cpu: processTime(), threads: threads()}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
			s.rss = pages * int64(os.Getpagesize())
		}
	}
	if b, err := os.ReadFile("/proc/net/netstat"); err == nil {
		s.kernel = netstat(b)
	}
	return s
}

// threads reads the schedstat of each (Documentation/scheduler/sched-stats.rst: time on a processor, time in the queue for one, both in
// ns, and how often). A thread that has ended meanwhile is none.
func threads() map[int]thread {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	all := make(map[int]thread, len(names))
	for _, name := range names {
		b, err := os.ReadFile("/proc/self/task/" + name + "/schedstat")
		if err != nil {
			continue
		}
		if id, err := strconv.Atoi(name); err == nil {
			if t, ok := parseSchedstat(b); ok {
				all[id] = t
			}
		}
	}
	return all
}

func parseSchedstat(b []byte) (t thread, ok bool) {
	f := bytes.Fields(b)
	if len(f) != 3 {
		return t, false
	}
	run, err := strconv.ParseInt(string(f[0]), 10, 64)
	wait, err2 := strconv.ParseInt(string(f[1]), 10, 64)
	return thread{time.Duration(run), time.Duration(wait)}, err == nil && err2 == nil && run >= 0 && wait >= 0
}
