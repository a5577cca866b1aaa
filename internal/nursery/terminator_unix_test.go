//go:build unix

package nursery

import "syscall"

// terminator is what Terminate sends.
const terminator = syscall.SIGTERM
