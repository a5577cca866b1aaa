package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/pflag"

	"cometctl/internal/offset"
)

// clockOption is the flag --clock: all times of a run are by the clock of a server's machine. It is asked before the run and after it.
type clockOption struct {
	url   string
	first offset.Reading
}

func (o *clockOption) add(f *pflag.FlagSet, also string) {
	f.StringVar(&o.url, "clock", "", "where flood and msggen run on different machines: take all times by the clock of this server, the `URL` of an admin listener such as http://10.0.0.1:8001; give it to "+also+" too")
}

// measure asks for the time, and returns what that clock is ahead; without the flag nothing. It takes up to a second.
func (o *clockOption) measure(ctx context.Context) (time.Duration, error) {
	if o.url == "" {
		return 0, nil
	}
	var err error
	if o.first, err = offset.HTTP(ctx, o.url); errors.Is(err, offset.ErrURL) {
		return 0, usageErrorf("--clock %q: give the URL of an admin listener, such as http://10.0.0.1:8001", o.url)
	} else if err != nil {
		return 0, fmt.Errorf("--clock: %w", err)
	}
	return o.first.Offset, nil
}

// clockResult is what a run says of the clock that it went by.
type clockResult struct {
	Of     string  `json:"of"`        // the server that was asked
	Offset float64 `json:"offset_ms"` // what its clock is ahead of ours; 0 where it may be none
	Error  float64 `json:"error_ms"`  // how wrong that may be: latency is by so much longer or shorter
}

// result asks again; nil without the flag. What the clocks have drifted by in between is a part of the error. A server that is gone by now tells
// nothing more.
func (o *clockOption) result(ctx context.Context) *clockResult {
	if o.url == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	r := o.first
	if later, err := offset.HTTP(ctx, o.url); err == nil {
		r = r.And(later)
	}
	ms := func(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }
	return &clockResult{o.url, ms(r.Offset), ms(r.Error)}
}

// print prints a line about it.
func (c *clockResult) print(w io.Writer) error {
	if c == nil {
		return nil
	}
	_, err := fmt.Fprintf(w, "\ntimes are by the clock at %s, %.3f ms ahead of ours, give or take %.3f ms\n", c.Of, c.Offset, c.Error)
	return err
}
