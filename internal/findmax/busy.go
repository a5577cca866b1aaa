package findmax

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// busyShare is the share of a trial for which a thread of the receiver may have run, or waited for a processor, before it counts as the limit.
const busyShare = 0.9

// busy measures the busiest thread of a process over a stretch of time. Where the system does not tell (it takes Linux's schedstat), it finds nothing.
type busy struct {
	began   time.Time
	threads map[string]spent
}

// spent is what a thread has had: time on a processor, and time in the queue for one.
type spent struct{ run, wait time.Duration }

func (b *busy) begin(pid int) { b.began, b.threads = time.Now(), threads(pid) }

// end is a sentence about the busiest thread since begin, if it had no time left.
func (b *busy) end(pid int) string {
	var most spent
	for id, now := range threads(pid) {
		before := b.threads[id]
		now = spent{now.run - before.run, now.wait - before.wait}
		if now.run+now.wait > most.run+most.wait {
			most = now
		}
	}
	return sentence(most, time.Since(b.began))
}

func sentence(most spent, took time.Duration) string {
	if took <= 0 || float64(most.run+most.wait) <= busyShare*float64(took) {
		return ""
	}
	share := func(d time.Duration) float64 { return 100 * float64(d) / float64(took) }
	return fmt.Sprintf("The receiver was the limit: its busiest thread ran for %.0f %% of the time and waited for a processor for %.0f %%; give it --loops or --workers, or a machine of its own.",
		share(most.run), share(most.wait))
}

// threads reads what the threads of a process have had so far.
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
