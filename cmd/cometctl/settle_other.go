//go:build !linux

package main

// dropProgramPages does nothing here: the system has no way to ask for it.
func dropProgramPages() {}
