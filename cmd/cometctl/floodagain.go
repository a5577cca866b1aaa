package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"cometctl/flood"
)

// redialOptions are the flags of flood that are about connections which come back.
type redialOptions struct {
	reconnect, backoff string
	respect, resume    bool
}

func (o *redialOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.reconnect, "reconnect", "none", "`when` a connection that failed or ended is dialed again: none (never), immediate, backoff, or a time such as 500ms, give or take half of it")
	f.StringVar(&o.backoff, "backoff", "", fmt.Sprintf("with --reconnect backoff: the most of the first wait and of any, as `TIME..TIME` (default %v..%v)", flood.DefaultBackoffFirst, flood.DefaultBackoffMost))
	f.BoolVar(&o.respect, "respect-retry", false, "with --reconnect: never come back before the server's retry: (event streams) or Retry-After (503, 429) is over; the wait of --reconnect begins then")
	f.BoolVar(&o.resume, "resume", false, "with --reconnect: ask for what came since: Last-Event-ID for event streams, and polls go on from their last answer")
}

// on reports whether connections are dialed again.
func (o *redialOptions) on() bool {
	r, err := o.redial()
	return err == nil && r.On()
}

// redial is what the flags say. Its errors are of usage.
func (o *redialOptions) redial() (flood.Redial, error) {
	r, err := flood.ParseRedial(o.reconnect)
	if err != nil {
		return r, usageError(fmt.Errorf("--reconnect %w", err))
	}
	if o.backoff != "" {
		if r.Policy != flood.PolicyBackoff {
			return r, usageErrorf("--backoff %s is for --reconnect backoff; give that as well", o.backoff)
		}
		if r.First, r.Most, err = flood.ParseBackoff(o.backoff); err != nil {
			return r, usageError(fmt.Errorf("--backoff %w", err))
		}
	}
	switch {
	case o.respect && !r.On():
		return r, usageErrorf("--respect-retry says when to dial again; give --reconnect as well, such as --reconnect backoff")
	case o.resume && !r.On():
		return r, usageErrorf("--resume is for connections that are dialed again; give --reconnect as well, such as --reconnect backoff")
	}
	r.Respect, r.Resume = o.respect, o.resume
	return r, nil
}
