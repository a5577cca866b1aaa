package main

import (
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"cometctl/flood"
)

// mannerOptions are the flags of flood that are about subscribers who misbehave.
type mannerOptions struct {
	slow, stall, abort, halfOpen, slowloris string
}

// each calls f for each manner and the value of its flag.
func (o *mannerOptions) each(f func(m flood.Manner, value *string)) {
	f(flood.Slow, &o.slow)
	f(flood.Stall, &o.stall)
	f(flood.Abort, &o.abort)
	f(flood.HalfOpen, &o.halfOpen)
	f(flood.Slowloris, &o.slowloris)
}

func (o *mannerOptions) add(f *pflag.FlagSet) {
	usage := map[flood.Manner]string{
		flood.Slow:      "this `SHARE[@RATE]` of the connections reads slowly, such as 5%@1KiB/s (the default rate), and has little room",
		flood.Stall:     "this `SHARE` asks and never reads, such as 1%",
		flood.Abort:     fmt.Sprintf("this `SHARE[@TIME]` resets its connections, after this time in the mean (default %v), and comes back", flood.DefaultAbortAfter),
		flood.HalfOpen:  "this `SHARE` connects and never says a word",
		flood.Slowloris: fmt.Sprintf("this `SHARE[@TIME]` sends its request a byte at a time, with this time between two (default %v)", flood.DefaultSlowlorisEvery),
	}
	o.each(func(m flood.Manner, value *string) { f.StringVar(value, m.String(), "", usage[m]) })
}

// manners is what the flags say. Its errors are of usage.
func (o *mannerOptions) manners(seed uint64) (all flood.Manners, err error) {
	all.Seed = seed
	o.each(func(m flood.Manner, value *string) {
		if *value == "" || err != nil {
			return
		}
		c, wrong := flood.ParseMisconduct(m, *value)
		if wrong != nil {
			err = usageError(fmt.Errorf("--%v %w", m, wrong))
		}
		all.Set(m, c)
	})
	return all, err
}

// mannerLines are the rows of the printed result about who misbehaved.
func mannerLines(w io.Writer, all map[string]flood.Misbehaved) {
	for m := flood.Slow; m <= flood.Slowloris; m++ {
		b, ok := all[m.String()]
		if !ok {
			continue
		}
		fmt.Fprintf(w, "%v\t%d, %d open at the end, opened %d times, %d failed%s, %d ended%s; %d bytes, %d messages\n",
			m, b.Asked, b.Open, b.Opened, b.Failed, causes(b.FailedBy), b.Closed, causes(b.ClosedBy), b.Bytes, b.Messages)
	}
}
