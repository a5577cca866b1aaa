package report

import (
	"fmt"
	"math"

	"cometctl/internal/promise"
)

// Chaos is what chaos.json holds: a run in which pieces died one after the other, each in a slot of time of its own, and what became of the
// messages meanwhile. Moments are nanoseconds since the epoch.
type Chaos struct {
	Format  int        `json:"format"` // of the file: 1
	Version string     `json:"version"`
	Asked   ChaosAsked `json:"asked"`
	From    int64      `json:"from_ns"`
	To      int64      `json:"to_ns"`
	Slots   []Slot     `json:"faults"` // in the order in which they were; the first is the quiet baseline
	Verdict Verdict    `json:"verdict"`
	Reasons []string   `json:"reasons"` // full sentences, the weightiest first
	// Promises are the conditions under which the run fails, and what was found; nil where there were none.
	Promises *promise.Report `json:"promises,omitempty"`
	Course
}

// ChaosAsked is what a run with faults was asked to do.
type ChaosAsked struct {
	Asked
	Sites   int      `json:"sites"`    // NATS servers, each with its fronts
	Faults  []string `json:"faults"`   // names, in the order asked for
	OutageS float64  `json:"outage_s"` // how long a process stands still, or a network is cut
}

// Slot is the time of one fault: traffic, the fault, its repair, traffic again, and the moment when nothing is on its way any more.
type Slot struct {
	Name    string `json:"name"`              // "baseline", "kill-front", ...
	Target  string `json:"target,omitempty"`  // the piece that was hit
	Skipped string `json:"skipped,omitempty"` // why the fault could not be tried here; then nothing else is filled in
	From    int64  `json:"from_ns,omitempty"`
	To      int64  `json:"to_ns,omitempty"`
	// At is when the fault began and Repaired when its cause was gone: the process was started again, goes on, the network was
	// back. Zero in the baseline.
	At       int64 `json:"at_ns,omitempty"`
	Repaired int64 `json:"repaired_ns,omitempty"`
	// DetectMS is from At to the first sign in public that the system knows, DetectedBy; RecoverMS from Repaired until everything
	// was whole again. Nil where that was not seen.
	DetectMS   *float64 `json:"detect_ms"`
	DetectedBy string   `json:"detected_by,omitempty"`
	RecoverMS  *float64 `json:"recover_ms"`

	Bins Bins `json:"bins"`
	// Of Bins.Lost: forwarded by NATS and received by no node; written to a socket by a node and not counted by a client. Nil where the
	// ledger of a node died with it, so that nobody knows.
	InTransit   *int64   `json:"lost_in_transit"`
	AtClient    *int64   `json:"lost_at_client"`
	Unconfirmed int64    `json:"unconfirmed"` // written to NATS, and no answer behind them; each is in one of the bins all the same
	Windows     []Window `json:"windows"`     // of due times whose messages did not all arrive
	Unexplained int64    `json:"unexplained"` // of those, messages that no fault covers
	Duplicated  int64    `json:"duplicated"`
	Outages     []Outage `json:"outages"` // that nodes reported of themselves
	Memory      []Level  `json:"memory"`  // of the nodes that lived through the slot
	Checks      []Check  `json:"checks"`
}

// Bins accounts for the messages that were due in a slot: Due is the sum of all others, of which each message is in exactly one.
type Bins struct {
	Due         int64 `json:"due"`
	Delivered   int64 `json:"delivered"`   // received by a client
	Offline     int64 `json:"offline"`     // nobody held the id
	Dropped     int64 `json:"dropped"`     // met the policy for slow readers
	Gone        int64 `json:"gone"`        // queued when the connection ended
	Overrun     int64 `json:"overrun"`     // thrown away because too many waited on the client's side of NATS
	Unpublished int64 `json:"unpublished"` // a node had no NATS to publish it to
	Unsent      int64 `json:"unsent"`      // due, and not written before the generator had to end
	Pending     int64 `json:"pending"`     // still queued at the end of the slot
	Lost        int64 `json:"lost"`        // the rest: in transit, or with what a killed process, of clients too, held
}

// Window is a stretch of due times whose messages did not all arrive.
type Window struct {
	From    int64  `json:"from_ns"`
	To      int64  `json:"to_ns"`
	Missing int64  `json:"missing"` // sent and not received, whatever bin they are in
	Cause   string `json:"cause"`
}

// Unexplained is the cause of a window that no fault covers.
const Unexplained = "unexplained"

// Outage is a time without NATS that a node reported.
type Outage struct {
	Node  string `json:"node"`
	From  int64  `json:"from_ns"`
	To    int64  `json:"to_ns,omitempty"` // 0 while it lasts
	Cause string `json:"cause"`
}

// Level is the memory of a piece before and after a fault, garbage taken out, in bytes; of a parent with its workers.
type Level struct {
	Piece  string `json:"piece"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
}

// Check is one thing that must hold after a fault.
type Check struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Found string `json:"found"` // a full sentence
}

// Missing is how many messages of the slot were sent and not received.
func (b Bins) Missing() int64 { return b.Due - b.Unsent - b.Delivered }

// Sum is the sum of all bins. It is Due, or a message is in none of them or in two.
func (b Bins) Sum() int64 {
	return b.Delivered + b.Offline + b.Dropped + b.Gone + b.Overrun + b.Unpublished + b.Unsent + b.Pending + b.Lost
}

// JudgeChaos gives the verdict on a run with faults and its reasons, the deciding ones first: what was cut short is inconclusive; a
// condition that has ended the run, or one under which it fails and that holds, a check that does not hold, or something that broke, fails
// the run; a run in which nothing was sent, or no fault came to its end, shows nothing, and neither does one of which a condition cannot be
// judged; otherwise it passes. A fault that was skipped changes nothing.
func JudgeChaos(c Chaos) (Verdict, []string) {
	var broken, unknown []string
	if c.Promises != nil {
		broken, unknown = c.Promises.Reasons()
	}
	if c.Aborted != "" {
		broken = append([]string{c.Aborted}, broken...)
	}
	broken = append(broken, c.Failures...)
	hit, due := 0, int64(0)
	for _, s := range c.Slots {
		for _, k := range s.Checks {
			if !k.OK {
				broken = append(broken, fmt.Sprintf("%s: %s", s.Name, k.Found))
			}
		}
		if s.At != 0 && s.To != 0 {
			hit++
		}
		due += s.Bins.Due - s.Bins.Unsent
	}
	switch {
	case c.Interrupted != "":
		return Inconclusive, append([]string{c.Interrupted}, broken...)
	case len(broken) > 0:
		return Fail, broken
	case due == 0:
		return Inconclusive, []string{"No message was sent, so none could be lost."}
	case hit == 0:
		return Inconclusive, []string{"No fault came to its end, so nothing is known of any."}
	case len(unknown) > 0:
		return Inconclusive, unknown
	}
	return Pass, praiseChaos(c, hit, due)
}

// praiseChaos says what a run with faults has shown.
func praiseChaos(c Chaos, hit int, due int64) []string {
	lost := int64(0)
	var skipped []string
	for _, s := range c.Slots {
		lost += s.Bins.Lost
		if s.Skipped != "" {
			skipped = append(skipped, fmt.Sprintf("%s was skipped: %s", s.Name, s.Skipped))
		}
	}
	out := []string{
		fmt.Sprintf("%s passed, and each time everything was whole again.", count(int64(hit), "fault")),
		fmt.Sprintf("Each of %s is in exactly one bin, and none arrived twice.", count(due, "message")),
	}
	if lost > 0 {
		out = append(out, fmt.Sprintf("Lost, all within a fault's time: %s.", count(lost, "message")))
	}
	return append(out, skipped...)
}

// windowText says of a window what people want to know.
func (s Slot) windowText(w Window) string {
	began := s.At
	if began == 0 {
		began = s.From
	}
	since := func(ns int64) string {
		if tenths := int64(math.Round(float64(ns-began) / 1e8)); tenths != 0 { // no -0.0
			return fmt.Sprintf("%+.1f s", float64(tenths)/10)
		}
		return "0.0 s"
	}
	return fmt.Sprintf("%s: of the messages due from %s to %s, %s did not arrive: %s.",
		s.Name, since(w.From), since(w.To), group(w.Missing), w.Cause)
}
