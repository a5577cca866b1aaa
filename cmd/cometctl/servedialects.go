package main

import (
	"github.com/spf13/pflag"

	"cometctl/server"
)

// addDialectFlags adds what serve lets one choose about the ways of speaking to its clients.
func addDialectFlags(f *pflag.FlagSet, cfg *server.Config) {
	f.DurationVar(&cfg.KeepAlive, "keep-alive", server.DefaultKeepAlive, "how long a connection may wait for its next request")
}
