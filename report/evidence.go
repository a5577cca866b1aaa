package report

import (
	"time"

	"cometctl/internal/timing"
)

// Sample is one reading of the server, as Summarize needs it. Sizes are in bytes.
type Sample struct {
	Time   time.Time
	RSS    int64         // of all its processes together
	PSS    int64         // the same with shared pages divided among those that share them; negative: not known
	Kernel int64         // slab and buffers of the whole machine's sockets; negative: not known
	Conns  int64         // established connections; negative: not known
	CPU    time.Duration // processor time so far, of all its processes; negative: not known
	Procs  int64         // processes that the memory is of; negative: not known
}

// Span is a stretch of time that includes both its ends. The zero Span is one that never happened.
type Span struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// Contains reports whether t lies within the span.
func (s Span) Contains(t time.Time) bool {
	return !s.From.IsZero() && !t.Before(s.From) && !t.After(s.To)
}

// Phases are the parts of a run whose memory is compared. What lies between them (the ramp, the drain) belongs to none.
type Phases struct {
	Empty   Span `json:"empty"`   // the server runs, nobody is connected
	Idle    Span `json:"idle"`    // every connection is open (or has failed), nothing is sent
	Traffic Span `json:"traffic"` // from the first message to the last; all connections still open
}

// Asked is what the run was told to do.
type Asked struct {
	Conns     int64   `json:"conns"`      // connections
	Rate      float64 `json:"rate"`       // messages per second; 0 is as fast as it goes
	DurationS float64 `json:"duration_s"` // seconds of traffic
}

// FloodResult holds those keys of what `cometctl flood --json` prints at its end that a summary is made of. Only Open means
// more: flood counts there what was open to the end, and whoever fills this struct adds what was closed early.
type FloodResult struct {
	Asked       int64               `json:"asked"`
	Open        int64               `json:"open"` // connections that were opened, whatever became of them
	Failed      int64               `json:"failed"`
	FailedBy    map[string]int64    `json:"failed_by"` // Failed by cause
	ClosedEarly int64               `json:"closed_early"`
	ClosedBy    map[string]int64    `json:"closed_by"` // ClosedEarly by cause
	Messages    int64               `json:"messages"`  // stamped messages, each counted once
	Missing     int64               `json:"missing"`   // gaps in the sequences: a lost last message of an id leaves none
	Duplicated  int64               `json:"duplicated"`
	Reordered   int64               `json:"reordered"`
	Corrupt     int64               `json:"corrupt"`    // stamps that were spoilt on their way; they are missing as well
	LatencyMS   *timing.Percentiles `json:"latency_ms"` // from due to received; nil: no stamp arrived
	LagMS       *timing.Percentiles `json:"lag_ms"`     // of it from due to written; nil: stamps did not tell
	ServiceMS   *timing.Percentiles `json:"service_ms"` // and from written to received
	Client      Client              `json:"client"`
}

// Ledger is the server's account of the messages it took. The sum over all its nodes, and over generators that publish on
// NATS themselves, is one too. For ids with one session each, and at rest,
// sent + received = delivered + offline + dropped + gone + pending + forwarded + unpublished.
type Ledger struct {
	Sent      int64 `json:"sent"`
	Delivered int64 `json:"delivered"` // written to the socket whole
	Offline   int64 `json:"offline"`   // nobody held the id
	Dropped   int64 `json:"dropped"`   // met the policy for slow readers
	Gone      int64 `json:"gone"`      // queued when the connection ended
	Pending   int64 `json:"pending"`   // still queued

	Forwarded   int64 `json:"forwarded"`   // taken by NATS for other nodes
	Received    int64 `json:"received"`    // come from NATS
	Unpublished int64 `json:"unpublished"` // no session here, and NATS not to be reached
	Overrun     int64 `json:"overrun"`     // thrown away by NATS's limits for slow consumers before they were received
}

// Plus returns the account of both.
func (l Ledger) Plus(m Ledger) Ledger {
	l.Sent += m.Sent
	l.Delivered += m.Delivered
	l.Offline += m.Offline
	l.Dropped += m.Dropped
	l.Gone += m.Gone
	l.Pending += m.Pending
	l.Forwarded += m.Forwarded
	l.Received += m.Received
	l.Unpublished += m.Unpublished
	l.Overrun += m.Overrun
	return l
}

// Minus returns what the account holds more than m, an earlier one.
func (l Ledger) Minus(m Ledger) Ledger {
	return l.Plus(Ledger{-m.Sent, -m.Delivered, -m.Offline, -m.Dropped, -m.Gone, -m.Pending, -m.Forwarded, -m.Received, -m.Unpublished, -m.Overrun})
}

// Lost is what was lost in transit between the nodes: NATS took it, no node received it, and no limit threw it away. It
// means something in the account of all nodes only, at rest. Negative: more was received than was given away.
func (l Ledger) Lost() int64 { return l.Forwarded - l.Received - l.Overrun }

// Client is what a client says of itself: whether it was the limit of what it has measured.
type Client struct {
	Bottleneck []string `json:"bottleneck"` // full sentences
	Doubtful   []string `json:"doubtful"`   // what they are about: connections, opening, messages, latency
}

// MsggenResult holds those keys of what `cometctl msggen --json` prints at its end that a summary is made of.
type MsggenResult struct {
	Sent     int64   `json:"sent"`
	Accepted int64   `json:"accepted"` // confirmed by the server
	Rate     float64 `json:"rate"`     // messages per second that were reached
	Ledger   *Ledger `json:"ledger"`   // nil: the server keeps none

	Client Client           `json:"client"`
	Status map[string]int64 `json:"status,omitempty"` // a foreign server's answers by their status
}

// Course tells how a run went, where no number shows it.
type Course struct {
	// Interrupted is a full sentence that says why the run was cut short; empty if it ran to its end.
	Interrupted string `json:"interrupted,omitempty"`
	// Aborted is a full sentence that says which condition has ended the run early; empty if none has.
	Aborted string `json:"aborted,omitempty"`
	// Failures are full sentences about what broke, such as "The server ended by itself after 12 s: signal: killed."
	Failures []string `json:"failures,omitempty"`
}

// Evidence is all that Summarize looks at. What is missing is left zero or nil: the figures that depend on it become null,
// and the verdict says that it could not be reached.
type Evidence struct {
	Asked   Asked    `json:"asked"`
	Phases  Phases   `json:"phases"`
	Samples []Sample `json:"-"` // in the order of time
	// Flood and Msggen are nil where the piece left no result.
	Flood  *FloodResult  `json:"flood"`
	Msggen *MsggenResult `json:"msggen"`
	// Ledger is the server's at the end of the run, from its /stats. Nil takes msggen's, which was given out while messages
	// may still have been pending.
	Ledger *Ledger `json:"ledger"`
	// Nodes is how many processes with a router the server consists of. With more than one, messages pass between them.
	Nodes int64 `json:"nodes"`
	// Server says for people which server it was, where it was not our own; empty: it was.
	Server string `json:"server,omitempty"`
	// FailIf are the conditions under which the run fails, as SummaryMetrics has their metrics.
	FailIf []string `json:"fail_if,omitempty"`
	// ClientHere tells that flood ran on the server's machine, so that its kernel holds both ends of every connection.
	ClientHere bool `json:"client_here"`
	Course
}
