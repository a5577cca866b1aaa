package main

import (
	"runtime"
	"runtime/debug"

	"github.com/olekukonko/tablewriter/pkg/twwidth"
)

// settleMemory makes the resident size of a long-lived process what its work needs, not what starting it needed. One
// program holds all commands, and each pays for the initialisation of packages that only others use.
func settleMemory() {
	twwidth.SetCacheCapacity(0) // 0.6 MB, of use to who prints tables
	debug.FreeOSMemory()
	dropProgramPages()
	runtime.GC() // brings back what the collector itself needs, so that its first run is no step in a memory graph
}
