//go:build !linux

package netloop

import "errors"

const defaultEngine = "goroutine"

func newEpoll(Config, Handler) (Engine, error) { return nil, errors.ErrUnsupported }
