package msggen

import (
	"runtime"
	"syscall"
	"time"
)

const prSetTimerSlack = 29 // PR_SET_TIMERSLACK of linux/prctl.h: how late this thread may wake, in ns; 50,000 by default

// preciseSleep ties the calling goroutine to its thread, for good, and returns a sleep that wakes it within some tens of
// microseconds. An idle Go process waits for its timers in epoll_wait, which counts milliseconds: time.Sleep is up to one
// late. The thread ends with the goroutine, so no other goroutine inherits its slack.
func preciseSleep() func(time.Duration) {
	runtime.LockOSThread()
	// A kernel that refuses leaves 50 µs of slack: nothing worth failing for.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0)
	var ts syscall.Timespec // lives as long as the sleep: no allocation each time
	return func(d time.Duration) {
		ts = syscall.NsecToTimespec(int64(d))
		// EINTR comes with every signal, the scheduler's own among them: the caller looks at the clock again anyway.
		_ = syscall.Nanosleep(&ts, nil)
	}
}
