package flood

import (
	"math"
	"time"

	"cometctl/internal/timing"
)

// Tally is what a run has counted, or the sum of several runs: a Result before its percentiles, so that those of many processes
// can be added up. It belongs to one goroutine. Make it with NewTally.
type Tally struct {
	failed, closed      map[cause]int
	open                int // now
	tried, opened       int // first handshakes that are over; those of them that were successful
	reconnects, resumed int
	chunks, bytes       uint64
	runSums                        // of the messages that count
	runs                []runCount // the same and what does not count, by run; sorted by tag in a sum
	corrupt             uint64
	began, lastOpened   int64 // ns since the epoch: the first dial and the last head of a first connection; 0: none yet
	connect, tls        timing.Histogram
	ttfb, latency       timing.Histogram
	lag, service        timing.Histogram // the two parts of latency
	due                 *timing.Buckets  // nil: nobody asked
	cuts                cuts
	refusals            refusals
	shape               shapeTally
	bad                 bads // who misbehaves; nothing of it is in the rest
}

// NewTally returns an empty Tally, which counts messages by their due time if byDue is more than zero.
func NewTally(byDue time.Duration) *Tally {
	t := &Tally{failed: map[cause]int{}, closed: map[cause]int{},
		connect: timing.New(), tls: timing.New(), ttfb: timing.New(), latency: timing.New(),
		lag: timing.New(), service: timing.New()}
	if byDue > 0 {
		t.due = timing.NewBuckets(byDue)
	}
	return t
}

// Reset makes t as new, but without counts by due time. It keeps its histograms: they are large.
func (t *Tally) Reset() {
	clear(t.failed)
	clear(t.closed)
	for _, h := range t.histograms() {
		h.Reset()
	}
	*t = Tally{failed: t.failed, closed: t.closed, runs: t.runs[:0], connect: t.connect, tls: t.tls, ttfb: t.ttfb, latency: t.latency,
		lag: t.lag, service: t.service}
}

// Add adds what o has counted.
func (t *Tally) Add(o *Tally) {
	t.addCounts(o)
	for i, h := range t.histograms() {
		h.Merge(o.histograms()[i])
	}
	if t.due != nil && o.due != nil {
		_ = t.due.Merge(o.due) // all of a run have one step, and another is all that it could complain of
	}
}

func (t *Tally) addCounts(o *Tally) {
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
	t.resumed += o.resumed
	t.chunks += o.chunks
	t.bytes += o.bytes
	t.runSums.add(o.runSums)
	t.addRuns(o.runs)
	t.corrupt += o.corrupt
	t.cuts.add(&o.cuts)
	t.bad.add(&o.bad)
	t.refusals.add(o.refusals)
	t.began = earlier(t.began, o.began)
	t.lastOpened = max(t.lastOpened, o.lastOpened)
	t.shape.add(&o.shape)
}

// Result is what t makes of a run with so many targets.
func (t *Tally) Result(asked int) Result {
	r := Result{
		Asked: asked, Open: t.open,
		Chunks: t.chunks, Messages: t.messages, Bytes: t.bytes,
		Opened: t.opened + t.reconnects + t.shape.replaced, Retired: t.shape.retired, Replaced: t.shape.replaced,
		Missing: uint64(max(t.missing, 0)), Duplicated: t.duplicated, Reordered: t.reordered, Reconnects: t.reconnects, ByDue: t.due,
		Corrupt: t.corrupt, Late: t.late, Runs: t.resultRuns(), Lag: t.lag.Percentiles(), Service: t.service.Percentiles(),
		Resumed: t.resumed, Connect: t.connect.Percentiles(), TLS: t.tls.Percentiles(), TTFB: t.ttfb.Percentiles(), Latency: t.latency.Percentiles(),
	}
	r.Asked -= t.bad.asked()
	r.Misbehaving = t.bad.results()
	r.Refusals = t.refusals.results(t)
	r.Recovery = t.cuts.recovery(t.began)
	r.Failed, r.FailedBy = byWord(t.failed)
	r.ClosedEarly, r.ClosedBy = byWord(t.closed)
	if took := t.lastOpened - t.began; t.opened > 0 && took > 0 {
		r.OpenPerS = math.Round(float64(t.opened)/time.Duration(took).Seconds()*10) / 10
	}
	return r
}

// Progress is how a run with so many targets, which has counted t, is getting on.
func (t *Tally) Progress(asked int, phase Phase) Progress {
	p := t.Counts(asked, phase)
	p.Latency, p.Lag, p.Service = t.latency.Percentiles(), t.lag.Percentiles(), t.service.Percentiles()
	p.all = [...]timing.Histogram{t.latency, t.lag, t.service}
	return p
}

// Counts is Progress without its percentiles, which cost more than all the rest.
func (t *Tally) Counts(asked int, phase Phase) Progress {
	p := Progress{Asked: asked - t.bad.asked(), Open: t.open, Phase: phase,
		Chunks: t.chunks, Messages: t.messages, Missing: uint64(max(t.missing, 0)), Duplicated: t.duplicated, Reordered: t.reordered,
		Corrupt: t.corrupt, Reconnects: t.reconnects, Bytes: t.bytes}
	p.Failed, _ = byWord(t.failed)
	p.ClosedEarly, _ = byWord(t.closed)
	return p
}

// earlier is the earlier of two times, of which 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Open is how many connections are open.
func (t *Tally) Open() int { return t.open }

// Due is what was counted by due time since the call of Config.Tally before this one; nil where nobody asked for it.
func (t *Tally) Due() *timing.Buckets { return t.due }

// Lose says that the process which was to hold asked connections, and has counted t, is no more: what it held has ended early,
// and what it had not tried yet has failed, both for the same reason.
func (t *Tally) Lose(asked int, why string) {
	if t.open > 0 {
		t.closed[cause(why)] += t.open
		t.open = 0
	}
	t.bad.lose(cause(why))
	if left := asked - t.bad.asked() - t.tried; left > 0 {
		t.failed[cause(why)] += left
		t.tried += left
	}
}

func byWord(m map[cause]int) (sum int, words map[string]int) {
	words = make(map[string]int, len(m))
	for c, n := range m {
		words[string(c)] += n
		sum += n
	}
	return sum, words
}
