package nursery

import "syscall"

// setNice gives the calling thread a niceness, if it may, and unless it is nicer already and floor is set. Linux keeps it for each
// thread (setpriority(2), "C library/kernel differences"), and a child has that of the thread that started it.
func setNice(n int, floor bool) {
	if kernel, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0); floor && err == nil && 20-kernel >= n {
		return // the system call returns 20 - nice
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, n)
}
