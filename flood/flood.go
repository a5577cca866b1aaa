// Package flood opens and holds very many HTTP streaming connections on few threads, and counts and times what they
// receive. It is the client of a soak, and must never be what is being measured: a connection costs it less than half a
// kilobyte, a message no allocation.
//
// Its parts, each ignorant of the ones above it:
//
//   - Flood (flood.go) is a run: preflight, ramp, hold, drain, result.
//   - lane (lane.go) is the share of a run in one loop of netloop: it dials, hands bytes on and counts.
//   - stream (stream.go) reads one response: bytes in, events out.
//   - stamps (stamps.go) finds the stamps in bodies; tracker (tracker.go) finds what is missing, repeated or reordered, by a window (window.go)
//     for each sequence, and whose it is (runs.go).
//   - Redial (redial.go) says when a target is dialed again; parking (again.go) keeps those that wait; places (place.go) is where their
//     event streams go on; cuts (cuts.go) is what was lost together, comebacks (comeback.go) what that cost.
//   - Outline (outline.go) is the shape of a run in numbers; timeline (schedule.go) lets it come true, shape (shape.go) is a lane's part in it.
//   - Manners (manner.go) say who misbehaves; who does is carried by lanes of their own (mannerlane.go).
//   - Targets (target.go, url.go) are the URLs; origins (origin.go) the source addresses.
//   - Tally (tally.go) is what was counted, Result (result.go) what that shows; cause (cause.go) is why something failed.
//   - Divide (share.go) cuts a run into shares for several processes.
//
// Who touches what: a lane and all below it belong to their loop and are touched in its turn only, so they have no locks.
// The goroutine in Run is the only other one; it reaches a lane through Engine.Do. Targets and the plan do not change once
// a run has begun. What crosses the border otherwise is one atomic number (how many targets are due) and two channels that
// hold a single wake-up.
//
// How messages are judged is described at window and in docs/design/flood.md.
package flood

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/pace"
	"cometctl/internal/ramp"
	"cometctl/internal/rlimit"
)

// Defaults of Config.
const (
	DefaultInFlight       = 64               // handshakes: two cores are busy with it, and connect_ms is the server's, not our queue's
	DefaultConnectTimeout = 10 * time.Second // longer than three repeated SYNs take
)

// ErrAllEnded is returned by Run, beside the result, when no connection is left and none is to come.
var ErrAllEnded = errors.New("flood: no connection is left open")

// Config says what to open and for how long. Targets is all that is needed.
type Config struct {
	Targets        *Targets
	Pace           pace.Rate           // when targets fall due; the zero Rate opens as fast as InFlight allows
	Ramp           ramp.Ramp           // when connections come and go, instead of Pace; more of them than targets take these in turn
	Arrivals       pace.Rate           // connections that come by themselves, so many on average, instead of Pace; the zero Rate: none do
	Lifetime       ramp.Lifetime       // an open connection is ended after it, and replaced unless it came with Arrivals; none: it is held
	End            bool                // with Ramp: the run ends with its last stage, without a hold
	Turns          Turns               // which events of Pace, Ramp or Arrivals are this run's, where others share them; nil: all
	Round          int                 // with Ramp or Arrivals, and Turns: after how many events these begin anew, see Outline.Round
	ClockOffset    time.Duration       // what the clock of the run is ahead of this machine's
	InFlight       int                 // most handshakes at a time; default: DefaultInFlight, and no bound with a Pace
	ConnectTimeout time.Duration       // from dial to the head of the response; default DefaultConnectTimeout
	Hold           time.Duration       // from when every connection was open or has failed (Ramp: and its last stage is over; Arrivals: at once); 0: until Run's context ends
	Redial         Redial              // when a connection that failed or ended is dialed again; the zero Redial is never
	Manners        Manners             // who misbehaves, and how; Asked, Open and all else of the result is about the others
	Seed           uint64              // of what is drawn; 0: New draws one
	Drain          time.Duration       // after the hold, so long is read on what comes late; 0: not at all
	Runs           Runs                // whose messages count
	HDR            *HDRLog             // where the distributions are logged while they grow; nil: nowhere
	ByDue          time.Duration       // step of Result.ByDue; 0: there is none
	Sources        []netip.Prefix      // addresses to connect from; none: IPv4 loopback targets rotate through 127.0.0.0/8
	Rotation       uint64              // where in 127.0.0.0/8 that begins: a number that another process has not
	Engine         string              // of netloop; default: its own, and goroutine where a target speaks TLS
	Loops          int                 // default 1
	Every          time.Duration       // between two calls of Watch; 0: at each phase only
	Watch          func(Progress)      // called from Run each Every and at the beginning of each phase; nil: nobody watches
	Tally          func(Phase, *Tally) // called when Watch is, see there; the last, in Drain, is what the result is made of
	Log            func(string)        // what netloop has to say; nil: nobody listens
}

// Flood is a run that has not begun.
type Flood struct {
	cfg     Config
	outline *Outline
	plan    *plan
	lanes   []*lane
	start   time.Time // of the ramp; zero: at once
}

// StartAt lets the ramp of a Run that has not been called yet begin at t, by the clock that Config.ClockOffset makes, and its
// schedule count from there.
func (f *Flood) StartAt(t time.Time) { f.start = t }

// New checks cfg against the limits of this machine. Nothing is opened yet: an error is about what was asked for.
func New(cfg Config) (*Flood, error) {
	if cfg.Targets == nil || cfg.Targets.Len() == 0 {
		return nil, errors.New("flood: no targets")
	}
	if cfg.Targets.Secure() {
		if cfg.Engine == "epoll" {
			return nil, fmt.Errorf("flood: https:// and wss:// need the goroutine engine: %w", netloop.ErrNoTLS)
		}
		cfg.Engine = "goroutine"
	}
	if err := cfg.Turns.check(); err != nil {
		return nil, err
	}
	outline, err := cfg.Outline()
	if err != nil {
		return nil, err
	}
	outline.share(cfg.Turns, cfg.Round)
	if err := rlimit.Check(outline.most, "connections"); err != nil {
		return nil, fmt.Errorf("flood: %w", err)
	}
	if err := errors.Join(cfg.Redial.Check(), cfg.Manners.Check(cfg.Targets.Len())); err != nil {
		return nil, err
	}
	o, err := newOrigins(cfg.Sources, cfg.Targets, cfg.Rotation)
	if err != nil {
		return nil, err
	}
	if cfg.InFlight <= 0 {
		cfg.InFlight = DefaultInFlight
		if !cfg.Pace.Unlimited() || outline.scheduled() {
			cfg.InFlight = maxTargets
		}
	}
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = DefaultConnectTimeout
	}
	if cfg.Loops <= 0 {
		cfg.Loops = 1
	}
	if cfg.Manners.Seed == 0 {
		cfg.Manners.Seed = cfg.Seed
	}
	f := &Flood{cfg: cfg, outline: outline, plan: &plan{
		targets: cfg.Targets, origins: o,
		lanes: cfg.Loops, inFlight: max(cfg.InFlight/cfg.Loops, 1), timeout: cfg.ConnectTimeout,
		redial: cfg.Redial, manners: cfg.Manners, cast: cfg.Manners.cast(cfg.Targets.Len()), seed: cfg.Seed, byDue: cfg.ByDue,
		form: outline.form, clock: wallClock(cfg.ClockOffset),
		again: make(chan struct{}, 1), changed: make(chan struct{}, 1),
	}}
	for i := range cfg.Loops {
		f.lanes = append(f.lanes, newLane(f.plan, i))
	}
	return f, nil
}

// wallClock returns a clock in ns since the epoch that starts with the wall's time and the offset to it, and goes on monotonically: one reading
// costs half of time.Now's, and a clock that is set during a run does not make messages early.
func wallClock(offset time.Duration) func() int64 {
	start := time.Now()
	base := start.UnixNano() + int64(offset)
	return func() int64 { return base + int64(time.Since(start)) }
}
