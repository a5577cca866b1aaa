//go:build !linux

package chaos

import "errors"

// canCut tells why this process cannot make networks of its own.
func canCut() string { return "network namespaces are there on Linux only" }

func newNetworks(int) (place, error) { return nil, errors.New("chaos: " + canCut()) }
