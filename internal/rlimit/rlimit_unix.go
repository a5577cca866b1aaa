//go:build unix

package rlimit

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Read returns the limits in force.
func Read() (Files, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return Files{}, os.NewSyscallError("getrlimit", err)
	}
	f := Files{Soft: limit(uint64(r.Cur)), Hard: limit(uint64(r.Max))}
	f.Hard = min(f.Hard, systemMax())
	f.Soft = min(f.Soft, f.Hard)
	return f, nil
}

// Raise raises the soft limit to the hard one and returns the limits in force
// afterwards. Children that are started later inherit them.
//
// Go's runtime has already done so for this process, but it hands the old soft
// limit on to children unless the program sets one itself (syscall/rlimit.go).
func Raise() (Files, error) {
	f, err := Read()
	if err != nil || f.Soft == f.Hard && f.Hard == Unlimited {
		return f, err
	}
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return Files{}, os.NewSyscallError("getrlimit", err)
	}
	setCur(&r, f.Hard)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return f, fmt.Errorf("rlimit: raising the soft limit of file descriptors from %d to %d: %w",
			f.Soft, f.Hard, os.NewSyscallError("setrlimit", err))
	}
	f.Soft = f.Hard
	return f, nil
}

// limit maps the system's "no limit" to ours; it is the largest signed number on
// some systems and the largest unsigned one on others.
func limit(v uint64) uint64 {
	if v >= 1<<63-1 {
		return Unlimited
	}
	return v
}
