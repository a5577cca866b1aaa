package findmax

import (
	"fmt"
	"strings"

	"cometctl/internal/timing"
)

// Sent is what the generator says of a trial.
type Sent struct {
	Rate        float64            `json:"sent_rate"` // messages per second that were really sent
	Sent        uint64             `json:"sent"`
	Accepted    uint64             `json:"accepted"`
	Bad         uint64             `json:"bad"`
	Unconfirmed uint64             `json:"unconfirmed"`
	Unsent      uint64             `json:"unsent"`
	Lag         timing.Percentiles `json:"lag_ms"`               // from due to written
	Blocked     float64            `json:"blocked"`              // share of the trial that the generator waited for the server with messages due, the mean of its workers
	Bottleneck  []string           `json:"bottleneck,omitempty"` // why the generator, or the receiver, was the limit: full sentences
}

// Came is what the receiver says of a trial: of its messages, and of connections while it went on.
type Came struct {
	Received    uint64              `json:"received"` // distinct messages
	Duplicated  uint64              `json:"duplicated"`
	Reordered   uint64              `json:"reordered"`
	Corrupt     uint64              `json:"corrupt"`
	Connections int                 `json:"connections"` // that were asked for
	Open        int                 `json:"open"`        // at the end of the trial
	Failed      int                 `json:"failed"`      // attempts of the trial, where connections are opened again
	ClosedEarly int                 `json:"closed_early"`
	Latency     *timing.Percentiles `json:"latency_ms"` // from due to received; this and the next are null where nothing was measured
	Service     *timing.Percentiles `json:"service_ms"` // from written to received
}

// Trial is one rate that was tried.
type Trial struct {
	Asked   uint64  `json:"asked_rate"` // messages per second
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why"` // in words
	Sent
	Came
	Missing uint64  `json:"missing"`              // sent, and not received when nothing more came
	Waited  float64 `json:"waited_for_processor"` // share of the trial for which the generator did; 0 also where the system does not tell
}

// Bounds of judge.
const (
	reached = 0.99 // share of a rate that counts as having been sent,
	overrun = 0.1  // as does what took no more seconds than this beyond its time: in a short trial that is more
	kept    = 0.1  // share of the trial for which the server kept the generator waiting, above which what is late is the server's doing
	ours    = 0.5  // part of a latency that may be the generator's own lag
	some    = 0.1  // part of it that may be no reason to look how busy the generator was
)

// judge finds what a trial has shown, and says why. It fails where a promise is about something that was not measured.
//
// A promise that was kept at a rate that was reached was kept, whatever the client had to bear: it can only have made things worse. In all other cases
// the client may be the reason, and if it is, nothing is known of the server.
func (cfg Config) judge(t *Trial) error {
	lookup := cfg.Lookup(*t)
	var said, broken []string
	for _, p := range cfg.Promises {
		holds, measured := p.Holds(lookup)
		if !measured {
			return fmt.Errorf("%w: at %d/s %s: %d messages were sent and %d received; does the receiver hold the ids that are sent to?",
				ErrUnmeasured, t.Asked, p.Say(lookup), t.Sent.Sent, t.Received)
		}
		said = append(said, p.Say(lookup))
		if !holds {
			broken = append(broken, p.Say(lookup))
		}
	}
	put := t.put()
	switch {
	case put && len(broken) == 0:
		t.Outcome, t.Why = Held, strings.Join(said, ", ")
		return nil
	case len(t.Bottleneck) > 0:
		t.Outcome, t.Why = Limited, strings.Join(t.Bottleneck, " ")
	case !put && t.Blocked < kept:
		t.Outcome, t.Why = Limited, fmt.Sprintf("the generator sent only %.0f/s, although the server kept it waiting for no more than %.0f %% of the time", t.Rate, 100*t.Blocked)
	case !put:
		t.Outcome, t.Why = Broke, fmt.Sprintf("the server took only %.0f/s: it kept the generator waiting for %.0f %% of the time", t.Rate, 100*t.Blocked)
	case t.lagging():
		t.Outcome, t.Why = Limited, fmt.Sprintf("%s, of which the generator's own lag is %.1f ms at p99, and the server kept it waiting for no more than %.0f %% of the time",
			strings.Join(broken, ", "), t.Lag.P99, 100*t.Blocked)
		return nil
	default:
		t.Outcome, t.Why = Broke, strings.Join(broken, ", ")
		return nil
	}
	if len(broken) > 0 {
		t.Why += "; besides, " + strings.Join(broken, ", ")
	}
	return nil
}

// put tells whether the rate was really sent.
func (t *Trial) put() bool {
	if t.Unsent > 0 || t.Rate <= 0 {
		return false
	}
	n := float64(t.Sent.Sent)
	return t.Rate >= reached*float64(t.Asked) || n/t.Rate-n/float64(t.Asked) <= overrun
}

// late tells whether messages left late enough to matter: a generator that has no time left, and is in time, is no limit.
func (t *Trial) late() bool {
	return !t.put() || t.Lag.P99 > 1 && (t.Latency == nil || t.Lag.P99 > some*t.Latency.P99)
}

// lagging tells whether the latency is the generator's lag for its greater part, and the lag not the server's doing.
func (t *Trial) lagging() bool {
	return t.Latency != nil && t.Blocked < kept && t.Lag.P99 > ours*t.Latency.P99 && t.Lag.P99 > 1
}
