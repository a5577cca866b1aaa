package server

import (
	"context"
	"net/netip"
)

// Family is the other processes that hold the connections of a server which has none itself; package server/workers has one. Their
// router is a Cluster's with the server's own, so that messages reach them. Its methods may be called by all goroutines.
type Family interface {
	// Comet is the address on which they take connections.
	Comet() netip.AddrPort
	// Report adds to what a server knows of itself a row for each process, and their sums, those that ended included.
	Report(*Stats)
	// Ready returns nil while at least one takes connections.
	Ready() error
	// Account is what became of an origin's messages (of all, for an empty one) in those that have ended: nobody else can tell any more.
	Account(origin string) Ledger
	// Collect makes them collect garbage and give memory back to the system.
	Collect()
	// Reload makes them read again what may be replaced while they run.
	Reload()
	// Drain ends all in order, behind all messages that were sent before.
	Drain(ctx context.Context) error
	// Close ends all at once.
	Close() error
}
