package main

import (
	"github.com/spf13/pflag"

	"cometctl/server"
)

// addWSFlags are those about what WebSocket clients may say.
func addWSFlags(f *pflag.FlagSet, cfg *server.Config) {
	f.BoolVar(&cfg.WSPublish, "ws-publish", false, "a text from a WebSocket client is a message for the ids of its path; without it, who sends one is cut off (1008)")
	bytesVar(f, &cfg.FrameMax, "frame-max", 0, "largest message from a WebSocket client, in `bytes`; 0 is --message-max")
}
