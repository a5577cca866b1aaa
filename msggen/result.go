package msggen

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/pace"
	"cometctl/internal/strain"
	"cometctl/internal/timing"
	"cometctl/internal/wire"
)

// Result is what became of a run, in the JSON keys that programs read.
//
// Every message is accounted for: Sent = Accepted + Bad + Unconfirmed, and with Unsent it is what the schedule asked for
// up to the end of the run.
type Result struct {
	Sent        uint64 `json:"sent"`        // written to a connection, to its last byte
	Accepted    uint64 `json:"accepted"`    // confirmed by the server's answers
	Bad         uint64 `json:"bad"`         // refused by the server's answers, line by line
	Unconfirmed uint64 `json:"unconfirmed"` // written, and never answered for: its connection broke or the server stayed silent
	Unsent      uint64 `json:"unsent"`      // due, and not written before the run had to end
	Late        uint64 `json:"late"`        // of Sent, written more than LateAfter after the due time
	Reconnects  uint64 `json:"reconnects"`  // connections that were opened again after a break

	// Blocked is for how many seconds the server kept workers waiting while messages were due, all of them together: it took no more, or owed as
	// many answers as may be under way. Where messages are late and nobody was kept waiting, the generator was too slow.
	Blocked float64 `json:"blocked_s"`

	// With a template only. Status counts the answers by their status. Resent are requests that were written again, as the
	// server had ended the connection in order before it took them; they count once in Sent.
	Status *Statuses `json:"status,omitempty"`
	Resent uint64    `json:"resent,omitempty"`

	// With NATS only: its words about messages that nobody wanted which were thrown away here, as too many came at once. Ledger counts
	// those messages as forwarded.
	Unheard uint64 `json:"unheard,omitempty"`

	// Rate is Sent by the time that it took, in messages per second: until the last message was written, or until the
	// schedule had the next one due, whichever is later.
	Rate float64            `json:"rate"`
	Lag  timing.Percentiles `json:"lag_ms"` // from due to written; all 0 without a rate, where nothing is due
	// Ledger is nil with a template: a foreign server returns none. With NATS it is what its nodes did with the messages, see audit.
	Ledger *Ledger         `json:"ledger,omitempty"`
	Steps  []Step          `json:"steps,omitempty"`  // what was asked for and what came of it, by the steps of Config.Steps
	ByDue  *timing.Buckets `json:"by_due,omitempty"` // Sent by the time at which the messages were due; nil without Config.ByDue
	Client strain.Client   `json:"client"`           // what the generator itself took, and whether it was the limit
	Asked  Asked           `json:"asked"`
	Run    RunInfo         `json:"run"`
}

// Statuses counts answers: the index is their status.
type Statuses [1000]uint64

// MarshalJSON makes an object of what is not zero: {"200":97,"503":3}.
func (s *Statuses) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for code, n := range s {
		if n > 0 {
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `"%d":%d`, code, n)
		}
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Statuses) UnmarshalJSON(b []byte) error {
	var counts map[int]uint64
	if err := json.Unmarshal(b, &counts); err != nil {
		return err
	}
	*s = Statuses{}
	for code, n := range counts {
		if code < 0 || code >= len(s) {
			return fmt.Errorf("msggen: %d is no status of HTTP", code)
		}
		s[code] = n
	}
	return nil
}

// Ledger is what the server says became of messages that it read. In a Result it is the sum over all answers; deliveries
// may exceed messages, as an id may have several sessions. Pending is what was queued when an answer was written: most of
// that has been delivered since, and the server's own GET /stats knows.
//
// Where a server is one of many on NATS, it speaks for itself: what it Forwarded, others have Received.
type Ledger struct {
	Sent        uint64 `json:"sent"`
	Delivered   uint64 `json:"delivered"`
	Offline     uint64 `json:"offline"`
	Dropped     uint64 `json:"dropped"`
	Gone        uint64 `json:"gone"`
	Pending     uint64 `json:"pending"`
	Forwarded   uint64 `json:"forwarded"`   // taken by NATS for sessions elsewhere
	Received    uint64 `json:"received"`    // that came over NATS
	Unpublished uint64 `json:"unpublished"` // for no session of the server, while NATS could not be reached
	Overrun     uint64 `json:"overrun"`     // that came over NATS faster than they could be handled, and were thrown away
	Bad         uint64 `json:"bad"`
}

func (l *Ledger) add(m Ledger) {
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
	l.Bad += m.Bad
}

// Asked is what the run was asked for. Zeros mean no limit.
type Asked struct {
	To       string  `json:"to"`
	Rate     float64 `json:"rate"`       // messages per second of all workers together
	Duration float64 `json:"duration_s"` // seconds
	Count    uint64  `json:"count"`      // of all workers together
	Workers  uint64  `json:"workers"`
	IDs      int     `json:"ids"`
	Seed     uint64  `json:"seed"`
	Size     int     `json:"size"`
	SizeTo   int     `json:"size_to,omitempty"`
	Dist     string  `json:"dist"`            // of the ids: "uniform", "zipf 1.1", "sequential", "hot 1%:90%"
	Steps    string  `json:"steps,omitempty"` // as pace.ParseSteps reads them; rate is their mean then
	Burst    int     `json:"burst,omitempty"`
	Poisson  bool    `json:"poisson,omitempty"`
	Lines    int     `json:"lines,omitempty"` // texts that the messages are made of

	// With a template only.
	Connections int `json:"connections,omitempty"`
	Pipeline    int `json:"pipeline,omitempty"`
}

// RunInfo tells when the run was, and how its stamps can be recognised.
type RunInfo struct {
	Start   time.Time `json:"start"`            // when event 0 was due
	Tag     string    `json:"tag"`              // the RUN of worker 0's stamps; worker w's is w more. A string: it exceeds 2^53
	Origin  string    `json:"origin,omitempty"` // with NATS: of all messages of the run, in their reply subjects
	Elapsed float64   `json:"elapsed_s"`        // seconds until the last answer
}

// Progress is how far a run has come.
type Progress struct {
	Sent       uint64  `json:"sent"`
	Accepted   uint64  `json:"accepted"`
	Late       uint64  `json:"late"`
	Rate       float64 `json:"rate"` // messages per second since the Progress before
	Bad        uint64  `json:"bad"`
	Reconnects uint64  `json:"reconnects"`

	at time.Duration
}

// progress follows last.
func (r *run) progress(last Progress) Progress {
	p := Progress{Sent: r.generated.Load(), Accepted: r.accepted.Load(), Bad: r.bad.Load(), Late: r.late.Load(),
		Reconnects: r.reconnects.Load(), at: r.elapsed()}
	if took := p.at - last.at; took > 0 {
		p.Rate = float64(p.Sent-last.Sent) / took.Seconds()
	}
	return p
}

// asked is how many messages were due until the run was told to stop, or to its end.
func (r *run) asked(stopped time.Duration, sent uint64) uint64 {
	switch {
	case r.unlimited && stopped != never:
		return sent // no schedule that could have asked for more
	case stopped != never:
		return min(r.total, r.schedule.DueBy(min(stopped, r.end-1)))
	case r.total == math.MaxUint64 && !r.unlimited && r.end != never: // at random
		return r.schedule.DueBy(r.end - 1)
	case r.total == math.MaxUint64:
		return sent
	}
	return r.total
}

// result sums up after the last worker has ended. stopped is when the run was told to stop, or never.
func (r *run) result(workers []*worker, stopped time.Duration) Result {
	res := Result{
		Sent: r.generated.Load(), Accepted: r.accepted.Load(), Bad: r.bad.Load(), Late: r.late.Load(),
		Reconnects: r.reconnects.Load(), Resent: r.resent.Load(),
		Unheard: r.unheard,
		Asked: Asked{To: wire.RedactURL(r.cfg.To), Rate: r.cfg.mean(), Duration: r.cfg.Duration.Seconds(), Count: r.cfg.Count,
			Workers: r.workers, IDs: r.cfg.IDs, Seed: r.cfg.Seed,
			Size: r.cfg.Size, SizeTo: r.cfg.SizeTo, Dist: r.cfg.Dist.String(), Steps: r.cfg.Steps.String(), Burst: r.cfg.Burst, Poisson: r.cfg.Poisson},
		Run: RunInfo{Start: r.start.Round(0), Tag: strconv.FormatUint(uint64(wire.NewRunTag(time.Unix(0, r.epoch), 0)), 10),
			Origin: r.origin, Elapsed: r.took.Seconds()},
		ByDue: r.byDue,
	}
	if r.origin != "" {
		res.Asked.To = broker.Redact(natsURLs(r.cfg.To))
	}
	if r.cfg.Lines != nil {
		res.Asked.Lines = r.cfg.Lines.Len()
	}
	if r.template != nil {
		res.Status = new(Statuses)
		for code := range r.status {
			res.Status[code] = r.status[code].Load()
		}
		res.Asked.Connections, res.Asked.Pipeline = r.cfg.connections(), r.cfg.pipeline()
	} else {
		res.Ledger = &r.ledger
	}
	// A message is booked on its request before it is written. So a server that boasts of messages which broke off on their
	// way could be believed, but for this.
	res.Accepted = min(res.Accepted, res.Sent)
	res.Bad = min(res.Bad, res.Sent-res.Accepted)
	res.Unconfirmed = res.Sent - res.Accepted - res.Bad

	due := r.asked(stopped, res.Sent)
	res.Unsent = due - min(due, res.Sent)

	even := r.schedule
	if s, ok := even.(pace.Steps); ok {
		even = s.InBursts(1) // a part of a burst takes a part of its time
	}
	took := even.Due(max(due, res.Sent))
	if took == never {
		took = min(r.end, stopped) // nothing more was to come
	}
	if r.steps != nil {
		res.Steps = r.steps.result(r.schedule, r.total, min(r.end, stopped, took))
	}
	for _, w := range workers {
		took = max(took, w.last)
		res.Blocked += w.blocked.Seconds()
	}
	if took > 0 {
		res.Rate = float64(res.Sent) / took.Seconds()
	}
	if p := r.lag.Percentiles(); p != nil {
		res.Lag = *p
	}
	return res
}
