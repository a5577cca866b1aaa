//go:build !linux

package systemd

import "errors"

// There is no systemd where there is no Linux, and nobody sets its variables.

func monotonic() (int64, error) { return 0, errors.ErrUnsupported }

func claim(int) error { return errors.ErrUnsupported }
