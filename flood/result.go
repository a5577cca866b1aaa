package flood

import (
	"math"
	"time"

	"cometctl/internal/timing"
)

// Result is what a run has found. Its JSON keys are an interface: other programs read them.
type Result struct {
	Asked       int                 `json:"asked"`            // targets
	Open        int                 `json:"open"`             // connections that were open to the end of the hold
	Failed      int                 `json:"failed"`           // connections that never had the head of a 200
	FailedBy    map[string]int      `json:"failed_by"`        // Failed by cause
	ClosedEarly int                 `json:"closed_early"`     // connections that were open and ended before the hold did
	ClosedBy    map[string]int      `json:"closed_by"`        // ClosedEarly by cause
	Chunks      uint64              `json:"chunks"`           // chunks of the chunked coding; reads of a body without it
	Messages    uint64              `json:"messages"`         // stamps, each counted once
	Bytes       uint64              `json:"bytes"`            // all bytes received: heads, framing and bodies
	Missing     uint64              `json:"missing"`          // messages whose successors came, but not they
	Duplicated  uint64              `json:"duplicated"`       // stamps that came again
	Reordered   uint64              `json:"reordered"`        // messages that came after one of their successors
	Reconnects  int                 `json:"reconnects"`       // connections that opened after an earlier one of their target had failed or ended
	OpenPerS    float64             `json:"open_per_s"`       // connections opened a second, from the first dial to the last head
	Connect     *timing.Percentiles `json:"connect_ms"`       // from dial to connected; this and the next two are null where nothing was measured
	TTFB        *timing.Percentiles `json:"ttfb_ms"`          // from connected, when the request leaves, to the first byte
	Latency     *timing.Percentiles `json:"latency_ms"`       // from due, as the stamp says, to received
	ByDue       *timing.Buckets     `json:"by_due,omitempty"` // Messages by the time at which they were due; nil without Config.ByDue
}

// Held reports whether the run did what was asked: a connection to every target was open at the end.
func (r Result) Held() bool { return r.Open == r.Asked }

// Progress is how a run is getting on. Open, Failed, and so on mean what they mean in Result, so far.
type Progress struct {
	Asked       int                 `json:"asked"`
	Open        int                 `json:"open"`
	Failed      int                 `json:"failed"`
	ClosedEarly int                 `json:"closed_early"`
	Chunks      uint64              `json:"chunks"`
	Messages    uint64              `json:"messages"`
	Duplicated  uint64              `json:"duplicated"`
	Reconnects  int                 `json:"reconnects"`
	Bytes       uint64              `json:"bytes"`
	Phase       Phase               `json:"phase"`
	Latency     *timing.Percentiles `json:"latency_ms"`
}

// Phase is where a run stands.
type Phase string

// The phases of a run, in their order.
const (
	Ramp  Phase = "ramp"  // connections are being opened
	Hold  Phase = "hold"  // every connection is open or has failed
	Drain Phase = "drain" // connections are being closed
)

// tally is what a loop counts, or the sum of several.
type tally struct {
	failed, closed         map[cause]int
	open                   int // now
	tried, opened          int // first handshakes that are over; those of them that were successful
	reconnects             int
	chunks, bytes          uint64
	messages, duplicated   uint64
	reordered              uint64
	missing                int64
	lastOpened             int64 // ns since the epoch
	connect, ttfb, latency timing.Histogram
	due                    *timing.Buckets // nil: nobody asked
}

// newTally returns an empty tally, which counts messages by their due time if byDue is more than zero.
func newTally(byDue time.Duration) *tally {
	t := &tally{failed: map[cause]int{}, closed: map[cause]int{},
		connect: timing.New(), ttfb: timing.New(), latency: timing.New()}
	if byDue > 0 {
		t.due = timing.NewBuckets(byDue)
	}
	return t
}

// reset makes t as new but for its due, which it loses. It keeps its histograms: they are large.
func (t *tally) reset() {
	clear(t.failed)
	clear(t.closed)
	for _, h := range []timing.Histogram{t.connect, t.ttfb, t.latency} {
		h.Reset()
	}
	*t = tally{failed: t.failed, closed: t.closed, connect: t.connect, ttfb: t.ttfb, latency: t.latency}
}

// add adds what o counted.
func (t *tally) add(o *tally) {
	for c, n := range o.failed {
		t.failed[c] += n
	}
	for c, n := range o.closed {
		t.closed[c] += n
	}
	t.open += o.open
	t.tried += o.tried
	t.opened += o.opened
	t.reconnects += o.reconnects
	t.chunks += o.chunks
	t.bytes += o.bytes
	t.messages += o.messages
	t.duplicated += o.duplicated
	t.reordered += o.reordered
	t.missing += o.missing
	t.lastOpened = max(t.lastOpened, o.lastOpened)
	t.connect.Merge(o.connect)
	t.ttfb.Merge(o.ttfb)
	t.latency.Merge(o.latency)
	if t.due != nil && o.due != nil {
		_ = t.due.Merge(o.due) // all of a run have one step, and another is all that it could complain of
	}
}

func (t *tally) result(asked int, began int64) Result {
	r := Result{
		Asked: asked, Open: t.open,
		Chunks: t.chunks, Messages: t.messages, Bytes: t.bytes,
		Missing: uint64(max(t.missing, 0)), Duplicated: t.duplicated, Reordered: t.reordered, Reconnects: t.reconnects, ByDue: t.due,
		Connect: t.connect.Percentiles(), TTFB: t.ttfb.Percentiles(), Latency: t.latency.Percentiles(),
	}
	r.Failed, r.FailedBy = byWord(t.failed)
	r.ClosedEarly, r.ClosedBy = byWord(t.closed)
	if took := t.lastOpened - began; t.opened > 0 && took > 0 {
		r.OpenPerS = math.Round(float64(t.opened)/time.Duration(took).Seconds()*10) / 10
	}
	return r
}

func (t *tally) progress(asked int, phase Phase) Progress {
	p := Progress{Asked: asked, Open: t.open, Phase: phase,
		Chunks: t.chunks, Messages: t.messages, Duplicated: t.duplicated, Reconnects: t.reconnects,
		Bytes: t.bytes, Latency: t.latency.Percentiles()}
	p.Failed, _ = byWord(t.failed)
	p.ClosedEarly, _ = byWord(t.closed)
	return p
}

func byWord(m map[cause]int) (sum int, words map[string]int) {
	words = make(map[string]int, len(m))
	for c, n := range m {
		words[string(c)] += n
		sum += n
	}
	return sum, words
}
