package main

import (
	"errors"
	"time"

	"github.com/spf13/pflag"

	"cometctl/server"
)

// addDialectFlags adds what serve lets one choose about the ways of speaking to its clients.
func addDialectFlags(f *pflag.FlagSet, cfg *server.Config) {
	f.Var(&orOff{&cfg.Heartbeat, server.DefaultHeartbeat}, "heartbeat", "how often a stream shows that it lives, but for the one at /test/{id}; off is never")
	f.DurationVar(&cfg.Retry, "retry", server.DefaultRetry, "after which clients of event streams are told to come back")
	f.DurationVar(&cfg.PollWait, "poll-wait", server.DefaultPollWait, "the most that a long poll may ask to wait")
	f.DurationVar(&cfg.KeepAlive, "keep-alive", server.DefaultKeepAlive, "how long a connection may wait for its next request")
}

// orOff is the value of a flag that is a duration, or off.
type orOff struct {
	d         *time.Duration // less than 0 is off
	byDefault time.Duration
}

// String implements pflag.Value.
func (v *orOff) String() string {
	switch {
	case v.d == nil || *v.d == 0:
		return v.byDefault.String()
	case *v.d < 0:
		return "off"
	}
	return v.d.String()
}

// Set implements pflag.Value.
func (v *orOff) Set(text string) error {
	if text == "off" {
		*v.d = -1
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New("give a duration such as 30s, or off")
	}
	*v.d = d
	return nil
}

// Type implements pflag.Value.
func (*orOff) Type() string { return "interval" }
