package main

import (
	"os"
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

// collectEarly makes the garbage collector run when the heap has grown by percent, unless whoever started this process has chosen (GOGC). It
// is for processes that keep very many small things for as long as a connection lasts: with Go's 100 a heap may be twice what is in use, and
// what messages leave behind is little beside it.
func collectEarly(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// runOn makes a worker run on its share of the processors, unless whoever started this process has chosen (GOMAXPROCS). Where there are as
// many workers as processors, Go's way of looking for work on all of them costs a quarter of all that a worker does, and finds them busy
// with other workers.
func runOn(processors int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, processors))
	}
}
