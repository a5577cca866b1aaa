//go:build unix

package strain

import (
	"syscall"
	"time"
)

// processTime is the processor time of all threads, in user and in kernel mode; 0 where it is not told.
func processTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(syscall.TimevalToNsec(u.Utime) + syscall.TimevalToNsec(u.Stime))
}
