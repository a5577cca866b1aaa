//go:build !linux

package netloop

import "net"

// Direct returns conn as it is: waiting in the kernel is implemented for Linux only.
func Direct(conn *net.TCPConn) (net.Conn, error) { return conn, nil }
