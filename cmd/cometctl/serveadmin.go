package main

import (
	"github.com/spf13/pflag"

	"cometctl/server"
)

// addAdminFlags adds the flags that say who may use the admin listener.
func addAdminFlags(f *pflag.FlagSet, cfg *server.Config) {
	f.StringVar(&cfg.AdminTokenFile, "admin-token-file", "", "`file` with a bearer token a line, one of which the admin listener asks for; only its owner may read it")
	f.StringArrayVar(&cfg.AllowOrigin, "allow-origin", nil, "`origin` whose pages may use the admin listener and read streams, such as https://example.com; may be given several times; * is all, with --admin-token-file")
}
