package rlimit

import "golang.org/x/sys/unix"

func setCur(r *unix.Rlimit, v uint64) { r.Cur = v }

// systemMax returns kern.maxfilesperproc. The hard limit reads as unlimited here,
// yet setrlimit refuses anything above this.
func systemMax() uint64 {
	n, err := unix.SysctlUint32("kern.maxfilesperproc")
	if err != nil {
		return Unlimited
	}
	return uint64(n)
}
