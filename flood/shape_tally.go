package flood

import (
	"encoding/binary"
	"math"
	"time"

	"cometctl/internal/ramp"
)

// shapeTally is the part of a Tally that is about the shape of a run.
type shapeTally struct {
	retired  int   // connections that were open and that flood has ended itself, by plan
	expired  int   // those of them that had lived their time
	lived    int64 // ns: how long those were open, all together
	replaced int   // connections that have opened in the place of one that had lived
	due      int   // connections that have fallen due by the schedule
	wanted   int   // of them, those whose seat was not given up
	stage    int   // the one that is under way, from 1; 0: none is yet
	over     int   // stages whose end was looked at
	until    int64 // ns since the epoch: when the counts were taken
	rows     []stageRow
}

// stageRow is what a stage of the schedule has come to.
type stageRow struct {
	open    int   // connections that were open at its end
	opened  int   // first connections of its seats that have opened
	closed  int   // connections that it has closed
	late    int   // dials that began more than lateAfter behind their time
	latest  int64 // ns: of those the latest
	changed int64 // ns since the epoch: the last of opened or closed
}

func (s *shapeTally) late(stage int, by time.Duration) {
	s.rows[stage].late++
	s.rows[stage].latest = max(s.rows[stage].latest, int64(by))
}

func (s *shapeTally) opened(stage int, now int64) {
	s.rows[stage].opened++
	s.rows[stage].changed = now
}

func (s *shapeTally) closed(stage int, now int64) {
	s.rows[stage].closed++
	s.rows[stage].changed = now
}

// add adds what o has counted; it may have no rows yet.
func (s *shapeTally) add(o *shapeTally) {
	s.retired += o.retired
	s.expired += o.expired
	s.lived += o.lived
	s.replaced += o.replaced
	s.due += o.due
	s.wanted += o.wanted
	s.stage, s.over, s.until = max(s.stage, o.stage), max(s.over, o.over), max(s.until, o.until)
	for len(s.rows) < len(o.rows) {
		s.rows = append(s.rows, stageRow{})
	}
	for i := range o.rows {
		a, b := &s.rows[i], &o.rows[i]
		a.open += b.open
		a.opened += b.opened
		a.closed += b.closed
		a.late += b.late
		a.latest, a.changed = max(a.latest, b.latest), max(a.changed, b.changed)
	}
}

// numbers are the counts in the order in which they are written, but for the rows.
func (s *shapeTally) numbers() [9]int64 {
	return [...]int64{int64(s.retired), int64(s.expired), s.lived, int64(s.replaced), int64(s.due), int64(s.wanted), int64(s.stage), int64(s.over), s.until}
}

func (r *stageRow) numbers() [6]int64 {
	return [...]int64{int64(r.open), int64(r.opened), int64(r.closed), int64(r.late), r.latest, r.changed}
}

func (s *shapeTally) appendTo(dst []byte) []byte {
	for _, n := range s.numbers() {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.rows)))
	for i := range s.rows {
		for _, n := range s.rows[i].numbers() {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	return dst
}

// maxRows bounds the stages of a tally from elsewhere.
const maxRows = 1000

// from reads what appendTo has written.
func (s *shapeTally) from(b []byte) (rest []byte, ok bool) {
	n := s.numbers()
	if b, ok = cutNumbers(b, n[:], 2, 8); !ok {
		return b, false
	}
	*s = shapeTally{retired: int(n[0]), expired: int(n[1]), lived: n[2], replaced: int(n[3]), due: int(n[4]), wanted: int(n[5]),
		stage: int(n[6]), over: int(n[7]), until: n[8]}
	rows, b, ok := cutUvarint(b, min(maxRows, len(b)))
	if !ok || s.stage > maxRows || s.over > maxRows {
		return b, false
	}
	for range rows {
		var r [6]int64
		if b, ok = cutNumbers(b, r[:], 4, 5); !ok {
			return b, false
		}
		s.rows = append(s.rows, stageRow{open: int(r[0]), opened: int(r[1]), closed: int(r[2]), late: int(r[3]), latest: r[4], changed: r[5]})
	}
	return b, true
}

// cutNumbers reads numbers up to maxNumber; those at the indexes that are times may be any.
func cutNumbers(b []byte, into []int64, times ...int) (rest []byte, ok bool) {
	for i := range into {
		most := uint64(maxNumber)
		for _, at := range times {
			if i == at {
				most = math.MaxInt64
			}
		}
		v, n := binary.Uvarint(b)
		if n <= 0 || v > most {
			return b, false
		}
		into[i], b = int64(v), b[n:]
	}
	return b, true
}

// RampResult is what a run with a Ramp was asked for, and what it came to.
type RampResult struct {
	Ramp   string  `json:"ramp"`
	Seed   uint64  `json:"seed"`
	Wanted int     `json:"wanted"` // connections that were wanted when the run ended
	Stages []Stage `json:"stages"`
}

// Stage is a stage of a ramp: what was asked beside what was achieved.
type Stage struct {
	Stage    string  `json:"stage"`
	State    string  `json:"state"` // StageOver, StageCut or StageAhead
	BeginS   float64 `json:"begin_s"`
	LengthS  float64 `json:"length_s"`
	Wanted   int     `json:"wanted"` // connections at its end
	Open     int     `json:"open"`   // connections that were open then, or when it was cut short
	Opens    int     `json:"opens"`  // connections that it was to open
	Opened   int     `json:"opened"` // those of them that have opened, whenever that was; dialing again does not count
	Closes   int     `json:"closes"` // connections that it was to close
	Closed   int     `json:"closed"` // those of them that there were to close
	PerS     float64 `json:"per_s"`  // openings, or closings, a second that were asked; 0: none, or all at once
	DonePerS float64 `json:"done_per_s"`
	Late     int     `json:"late"`      // dials that began more than 10 ms after they were due: this process's own fault
	LatestMS float64 `json:"latest_ms"` // the latest of these
}

// The states of a Stage.
const (
	StageOver  = "over"
	StageCut   = "cut short"   // the run has ended in it
	StageAhead = "not reached" // the run has ended before it
)

// ArrivalsResult is what a run with Arrivals was asked for, and what it came to.
type ArrivalsResult struct {
	Rate     string  `json:"rate"`
	Seed     uint64  `json:"seed"`
	PerS     float64 `json:"per_s"`      // arrivals a second that were asked, on average
	DuePerS  float64 `json:"due_per_s"`  // that have fallen due
	DonePerS float64 `json:"done_per_s"` // that have opened
	Due      int     `json:"due"`
	Opened   int     `json:"opened"`
	Late     int     `json:"late"`      // dials that began more than 10 ms after they were due: this process's own fault
	LatestMS float64 `json:"latest_ms"` // the latest of these
	Expected float64 `json:"expected"`  // connections that are open in the long run: rate times lifetime (Little's law)
	Open     int     `json:"open"`      // that were open in the end
}

// LifetimeResult is how long connections were to live, and did.
type LifetimeResult struct {
	Asked    string  `json:"asked"`
	Ended    int     `json:"ended"`    // connections that had lived
	MeanS    float64 `json:"mean_s"`   // how long they did, on average
	Replaced int     `json:"replaced"` // connections that have opened in their places
}

// complete makes r, which a run has found or several together, tell of its shape.
func (o *Outline) complete(r *Result, t *Tally) {
	s := &t.shape
	if o.form == nil {
		return
	}
	began := t.began
	if lifetime := o.lifetime; !lifetime.None() {
		r.Lifetime = &LifetimeResult{Asked: lifetime.String(), Ended: s.expired, Replaced: s.replaced}
		if s.expired > 0 {
			r.Lifetime.MeanS = round3(time.Duration(s.lived / int64(s.expired)).Seconds())
		}
	}
	if o.schedule == nil {
		return
	}
	for len(s.rows) < len(o.schedule.Stages()) {
		s.rows = append(s.rows, stageRow{})
	}
	ran := time.Duration(max(s.until-began, 0))
	if o.arrivals {
		row, st := s.rows[0], o.schedule.Stages()[0]
		r.Asked = s.due
		r.Arrivals = &ArrivalsResult{Rate: o.rate, Seed: o.seed, PerS: round3(st.PerSecond), Due: s.due, Opened: row.opened, Late: row.late,
			LatestMS: inMS(row.latest), Expected: round3(st.PerSecond * o.lifetime.Mean.Seconds()), Open: t.open,
			DuePerS: perSecond(s.due, ran), DonePerS: perSecond(row.opened, ran)}
		return
	}
	r.Ramp = &RampResult{Ramp: o.ramp.String(), Seed: o.seed, Wanted: s.wanted}
	for i, st := range o.schedule.Stages() {
		r.Ramp.Stages = append(r.Ramp.Stages, stageResult(st, s.rows[i], stageState(s, i), began, ran))
	}
}

// timed is how many connections were to be dialed at times of their own, and how many of them were late.
func (r *Result) timed() (n, late int) {
	if r.Arrivals != nil {
		return r.Arrivals.Due, r.Arrivals.Late
	}
	if r.Ramp != nil {
		for _, s := range r.Ramp.Stages {
			if s.State != StageAhead && s.PerS > 0 {
				n, late = n+s.Opened, late+s.Late
			}
		}
	}
	return n, late
}

func stageState(s *shapeTally, i int) string {
	switch {
	case i < s.over:
		return StageOver
	case i < s.stage:
		return StageCut
	}
	return StageAhead
}

// stageResult lays what a stage came to beside what it was asked. Its rate is over its length, as far as the run went, or over as long as it took.
func stageResult(st ramp.Stage, row stageRow, state string, began int64, ran time.Duration) Stage {
	took := max(min(st.Length, ran-st.Begin), time.Duration(row.changed-began)-st.Begin, 0)
	return Stage{Stage: st.Text, State: state, BeginS: round3(st.Begin.Seconds()), LengthS: round3(st.Length.Seconds()),
		Wanted: st.Wanted, Open: row.open, Opens: st.Opens, Opened: row.opened, Closes: st.Closes, Closed: row.closed,
		PerS: round3(st.PerSecond), DonePerS: perSecond(row.opened+row.closed, took), Late: row.late, LatestMS: inMS(row.latest)}
}

func perSecond(n int, in time.Duration) float64 {
	if n == 0 || in <= 0 {
		return 0
	}
	return round3(float64(n) / in.Seconds())
}

func inMS(ns int64) float64 { return round3(float64(ns) / 1e6) }

func round3(x float64) float64 { return math.Round(x*1000) / 1000 }
