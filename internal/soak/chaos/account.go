package chaos

import (
	"fmt"
	"time"

	"cometctl/internal/timing"
	"cometctl/report"
)

// astray is by how much a ledger does not add up: every id of a run has one session, so at rest it is 0.
func astray(l report.Ledger) int64 {
	return l.Sent + l.Received - (l.Delivered + l.Dropped + l.Gone + l.Pending + l.Offline + l.Forwarded + l.Unpublished)
}

// life is one process of a node during a slot: the first ledger that was seen of it (zero, if it was started in the slot) and the last.
type life struct {
	node        string
	first, last report.Ledger
	torn        bool // it was killed: what it did after last is not known
}

// generated is what one message generator left: its result, or what is known of it otherwise.
type generated struct {
	sent, unsent, unconfirmed int64
	offline                   int64 // NATS told it that nobody holds the id
	overHTTP                  bool  // a node took its messages and counts them as sent
	byDue                     *timing.Buckets
	lagMax                    time.Duration
}

// facts is all that the account of one slot is made of.
type facts struct {
	slot       span        // without traffic at both ends
	cover      span        // due times of messages that the fault may have cost; zero: it may not cost any
	cause      string      // what happened, for people: "nats-3 was killed"
	lives      []life      //
	generators []generated //
	received   *timing.Buckets
	duplicated int64
	noClient   bool // a process of the flood was killed, and what it had received since its last word is not known
	untimed    bool // some messages are known by number only, not by due time
}

// span is a stretch of time, in nanoseconds since the epoch.
type span struct{ from, to int64 }

// overlaps tells whether the bucket that begins at from has something of s.
func (s span) overlaps(from int64, step time.Duration) bool {
	return s != span{} && from < s.to && from+int64(step) > s.from
}

// holds tells whether the bucket that begins at from belongs to the slot s. Slots lie end to end, and nothing is due in the last moments
// of one: a bucket that begins before s and ends in it holds messages of s alone.
func (s span) holds(from int64, step time.Duration) bool {
	end := from + int64(step)
	return end > s.from && end <= s.to
}

// account puts every message that was due in a slot into a bin, and finds the due times of those that did not arrive. It changes of s only
// what is about messages, and adds its checks.
func account(f facts, s *report.Slot) {
	var sum report.Ledger
	var torn []string
	for _, l := range f.lives {
		if l.torn {
			torn = append(torn, l.node)
			l.last.Pending = 0 // it died with the process
		}
		sum = sum.Plus(l.last.Minus(l.first))
	}
	b := report.Bins{Offline: sum.Offline, Dropped: sum.Dropped, Gone: sum.Gone, Overrun: sum.Overrun,
		Unpublished: sum.Unpublished, Pending: sum.Pending}
	sent, forwarded := sum.Sent, sum.Forwarded
	for _, g := range f.generators {
		b.Unsent += g.unsent
		s.Unconfirmed += g.unconfirmed
		if g.overHTTP {
			continue // its node has counted the rest
		}
		sent += g.sent
		forwarded += g.sent - g.offline
		b.Offline += g.offline
	}
	b.Delivered = within(f.received, f.slot)
	b.Due = sent + b.Unsent
	b.Lost = b.Due - (b.Sum() - b.Lost)
	s.Bins, s.Duplicated = b, f.duplicated
	odd := astray(sum)
	sum.Forwarded = forwarded // by the generators too
	if len(torn) == 0 {
		s.InTransit, s.AtClient = new(sum.Lost()), new(sum.Delivered-b.Delivered)
	}

	s.Windows = windows(f, b.Missing())
	s.Unexplained = 0
	phantom := int64(0)
	for _, w := range s.Windows {
		if w.Missing < 0 {
			phantom -= w.Missing
		} else if w.Cause == report.Unexplained {
			s.Unexplained += w.Missing
		}
	}
	s.Checks = append(s.Checks,
		checkBins(s, f, phantom, torn, odd),
		checkExplained(s.Unexplained, f),
		check("once", f.duplicated == 0, "No message arrived twice.", "%d messages arrived twice.", f.duplicated))
}

func check(name string, ok bool, good, bad string, args ...any) report.Check {
	if ok {
		return report.Check{Name: name, OK: true, Found: good}
	}
	return report.Check{Name: name, Found: fmt.Sprintf(bad, args...)}
}

// checkBins finds messages in none of the bins or in two. Where no ledger is torn, that can be seen from both sides: what the nodes say was
// lost between them and what they delivered, and what the clients miss. odd is by how much the nodes' ledgers do not add up.
func checkBins(s *report.Slot, f facts, phantom int64, torn []string, odd int64) report.Check {
	b := s.Bins
	bad := func(format string, args ...any) report.Check {
		return report.Check{Name: "accounted", Found: fmt.Sprintf(format, args...)}
	}
	switch {
	case b.Lost < 0:
		return bad("%d messages are in two bins: of %d due, the bins hold %d.", -b.Lost, b.Due, b.Sum()-b.Lost)
	case phantom > 0:
		return bad("%d messages were received at due times at which nobody had sent them.", phantom)
	case b.Pending != 0:
		return bad("%d messages were still queued at the end.", b.Pending)
	case len(torn) > 0:
		return report.Check{Name: "accounted", OK: true, Found: fmt.Sprintf("All %d messages are in one bin; the ledger of %s died with it.", b.Due, list(torn))}
	case odd != 0:
		return bad("The nodes' ledgers do not add up: %d messages are in none of their columns, or in two.", odd)
	case *s.InTransit < 0:
		return bad("Nodes received %d messages more than were forwarded to them.", -*s.InTransit)
	case *s.AtClient != 0 && !f.noClient:
		return bad("Nodes say they delivered %d messages, the clients received %d.", b.Delivered+*s.AtClient, b.Delivered)
	}
	return report.Check{Name: "accounted", OK: true, Found: fmt.Sprintf("All %d messages are in one bin, by the nodes' ledgers and by the clients.", b.Due)}
}

func checkExplained(unexplained int64, f facts) report.Check {
	if f.cover == (span{}) {
		return check("explained", unexplained == 0, "Nothing was lost, and nothing could be.",
			"%d messages did not arrive, and nothing had happened that may cost one.", unexplained)
	}
	return check("explained", unexplained == 0, "What did not arrive was due while the fault lasted.",
		"%d messages that did not arrive were due when no fault covers them.", unexplained)
}

// within counts the messages that were due in the slot.
func within(b *timing.Buckets, slot span) (n int64) {
	if b == nil {
		return 0
	}
	for from, count := range b.All() {
		if slot.holds(from, b.Step()) {
			n += count
		}
	}
	return n
}

// coverOf returns the due times of the messages that a slot's fault may have cost. Those that were due shortly before it may still have been on
// their way, or their generator late with them; those that were due once everything was whole must arrive.
func coverOf(s report.Slot, f facts) span {
	if s.At == 0 || !faultOf(s.Name).costs {
		return span{}
	}
	late := 2 * step
	for _, g := range f.generators {
		late = max(late, 2*step+min(g.lagMax, lagTrusted))
	}
	if s.Name == killFlood {
		late += tallyAge
	}
	to := f.slot.to
	if s.RecoverMS != nil {
		to = s.Repaired + int64(*s.RecoverMS*1e6) + int64(step)
	}
	return span{s.At - int64(late), to}
}

const (
	lagTrusted = time.Second             // a generator that was later than that has another trouble
	tallyAge   = 1200 * time.Millisecond // how old the last word of a process of a flood may be when it dies
)
