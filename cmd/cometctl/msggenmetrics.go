package main

import (
	"errors"

	"cometctl/internal/promise"
	"cometctl/internal/timing"
	"cometctl/msggen"
)

// msggenMetrics is what a generator can be judged by. Without a rate nothing is due, so there is no lag.
func msggenMetrics() metrics[msggen.Result, msggen.Progress] {
	type (
		end = msggen.Result
		now = msggen.Progress
	)
	m := percentiles[end, now]("lag_", "lag, from when a message was due to when it was written", func(r end) *timing.Percentiles {
		if r.Asked.Rate == 0 || r.Sent == 0 {
			return nil
		}
		return &r.Lag
	}, nil)
	one := func(name, of, help string, found func(end) uint64, live func(now) uint64) {
		k := metric[end, now]{Metric: promise.Metric{Name: name, Of: of, Help: help}, found: count(found)}
		if live != nil {
			k.live = count(live)
		}
		m = append(m, k)
	}
	one("sent", "", "messages written to a connection", func(r end) uint64 { return r.Sent }, func(p now) uint64 { return p.Sent })
	one("due", "", "messages that were due: sent or unsent", func(r end) uint64 { return r.Sent + r.Unsent }, nil)
	one("unsent", "due", "messages that were due, and not written before the run had to end", func(r end) uint64 { return r.Unsent }, nil)
	one("late", "sent", "messages written more than a millisecond after they were due", func(r end) uint64 { return r.Late }, func(p now) uint64 { return p.Late })
	one("accepted", "sent", "messages confirmed by the server's answers", func(r end) uint64 { return r.Accepted }, nil)
	one("bad", "sent", "messages refused by the server's answers", func(r end) uint64 { return r.Bad }, func(p now) uint64 { return p.Bad })
	one("unconfirmed", "sent", "messages written and never answered for", func(r end) uint64 { return r.Unconfirmed }, nil)
	one("reconnects", "", "connections that were opened again", func(r end) uint64 { return r.Reconnects }, func(p now) uint64 { return p.Reconnects })
	one("resent", "sent", "requests written again, as the server had ended the connection before it took them", func(r end) uint64 { return r.Resent }, nil)
	m = append(m, metric[end, now]{promise.Metric{Name: "rate", Unit: promise.PerSecond, Help: "messages sent a second; while msggen runs, in the last second"},
		func(r end) (float64, bool) { return r.Rate, r.Rate > 0 }, always(func(p now) float64 { return p.Rate })})

	ledger := func(name, help string, of func(*msggen.Ledger) uint64) {
		m = append(m, metric[end, now]{Metric: promise.Metric{Name: name, Of: "sent", Help: help}, found: func(r end) (float64, bool) {
			if r.Ledger == nil {
				return 0, false
			}
			return float64(of(r.Ledger)), true
		}})
	}
	ledger("delivered", "messages that the server, as its answers say, wrote to a session whole", func(l *msggen.Ledger) uint64 { return l.Delivered })
	ledger("offline", "messages for an id that nobody held", func(l *msggen.Ledger) uint64 { return l.Offline })
	ledger("dropped", "messages that met the policy for slow readers", func(l *msggen.Ledger) uint64 { return l.Dropped })
	ledger("gone", "messages that were queued when the connection ended", func(l *msggen.Ledger) uint64 { return l.Gone })
	ledger("unpublished", "messages that a node had no NATS to publish to", func(l *msggen.Ledger) uint64 { return l.Unpublished })
	ledger("overrun", "messages that came over NATS faster than they could be handled", func(l *msggen.Ledger) uint64 { return l.Overrun })
	return m
}

// excused reports whether all that err complains of is something that a promise speaks of.
func excused(err error, r msggen.Result, p *promises[msggen.Result, msggen.Progress]) bool {
	return errors.Is(err, msggen.ErrIncomplete) && (p.judges("accepted") ||
		(r.Bad == 0 || p.judges("bad")) && (r.Unconfirmed == 0 || p.judges("unconfirmed")) && (r.Unsent == 0 || p.judges("unsent")))
}
