package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"cometctl/server"
	"cometctl/server/history"
)

// addHistoryFlags are those that say what is kept for clients that come back.
func addHistoryFlags(f *pflag.FlagSet, cfg *server.Config) {
	h := &cfg.History
	f.IntVar(&h.Messages, "history", 0, "`messages` of an id that are kept for clients that come back; 0 keeps none")
	bytesVar(f, &h.Bytes, "history-bytes", history.DefaultBytes, "`bytes` of an id's messages that are kept, 8 for each message included")
	f.DurationVar(&h.TTL, "history-ttl", history.DefaultTTL, "how long a message is kept, and how long an id's numbers when nobody holds it")
	bytesVar(f, &h.Total, "history-total", history.DefaultTotal, "memory of all ids' history in `bytes`, of all --workers together; the id that was silent for longest goes first")
}

// shareHistory is what each of n workers may keep: the memory is divided, because each keeps what it is told of.
func shareHistory(all history.Config, n int) (history.Config, error) {
	if all.Messages == 0 {
		return all, nil
	}
	each := all
	each.Total /= int64(n)
	least := max(history.MinTotal, 2*int64(all.Bytes))
	if each.Total < least {
		return each, fmt.Errorf("--history-total %s with --workers %d: each gets %d bytes, and needs %s; give %s",
			formatBytes(all.Total), n, each.Total, formatBytes(least), formatBytes(least*int64(n)))
	}
	return each, nil
}
