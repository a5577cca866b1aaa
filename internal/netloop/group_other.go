//go:build !linux

package netloop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// Group is the listening sockets of one address, for several processes. This system has no such thing: there never is one.
type Group struct{}

// ListenGroup fails with errors.ErrUnsupported on this system.
func ListenGroup(addr string, n int) (*Group, error) {
	return nil, fmt.Errorf("listen on %s with %d processes: only Linux can steer who gets a connection: %w", addr, n, errors.ErrUnsupported)
}

// Addr is the address that was bound.
func (*Group) Addr() netip.AddrPort { return netip.AddrPort{} }

// File fails on this system.
func (*Group) File(int) (*os.File, error) { return nil, errors.ErrUnsupported }

// Accept fails on this system.
func (*Group) Accept(int) (int, error) { return -1, errors.ErrUnsupported }

// Waiting fails on this system.
func (*Group) Waiting(int) (int, error) { return 0, errors.ErrUnsupported }

// Steer fails on this system.
func (*Group) Steer([]int) error { return errors.ErrUnsupported }

// Close does nothing on this system.
func (*Group) Close() error { return nil }
