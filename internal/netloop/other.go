//go:build !linux

package netloop

import (
	"errors"
	"syscall"
)

const defaultEngine = "goroutine"

func newEpoll(Config, Handler) (Engine, error) { return nil, errors.ErrUnsupported }

func listenControl(_, _ string, _ syscall.RawConn) error { return nil }
