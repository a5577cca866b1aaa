//go:build unix

package bearer

import "syscall"

// nonblock keeps an open from waiting for who writes to a named pipe.
const nonblock = syscall.O_NONBLOCK
