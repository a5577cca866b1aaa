package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"cometctl/server"
)

// addLimitFlags are those that keep somebody who wants everything from taking it from the others.
func addLimitFlags(f *pflag.FlagSet, cfg *server.Config) {
	bytesVar(f, &cfg.MaxPendingTotal, "max-pending-total", server.DefaultMaxPendingTotal,
		"memory of all connections' pending output in `bytes`, of all --workers together; at the bound who has taken nothing for longest is closed")
	f.IntVar(&cfg.MaxHandshakes, "max-handshakes", 0, "`connections` without a whole request, of all --workers together; for one more the oldest of them is cut; 0 is 512 for each loop")
	f.IntVar(&cfg.MaxConnsPerIP, "max-conns-per-ip", 0, "`connections` of one address (of IPv6, a /64); more get 429; 0 is as many as come")
	f.IntVar(&cfg.MaxConnsPerID, "max-conns-per-id", 0, "`sessions` of one id; more get 429; 0 is as many as come")
	f.Float64Var(&cfg.AcceptRate, "accept-rate", 0, "`connections` a second in the long run, and at once; more get 503; 0 is as many as come")
}

// shareLimits makes the limits of all workers those of worker i of n. What is bounded for an address or an id is rounded up: each worker knows its
// own connections only.
func shareLimits(all server.Config, n, i int) server.Config {
	each := all
	each.MaxConns = share(all.MaxConns, n, i)
	each.MaxPendingTotal = pendingTotal(all) / int64(n)
	each.AcceptRate /= float64(n)
	for _, v := range []*int{&each.MaxHandshakes, &each.MaxConnsPerIP, &each.MaxConnsPerID} {
		*v = (*v + n - 1) / n
	}
	return each
}

func pendingTotal(cfg server.Config) int64 {
	if cfg.MaxPendingTotal == 0 {
		return server.DefaultMaxPendingTotal
	}
	return cfg.MaxPendingTotal
}

// checkShares says what is too little for so many workers.
func checkShares(all server.Config, n int) error {
	if least := int64(all.MaxPending) * int64(n); pendingTotal(all) < least {
		return fmt.Errorf("--max-pending-total %s with --workers %d: each needs --max-pending, %s; give at least %s",
			formatBytes(pendingTotal(all)), n, formatBytes(int64(all.MaxPending)), formatBytes(least))
	}
	if least := server.MinAcceptRate * float64(n); all.AcceptRate > 0 && all.AcceptRate < least {
		return fmt.Errorf("--accept-rate %v with --workers %d: give at least %v", all.AcceptRate, n, least)
	}
	return nil
}
