// Package findmax looks for the highest rate of messages at which a server keeps promises, such as p99<100ms.
//
// A search is a row of trials. In each, a generator sends for some seconds at one rate, to listeners that a receiver holds, a flood in a process of
// its own; then it is waited until what was sent has come, so that a trial's counts and times are of its own messages and of no others. Whether the
// promises held decides which rate is next.
//
//   - Plan (search.go) is the search: which rate follows the trials so far, when it is over, and what was found. Pure functions.
//   - Trial (trial.go) is what one trial has shown, and judge what that means: a rate that the generator could not send, or the receiver not take,
//     says nothing about the server. Pure as well.
//   - receiver (receiver.go) is the flood: its process, and what its progress says. Its lines are heard on a goroutine of its own, what both
//     need is under its lock.
//   - Run, here, puts them together.
//
// The generator is a function in Config: this package knows no protocol.
package findmax

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cometctl/internal/promise"
)

// Config is what is looked for, and with what. All fields are required but those that say otherwise.
type Config struct {
	Plan     Plan
	Promises []promise.Condition        // what must hold
	Lookup   func(Trial) promise.Lookup // how conditions find their metrics in a trial

	Step   time.Duration // how long a trial sends
	Settle time.Duration // how long nothing may come until what has not come is missing

	// Send sends at the rate for the time of a trial, the n-th from 0, and tells what became of it. Its error ends the search.
	Send func(ctx context.Context, rate uint64, n int, step time.Duration) (Sent, error)

	Program  string   // that is started as the receiver
	Receiver []string // its arguments: those of a flood that prints JSON, with --intervals

	Workers, Loops int // of the generator, and of each process of the receiver: goroutines that do the work; 0: nobody knows

	Watch func(n int, t Trial)     // called after each trial, the n-th from 0; nil: nobody watches
	Hear  func(Heard, int, uint64) // called while the receiver begins and while a trial, the n-th from 0, goes on at that rate; nil: nobody listens
}

// Result is what a search has found. Its JSON keys are an interface.
type Result struct {
	Promises []string `json:"promises"` // as they were given
	Summary
	Step   float64 `json:"step_s"` // seconds that a trial sends
	Trials []Trial `json:"trials"` // in their order
}

// Limits of waiting for the receiver.
const (
	settleMost = 30 * time.Second // for what is on its way, however much comes
	goneLimit  = 5 * time.Second  // for the receiver to end when it was told to
)

var (
	// ErrReceiver is wrapped by Run's error where the receiver could not do its part.
	ErrReceiver = errors.New("the receiver")
	// ErrUnmeasured is wrapped by Run's error where a trial did not measure what a promise is about.
	ErrUnmeasured = errors.New("nothing can be said of a promise")
)

// Run searches. The Result is good beside an error, as far as the search came; ctx's end is no error of the search's, and ends it.
func Run(ctx context.Context, cfg Config) (Result, error) {
	res := Result{Step: cfg.Step.Seconds(), Trials: []Trial{}}
	for _, p := range cfg.Promises {
		res.Promises = append(res.Promises, p.String())
	}
	rec, err := receive(cfg)
	if err != nil {
		return res, err
	}
	defer rec.close()
	if err := rec.ready(ctx); err != nil {
		return res, err
	}
	var points []Point
	for ctx.Err() == nil {
		rate, done := cfg.Plan.Next(points)
		if done {
			break
		}
		t, err := cfg.trial(ctx, rec, rate, len(points))
		if err != nil || ctx.Err() != nil { // a trial that was cut short shows nothing
			res.Summary = cfg.Plan.Sum(points)
			return res, err
		}
		points = append(points, Point{rate, t.Outcome})
		res.Trials = append(res.Trials, t)
		if cfg.Watch != nil {
			cfg.Watch(len(points)-1, t)
		}
	}
	res.Summary = cfg.Plan.Sum(points)
	return res, nil
}

// trial sends at one rate and judges what came of it.
func (cfg Config) trial(ctx context.Context, rec *receiver, rate uint64, n int) (Trial, error) {
	rec.begin(n, rate)
	sent, err := cfg.Send(ctx, rate, n, cfg.Step)
	if err != nil {
		return Trial{}, fmt.Errorf("trial of %d/s: %w", rate, err)
	}
	generator, receiver, waited := rec.strain()
	if err := rec.settle(ctx, sent.Sent); err != nil || ctx.Err() != nil {
		return Trial{}, err
	}
	sent.Blocked = max(sent.Blocked-waited, 0) // a write that takes long because somebody else has the processor is not the server's doing
	t := Trial{Asked: rate, Sent: sent, Came: rec.came(), Waited: waited}
	t.Missing = sent.Sent - min(t.Received, sent.Sent)
	if receiver != "" {
		t.Bottleneck = append(t.Bottleneck, receiver)
	}
	if generator != "" && t.late() {
		t.Bottleneck = append(t.Bottleneck, generator)
	}
	return t, cfg.judge(&t)
}
