package systemd

import (
	"syscall"
	"testing"
)

func received(*testing.T, syscall.RawConn) string { return "" }
