package findmax

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// busyShare is the share of a trial for which a loop may have run, or waited for a processor, before it counts as the limit.
const busyShare = 0.9

// busy measures how busy a process and its descendants are over a stretch of time. Where the system does not tell (it takes Linux's schedstat), it finds
// nothing.
type busy struct {
	began time.Time
	procs map[int]map[string]spent // by process and thread
}

// spent is time on a processor, and in the queue for one.
type spent struct{ run, wait time.Duration }

func (b *busy) begin(pid int) { b.began, b.procs = time.Now(), processes(pid) }

// end is what the busiest loop has spent since begin, and how long that was. Each process has so many loops; 0 is that nobody knows.
func (b *busy) end(pid, loops int) (most spent, took time.Duration) {
	for id, now := range processes(pid) {
		if s := busiest(b.procs[id], now, loops); s.run+s.wait > most.run+most.wait {
			most = s
		}
	}
	return most, time.Since(b.began)
}

// busiest is what the busiest loop of a process has spent. A loop is a goroutine and may change its thread, so the busiest thread may be too little;
// all threads together, shared out among the loops, may be too much, as others work for them. The greater one counts.
func busiest(before, now map[string]spent, loops int) spent {
	var most spent
	var all time.Duration
	for id, s := range now {
		s = spent{s.run - before[id].run, s.wait - before[id].wait}
		all += s.run
		if s.run+s.wait > most.run+most.wait {
			most = s
		}
	}
	if loops > 0 {
		most.run = max(most.run, all/time.Duration(loops))
	}
	return most
}

// sentence says that who was the limit, if its busiest loop had no time left.
func sentence(who string, most spent, took time.Duration, wayOut string) string {
	if took <= 0 || float64(most.run+most.wait) <= busyShare*float64(took) {
		return ""
	}
	share := func(d time.Duration) float64 { return min(100*float64(d)/float64(took), 100) }
	return fmt.Sprintf("%s had no time left: its busiest loop ran for %.0f %% of the trial and waited for a processor for %.0f %%; %s.", who, share(most.run), share(most.wait), wayOut)
}

// processes reads what the threads of a process and of its descendants have spent so far.
func processes(pid int) map[int]map[string]spent {
	all := map[int]map[string]spent{}
	for left := []int{pid}; len(left) > 0; left = left[1:] {
		all[left[0]] = threads(left[0])
		left = append(left, children(left[0])...)
	}
	return all
}

func threads(pid int) map[string]spent {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	all := make(map[string]spent, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		if s, ok := parseSchedstat(string(text)); ok {
			all[filepath.Base(filepath.Dir(file))] = s
		}
	}
	return all
}

// children are the processes that the threads of a process have started.
func children(pid int) (all []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file) // one that is gone has none
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

// parseSchedstat reads Documentation/scheduler/sched-stats.rst: nanoseconds on a processor, nanoseconds waiting for one, and a number of slices.
func parseSchedstat(text string) (s spent, ok bool) {
	words := strings.Fields(text)
	if len(words) != 3 {
		return s, false
	}
	for i, to := range []*time.Duration{&s.run, &s.wait} {
		n, err := strconv.ParseInt(words[i], 10, 64)
		if err != nil || n < 0 {
			return spent{}, false
		}
		*to = time.Duration(n)
	}
	return s, true
}
