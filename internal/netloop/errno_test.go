package netloop

import (
	"errors"
	"syscall"
)

// isRefused knows Windows' own number too: WSAECONNREFUSED.
func isRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.Errno(10061))
}
