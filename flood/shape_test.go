package flood

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/pace"
	"cometctl/internal/ramp"
)

// shapedRig is a rig with the shape of cfg.
func shapedRig(t testing.TB, cfg Config, redial Redial, urls ...string) *rig {
	t.Helper()
	r := newRig(t, maxTargets, urls...)
	cfg.Targets = r.plan.targets
	o, err := cfg.Outline()
	if err != nil {
		t.Fatal(err)
	}
	r.plan.form, r.plan.redial = o.form, redial
	r.lane = newLane(r.plan, 0)
	r.fakeLoop.h = handler{r.lane}
	return r
}

func rampOf(t testing.TB, s string) ramp.Ramp {
	t.Helper()
	r, err := ramp.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seats lets so many seats fall due now.
func (r *rig) seats(n int) {
	r.lane.take(r.fakeLoop, &dues{seats: make([]seat, n)})
}

func (r *rig) closings(n int) { r.lane.take(r.fakeLoop, &dues{closes: n, stage: 0}) }

func (r *rig) answer(conns ...netloop.Conn) {
	for _, c := range conns {
		r.open(c)
		r.read(c, okHead)
	}
}

// path is what connection c has asked for.
func (r *rig) path(c netloop.Conn) string { return strings.Fields(r.written[c-1])[1] }

// A connection that has lived is replaced by one to the same target, which is a new listener: nothing that was sent before it is missing.
func TestLifetime(t *testing.T) {
	r := shapedRig(t, Config{Lifetime: ramp.Lifetime{Mean: time.Second}}, Redial{}, "http://127.0.0.1:8000/test/{1..2}")
	r.dialAll()
	r.answer(1, 2)
	if r.deadlines[0] != time.Second || !r.settled {
		t.Fatalf("deadline %v, settled %v", r.deadlines[0], r.settled)
	}
	r.read(1, message(testRun, "1", 1, r.now)+message(testRun, "1", 3, r.now)) // 2 is missing
	r.now += 1e9
	r.h.Expired(r.fakeLoop, 1)
	if len(r.conns) != 3 || r.live(1) || len(r.plan.changed) != 1 {
		t.Fatalf("%d connections, the first live: %v", len(r.conns), r.live(1))
	}
	if got := r.result(); got.Open != 1 || got.Opened != 2 || got.Retired != 1 || got.Replaced != 0 {
		t.Errorf("between two: %+v", got)
	}
	r.now = testStart + 5e9
	r.answer(3)
	if r.path(3) != "/test/1" {
		t.Errorf("the replacement asks for %s", r.path(3))
	}
	r.read(3, message(testRun, "1", 9, r.now)+message(testRun, "1", 10, r.now))
	got := r.result()
	if got.Open != 2 || got.Opened != 3 || got.Retired != 1 || got.Replaced != 1 || got.Reconnects+got.ClosedEarly+got.Failed != 0 || !got.Held() {
		t.Errorf("result %+v", got)
	}
	if got.Messages != 4 || got.Missing != 1 || got.Duplicated+got.Reordered != 0 {
		t.Errorf("%d messages, %d missing, want 4 and 1", got.Messages, got.Missing)
	}
	if s := r.lane.tally.shape; s.expired != 1 || s.lived != 1e9 {
		t.Errorf("%d have lived for %d ns", s.expired, s.lived)
	}
	if r.lane.tally.tried != 2 || r.lane.tally.opened != 2 {
		t.Errorf("tried %d, opened %d: replacements are no first connections", r.lane.tally.tried, r.lane.tally.opened)
	}
}

// What ends early is lost, with or without a lifetime; what has no answer in time has not lived.
func TestLifetimeLoses(t *testing.T) {
	r := shapedRig(t, Config{Lifetime: ramp.Lifetime{Mean: time.Second}}, Redial{}, "http://127.0.0.1:8000/test/{1..3}")
	r.dialAll()
	r.answer(1, 2)
	r.h.Expired(r.fakeLoop, 3) // no head
	r.hangUp(1, io.EOF)
	r.h.Expired(r.fakeLoop, 2)
	r.hangUp(4, errRefused())
	got := r.result()
	if len(r.conns) != 4 || got.Open != 0 || got.Failed != 2 || got.FailedBy["timeout"] != 1 || got.FailedBy["refused"] != 1 || got.ClosedEarly != 1 || got.Retired != 1 {
		t.Errorf("%d connections, result %+v", len(r.conns), got)
	}
}

// The first that was opened is the first to be closed, whatever has become of those before it; targets are taken in turn.
func TestSeats(t *testing.T) {
	r := shapedRig(t, Config{Ramp: rampOf(t, "0..7 in 1s; to 0 in 1s")}, Redial{}, "http://127.0.0.1:8000/test/{1..3}")
	r.seats(4)
	if len(r.conns) != 4 || r.settled {
		t.Fatalf("%d connections, settled %v", len(r.conns), r.settled)
	}
	r.answer(1, 2, 4) // 3 has no answer yet
	for c, want := range map[netloop.Conn]string{1: "/test/1", 2: "/test/2", 4: "/test/1"} {
		if r.path(c) != want {
			t.Errorf("connection %d asks for %s, want %s", c, r.path(c), want)
		}
	}
	r.hangUp(2, io.EOF)
	r.closings(1)
	if r.live(1) || !r.live(3) || !r.live(4) {
		t.Error("another one was closed than the first")
	}
	r.closings(2) // the one that is lost, and the one that has no answer
	got := r.result()
	if r.live(3) || !r.live(4) || got.Open != 1 || got.Retired != 1 || got.ClosedEarly != 1 || got.FailedBy["taken back"] != 1 || !r.settled {
		t.Errorf("settled %v, result %+v", r.settled, got)
	}
	r.seats(3)
	if r.answer(5, 6, 7); r.path(5) != "/test/2" || r.path(7) != "/test/1" {
		t.Errorf("%s, %s", r.path(5), r.path(7))
	}
	if s := r.lane.tally.shape; s.rows[0].opened != 6 || s.rows[0].closed != 2 || r.lane.tally.opened != 6 || r.lane.tally.tried != 7 {
		t.Errorf("row %+v, %d opened, %d tried", s.rows[0], r.lane.tally.opened, r.lane.tally.tried)
	}
	r.closings(4)
	if got = r.result(); got.Open != 0 || got.Opened != 6 || got.Opened != got.Open+got.ClosedEarly+got.Retired {
		t.Errorf("result %+v", got)
	}
	tally := NewTally(0)
	if r.lane.snapshot(tally); tally.shape.due != 7 || tally.shape.wanted != 0 {
		t.Errorf("%d due, %d wanted", tally.shape.due, tally.shape.wanted)
	}
}

// What waits to be dialed again keeps its seat, and is forgotten when that is given up.
func TestSeatsAgain(t *testing.T) {
	r := shapedRig(t, Config{Ramp: rampOf(t, "0..3 in 1s; to 0 in 1s"), Lifetime: ramp.Lifetime{Mean: time.Minute}},
		Redial{Policy: PolicyAbout, First: time.Second}, "http://127.0.0.1:8000/test/{1..3}")
	r.seats(3)
	r.answer(1, 2, 3)
	r.read(1, message(testRun, "1", 1, r.now))
	r.hangUp(1, io.EOF)
	r.hangUp(2, io.EOF)
	r.closings(1)
	if r.again(); len(r.conns) != 4 || r.parking.past.Len() != 1 || len(r.shape.parked) != 0 {
		t.Fatalf("%d connections, %d wait, want one more and one to dial", len(r.conns), r.parking.past.Len())
	}
	r.answer(4)
	if r.path(4) != "/test/2" {
		t.Errorf("%s was dialed again", r.path(4))
	}
	r.h.Expired(r.fakeLoop, 3)
	r.answer(5)
	got := r.result()
	if got.Open != 2 || got.Reconnects != 1 || got.Replaced != 1 || got.Retired != 1 || got.Opened != 5 || got.ClosedEarly != 2 {
		t.Errorf("result %+v", got)
	}
	r.closings(2)
	if got = r.result(); got.Open != 0 || r.live(4) || r.live(5) || got.Retired != 3 || len(r.conns) != 5 {
		t.Errorf("%d connections, result %+v", len(r.conns), got)
	}
	if r.tracker.more.Len() != 0 || r.parking.past.Len() != 0 {
		t.Error("something was not given back")
	}
}

// A target that is being dialed again when its seat is given up leaves nothing behind.
func TestSeatsGivenUpAgain(t *testing.T) {
	r := shapedRig(t, Config{Ramp: rampOf(t, "0..1 in 1s; to 0 in 1s")}, Redial{Policy: PolicyAbout, First: time.Second}, "http://127.0.0.1:8000/test/1")
	r.seats(1)
	r.answer(1)
	r.read(1, message(testRun, "1", 1, r.now)+message(testRun+1, "1", 1, r.now))
	r.hangUp(1, io.EOF)
	r.again()
	r.closings(1)
	got := r.result()
	if len(r.conns) != 2 || r.live(2) || got.FailedBy["taken back"] != 1 || got.ClosedEarly != 1 || r.parking.past.Len() != 0 || r.tracker.more.Len() != 0 || r.lane.tally.tried != 1 {
		t.Errorf("%d connections, %d wait, %d windows, %+v", len(r.conns), r.parking.past.Len(), r.tracker.more.Len(), got)
	}
}

// A step is opened by so many handshakes at a time; what has its own time is not held up by that bound, and is late when it is dialed late.
func TestHerd(t *testing.T) {
	r := shapedRig(t, Config{Ramp: rampOf(t, "step 100; spike 5 in 1s")}, Redial{}, "http://127.0.0.1:8000/test/{1..3}")
	step := &dues{}
	for range 100 {
		step.seats = append(step.seats, seat{step: true, due: r.now - 1e9})
	}
	r.lane.take(r.fakeLoop, step)
	if len(r.conns) != DefaultInFlight {
		t.Fatalf("%d handshakes", len(r.conns))
	}
	for c := netloop.Conn(1); c <= 100; c++ {
		r.answer(c)
	}
	r.lane.take(r.fakeLoop, &dues{stage: 1, seats: []seat{{stage: 1, due: r.now - 10e6}, {stage: 1, due: r.now - 11e6}, {stage: 1, due: r.now - 20e6}}})
	if rows := r.lane.tally.shape.rows; len(r.conns) != 103 || rows[0].late != 0 || rows[1].late != 2 || rows[1].latest != 20e6 {
		t.Errorf("%d connections, rows %+v", len(r.conns), rows)
	}
}

// Who arrives leaves after its lifetime, and nobody takes its place.
func TestArrivalsLane(t *testing.T) {
	r := shapedRig(t, Config{Arrivals: pace.Rate{Events: 10, Per: time.Second}, Lifetime: ramp.Lifetime{Mean: time.Second}}, Redial{}, "http://127.0.0.1:8000/test/{1..2}")
	r.seats(5)
	r.answer(1, 2, 3, 4, 5)
	if r.path(5) != "/test/1" || len(r.shape.seats) != 0 {
		t.Errorf("%s, %d seats", r.path(5), len(r.shape.seats))
	}
	r.h.Expired(r.fakeLoop, 2)
	got := r.result()
	if len(r.conns) != 5 || got.Open != 4 || got.Retired != 1 || got.Replaced != 0 || got.Opened != 5 {
		t.Errorf("%d connections, %+v", len(r.conns), got)
	}
}

// A WebSocket is ended with a frame that says so.
func TestRetireWebSocket(t *testing.T) {
	r := shapedRig(t, Config{Lifetime: ramp.Lifetime{Mean: time.Second}}, Redial{}, "ws://127.0.0.1:8000/ws/1")
	r.dialAll()
	r.open(1)
	r.read(1, r.upgraded(t, 1, "", ""))
	r.h.Expired(r.fakeLoop, 1)
	if got := r.result(); got.Retired != 1 || got.ClosedEarly != 0 || len(r.conns) != 2 || !slices.Equal(r.said(t, 1), []string{"8 \x03\xe9"}) {
		t.Errorf("%+v, said %q", got, r.said(t, 1))
	}
}

func TestRampRuns(t *testing.T) {
	for _, engine := range engines() {
		t.Run(engine, func(t *testing.T) {
			c := newComet(t)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			stages := map[string]bool{}
			cfg := Config{Engine: engine, Loops: 2, Ramp: rampOf(t, "0..40 in 40ms; hold 60ms; 30..10 in 20ms; exp 10..20 in 10ms; step 25; hold 20ms"), End: true, Seed: 3,
				Every: time.Millisecond, Watch: func(p Progress) { stages[p.StageOf+" "+p.Stage] = true }}
			got, err := flooded(t, ctx, cfg, c.URL+"/test/{1..7}")
			if err != nil || ctx.Err() != nil {
				t.Fatal(err, ctx.Err())
			}
			if got.Asked != 55 || got.Open != 25 || got.Opened+got.FailedBy["taken back"] != 55 || got.Retired+got.FailedBy["taken back"] != 30 || !got.Held() || got.ClosedEarly != 0 {
				t.Errorf("result %+v", got)
			}
			if got.Ramp == nil || got.Ramp.Wanted != 25 || got.Ramp.Seed != 3 || len(got.Ramp.Stages) != 6 {
				t.Fatalf("ramp %+v", got.Ramp)
			}
			for i, want := range []Stage{{Wanted: 40, Opens: 40, PerS: 1000}, {Wanted: 40}, {Wanted: 10, Closes: 30, PerS: 1000}, {Wanted: 20, Opens: 10, PerS: 1000}, {Wanted: 25, Opens: 5}, {Wanted: 25}} {
				s := got.Ramp.Stages[i]
				if s.State != StageOver || s.Wanted != want.Wanted || s.Opens != want.Opens || s.Closes != want.Closes || s.PerS != want.PerS {
					t.Errorf("stage %d: %+v, want %+v", i, s, want)
				}
			}
			if s := got.Ramp.Stages[5]; s.Open != 25 || !stages["6/6 hold 20ms"] || !stages["1/6 0..40 in 40ms"] {
				t.Errorf("last stage %+v; seen %v", s, stages)
			}
		})
	}
}

// A ramp that is interrupted says where, and what was not reached.
func TestRampCut(t *testing.T) {
	c := newComet(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	every, watch := until(cancel, func(p Progress) bool { return p.Open == 3 })
	got, err := flooded(t, ctx, Config{Ramp: rampOf(t, "step 3; hold 1h; to 0 in 1s"), Every: every, Watch: watch}, c.URL+"/test/1")
	if err != nil || got.Open != 3 || !got.Held() || got.Asked != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, want := range []string{StageOver, StageCut, StageAhead} {
		if s := got.Ramp.Stages[i]; s.State != want || i < 2 && s.Open != 3 {
			t.Errorf("stage %d: %+v, want it %s", i, s, want)
		}
	}
}

// A ramp whose connections have all gone is over with that, unless it wants none in the end; then it goes on until it is told to stop.
func TestRampAllEnded(t *testing.T) {
	c := newComet(t)
	got, err := flooded(t, t.Context(), Config{Ramp: rampOf(t, "step 3")}, c.URL+"/busy/1")
	if !errors.Is(err, ErrAllEnded) || got.Failed != 3 || got.Held() {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	every, watch := until(cancel, func(p Progress) bool { return p.Phase == Hold })
	got, err = flooded(t, ctx, Config{Ramp: rampOf(t, "step 3; hold 20ms; step 0"), Every: every, Watch: watch}, c.URL+"/test/1")
	if err != nil || got.Open != 0 || got.Retired != 3 || !got.Held() {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestArrivalsRun(t *testing.T) {
	c := newComet(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	every, watch := until(cancel, func(p Progress) bool { return p.Asked > 100 && p.Open > 0 && p.Phase == Hold })
	got, err := flooded(t, ctx, Config{Arrivals: pace.Rate{Events: 500, Per: time.Second}, Lifetime: ramp.Lifetime{Mean: 100 * time.Millisecond, Spread: 50 * time.Millisecond},
		Every: every, Watch: watch, Loops: 2}, c.URL+"/test/{1..7}")
	a := got.Arrivals
	if err != nil || a == nil || a.Due != got.Asked || a.PerS != 500 || a.Expected != 50 || a.Rate != "500/s" || a.Seed == 0 {
		t.Fatalf("%+v, %+v, %v", got, a, err)
	}
	if got.Opened != got.Open+got.Retired || got.Opened > got.Asked || got.Opened < 50 || got.Lifetime == nil || got.Lifetime.Ended != got.Retired || !got.Held() {
		t.Errorf("%+v, lifetime %+v", got, got.Lifetime)
	}
}

func TestOutlineRefuses(t *testing.T) {
	targets, err := LoadTargets([]string{"http://127.0.0.1:8000/{1..10}"}, nil, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	some := pace.Rate{Events: 1, Per: time.Second}
	for name, cfg := range map[string]Config{
		"both":        {Ramp: rampOf(t, "step 1"), Arrivals: some, Lifetime: ramp.Lifetime{Mean: 1}},
		"a pace":      {Ramp: rampOf(t, "step 1"), Pace: some},
		"no lifetime": {Arrivals: some},
		"nobody":      {Ramp: rampOf(t, "hold 1s")},
		"too many":    {Ramp: rampOf(t, "step 268435455; spike 1 in 1s")},
		"files":       {Ramp: rampOf(t, "step 200000000")},
		"crowd":       {Arrivals: pace.Rate{Events: 1e9, Per: time.Second}, Lifetime: ramp.Lifetime{Mean: time.Hour}},
	} {
		cfg.Targets = targets
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The tally of a shape goes through its binary form.
func TestShapeTallyBinary(t *testing.T) {
	s := shapeTally{retired: 1, expired: 2, lived: 3 << 50, replaced: 4, due: 5, wanted: 6, stage: 7, over: 8, until: 9 << 55, rows: []stageRow{{1, 2, 3, 4, 5 << 50, 6 << 55}, {}}}
	b := s.appendTo(nil)
	var o shapeTally
	if rest, ok := o.from(b); !ok || len(rest) != 0 || o.numbers() != s.numbers() || len(o.rows) != 2 || o.rows[0] != s.rows[0] {
		t.Errorf("%+v became %+v", s, o)
	}
	for n := range b {
		if _, ok := new(shapeTally).from(b[:n]); ok {
			t.Errorf("%d of %d bytes were read as a whole", n, len(b))
		}
	}
	o.add(&s)
	if o.due != 10 || o.rows[0].open != 2 || o.rows[0].latest != 5<<50 || o.until != 9<<55 || o.stage != 7 {
		t.Errorf("sum %+v", o)
	}
}
