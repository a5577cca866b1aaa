package rlimit

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func setCur(r *unix.Rlimit, v uint64) { r.Cur = v }

// systemMax: the hard limit is all there is; the kernel keeps it below fs.nr_open.
func systemMax() uint64 { return Unlimited }

// Somaxconn returns net.core.somaxconn, the longest accept queue that a listener
// may have here. A ramp that opens more at once than the queue holds loses SYNs,
// and each lost SYN costs its connection a second.
func Somaxconn() (int, error) {
	text, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return 0, fmt.Errorf("rlimit: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("rlimit: net.core.somaxconn: %w", err)
	}
	return n, nil
}

// Ports returns the first and the last ephemeral port
// (net.ipv4.ip_local_port_range). One source address has one connection to the
// same target per port, no more.
func Ports() (lo, hi int, err error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, 0, fmt.Errorf("rlimit: %w", err)
	}
	return parsePorts(string(text))
}
