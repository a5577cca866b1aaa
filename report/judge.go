package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Verdict is what a run comes to: "pass", "fail" or "inconclusive".
type Verdict string

const (
	Pass         Verdict = "pass"         // everything asked for was reached, and the evidence is whole
	Fail         Verdict = "fail"         // something that was measured is not as asked
	Inconclusive Verdict = "inconclusive" // cut short, or evidence is absent
)

// rateReached is the share of the asked message rate that counts as reaching it: the last period of a schedule, and the
// moment between the last message and the end of the clock, are no failure.
const rateReached = 0.99

// Judge gives the verdict on a run and its reasons, the deciding ones first:
//
//  1. a run that was cut short is inconclusive, whatever else was seen, and so is one in which nothing broke and whose client was the limit of
//     what the verdict rests on (limits.go);
//  2. a run fails when a condition has ended it early, one under which it fails holds, something broke, a connection could not be opened or ended early, a message is missing,
//     duplicated, dropped, gone or offline, lost, overrun or unpublished between nodes, or less than 99 % of the asked
//     rate was reached;
//  3. where evidence is absent (no samples in a phase, no result of flood, no message sent, a condition about what was
//     not measured) it is inconclusive;
//  4. otherwise it passes.
//
// Where a condition is about one of these figures (see SummaryMetrics), it decides what of it is too much, in place of the rule above.
//
// A finding is never hidden by a weightier one: all are listed. Reordered messages are listed and fail nothing.
func Judge(s Summary, c Course) (Verdict, []string) { return judge(s, Evidence{Course: c}) }

// judge is Judge with the causes that e has and a Summary does not hold.
func judge(s Summary, e Evidence) (Verdict, []string) {
	found := findings(s, e)
	own, doubtful := limits(e)
	held, unknown := s.promised()
	if e.Aborted != "" {
		held = append([]string{e.Aborted}, held...)
	}
	broken := slices.Concat(own, held, e.Failures, found)
	absent := append(unknown, gaps(s)...)
	failed := len(e.Failures)+len(found) > 0
	switch {
	case e.Interrupted != "":
		return Inconclusive, slices.Concat([]string{e.Interrupted}, broken, absent)
	case len(e.Failures) == 0 && inDoubt(doubtful, s.Rate.Asked, len(found)+len(held) > 0):
		return Inconclusive, append(broken, absent...)
	case !failed && len(held) > 0 && e.Aborted == "" && s.onlyLatency() && slices.Contains(doubtful, "latency"):
		return Inconclusive, append(broken, absent...)
	case failed || len(held) > 0:
		return Fail, append(broken, absent...)
	case len(absent) > 0:
		return Inconclusive, append(own, absent...)
	}
	return Pass, append(own, praise(s)...)
}

// findings lists what was measured and is not as asked.
func findings(s Summary, e Evidence) []string {
	var out []string
	var failedBy, closedBy map[string]int64
	if e.Flood != nil {
		failedBy, closedBy = e.Flood.FailedBy, e.Flood.ClosedBy
	}
	// rule says something of the figures that a metric counts, unless a condition is about it.
	rule := func(metric, format string, args ...any) {
		if !s.Promises.Judges(metric) {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}

	c := s.Conns
	if n := value(c.Failed); n > 0 {
		rule("failed", "%s of %s failed to open%s.", group(n), count(c.Asked, "connection"), causes(failedBy))
	}
	if n := value(c.ClosedEarly); n > 0 {
		rule("closed_early", "%s of %s ended before the run did%s.", group(n), count(c.Asked, "connection"), causes(closedBy))
	}
	if c.Peak != nil && *c.Peak+value(c.Failed) < c.Asked {
		rule("open", "No more than %s of %s stood open at once.", group(*c.Peak), count(c.Asked, "connection"))
	}

	m := s.Messages
	if n := value(m.Missing); n > 0 {
		unconfirmed := ""
		if g := e.Msggen; g != nil && g.Accepted < g.Sent {
			unconfirmed = fmt.Sprintf(" (%s not confirmed by the server%s)", group(g.Sent-g.Accepted), refusals(g.Status))
		}
		rule("missing", "%s of %s never arrived%s.", group(n), count(value(m.Sent), "message"), unconfirmed)
	}
	if n := value(m.Duplicated); n > 0 {
		rule("duplicated", "%s arrived more than once.", count(n, "message"))
	}
	if n := value(m.Corrupt); n > 0 {
		rule("corrupt", "%s came spoilt: the checksum in the stamp is wrong.", count(n, "message"))
	}
	if n := value(m.Offline); n > 0 {
		rule("offline", "%s found nobody under the id (offline).", count(n, "message"))
	}
	if n := value(m.Dropped); n > 0 {
		rule("dropped", "%s met a connection that read too slowly (dropped).", count(n, "message"))
	}
	if n := value(m.Gone); n > 0 {
		rule("gone", "%s lost the connection while still queued (gone).", count(n, "message"))
	}
	if n := value(m.Lost); n > 0 {
		rule("lost", "%s got lost in transit: taken by NATS, received by no node.", count(n, "message"))
	}
	if n := value(m.Overrun); n > 0 {
		rule("overrun", "%s fell to NATS's limits for slow consumers (overrun).", count(n, "message"))
	}
	if n := value(m.Unpublished); n > 0 {
		rule("unpublished", "%s for another node could not be given to NATS (unpublished).", count(n, "message"))
	}
	if r := s.Rate; r.Achieved != nil && value(m.Sent) > 0 && *r.Achieved < rateReached*r.Asked {
		rule("rate", "The generator sent %s messages/s, %.1f %% of the %s/s asked.",
			decimal(*r.Achieved), 100**r.Achieved/r.Asked, decimal(r.Asked))
	}
	return out
}

// causes lists what is counted by cause, the commonest first: " (timeout 7, connection refused 2)".
func causes(by map[string]int64) string {
	if len(by) == 0 {
		return ""
	}
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b], by[a]), strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = name + " " + group(by[name])
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// gaps lists what the verdict would have needed and was not measured.
func gaps(s Summary) []string {
	var out []string
	if s.Conns.Failed == nil || s.Messages.Received == nil {
		out = append(out, "flood left no result, so no connection and no message was counted at the client.")
	}
	switch m := s.Memory; {
	case m.PeakRSS == nil:
		out = append(out, "There is no sample of the server's memory.")
	case m.BaseRSS == nil:
		out = append(out, "No sample of the server's memory was taken while it was empty, so the cost of a connection is unknown.")
	case m.IdleRSS == nil:
		out = append(out, "No sample of the server's memory was taken on the idle plateau, so the cost of a connection is unknown.")
	}
	switch m := s.Messages; {
	case m.Sent == nil:
		out = append(out, "msggen left no result, so it is unknown how many messages were sent.")
	case *m.Sent == 0:
		out = append(out, "No message was sent, so neither loss nor latency was measured.")
	}
	return out
}

// praise says what a passed run has shown.
func praise(s Summary) []string {
	out := []string{fmt.Sprintf("All %s opened and stayed open to the end.", count(s.Conns.Asked, "connection"))}
	if n := value(s.Conns.Failed) + value(s.Conns.ClosedEarly); n > 0 || value(s.Conns.Peak) < s.Conns.Asked {
		out[0] = fmt.Sprintf("Of %s, %s failed to open or ended early, which the conditions allow.", count(s.Conns.Asked, "connection"), group(n))
	}
	if lost, twice := value(s.Messages.Missing), value(s.Messages.Duplicated); lost+twice == 0 {
		out = append(out, fmt.Sprintf("All %s arrived exactly once.", count(value(s.Messages.Sent), "message")))
	} else {
		out = append(out, fmt.Sprintf("Of %s, %s never arrived and %s more than once, which the conditions allow.",
			count(value(s.Messages.Sent), "message"), group(lost), group(twice)))
	}
	if n := value(s.Messages.Reordered); n > 0 {
		out = append(out, fmt.Sprintf("%s arrived after a later one for the same id.", count(n, "message")))
	}
	return out
}

func value(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

// count writes a number of things: "1 message", "1,234 messages".
func count(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return group(n) + " " + noun
}

// group writes 1234567 as 1,234,567.
func group(n int64) string { return groupDigits(strconv.FormatInt(n, 10)) }

// decimal writes a number with at most one decimal and its thousands grouped.
func decimal(x float64) string {
	whole, tenth, _ := strings.Cut(strconv.FormatFloat(x, 'f', 1, 64), ".")
	if tenth == "0" {
		return groupDigits(whole)
	}
	return groupDigits(whole) + "." + tenth
}

func groupDigits(s string) string {
	first := 0
	if strings.HasPrefix(s, "-") {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
