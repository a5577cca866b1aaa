//go:build !linux

package rlimit

// Somaxconn returns ErrUnknown on this system.
func Somaxconn() (int, error) { return 0, ErrUnknown }

// Ports returns ErrUnknown on this system.
func Ports() (lo, hi int, err error) { return 0, 0, ErrUnknown }
