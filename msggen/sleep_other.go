//go:build !linux

package msggen

import "time"

// preciseSleep is time.Sleep where we know of nothing better; see sleep_linux.go.
func preciseSleep() func(time.Duration) { return time.Sleep }
