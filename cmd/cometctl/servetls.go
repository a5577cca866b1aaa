package main

import (
	"github.com/spf13/pflag"

	"cometctl/server"
)

func addTLSFlags(f *pflag.FlagSet, cfg *server.Config) {
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "speak TLS on the comet listener by the certificate in this `file` (PEM, its chain behind it); SIGHUP reads it again")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "`file` with the key of --tls-cert")
}

// applyTLS leaves the engine to the server where TLS is asked for and the engine is not: not every engine speaks it.
func applyTLS(f *pflag.FlagSet, cfg *server.Config) {
	if cfg.TLSCert != "" && !f.Changed("engine") {
		cfg.Engine = ""
	}
}
