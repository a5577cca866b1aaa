//go:build !linux

package main

import "runtime/debug"

// settleMemory gives the garbage of the program's start back.
func settleMemory() { debug.FreeOSMemory() }
