//go:build unix && !linux && !darwin

package rlimit

import "golang.org/x/sys/unix"

// setCur: the field is signed on some of these systems.
func setCur(r *unix.Rlimit, v uint64) { r.Cur = r.Max }

func systemMax() uint64 { return Unlimited }
