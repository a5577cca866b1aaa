package flood

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"cometctl/internal/wire"
)

// about is the Redial of a time.
func about(d time.Duration) Redial { return Redial{Policy: PolicyAbout, First: d} }

// redialAfter makes r dial again after about d.
func (r *rig) redialAfter(d time.Duration) { r.redialBy(about(d)) }

// redialBy makes r dial again, with what is drawn by seed 1.
func (r *rig) redialBy(redial Redial) {
	r.plan.redial, r.plan.seed = redial, 1
	r.lane = newLane(r.plan, 0)
	r.fakeLoop.h = handler{r.lane}
}

// again lets the time pass after which everything that waits is due.
func (r *rig) again() {
	r.now += int64(r.plan.redial.First) * 3 / 2
	r.dialAll()
}

// A connection's sequences are its target's: what came twice, on two connections, is repeated; what came on none is missing.
func TestReconnectKeepsSequences(t *testing.T) {
	r := newRig(t, 2, "http://127.0.0.1:8000/test/{1..2}")
	r.redialAfter(time.Second)
	r.plan.byDue = time.Second
	r.lane.tally = NewTally(time.Second)
	r.dialAll()
	for c := range r.conns {
		r.open(r.conns[c])
		r.read(r.conns[c], okHead)
	}
	due := r.now
	say := func(id string, seq uint64) string { return message(testRun, id, seq, due) }
	other := testRun + 1 // a second worker's messages are followed in a window of their own
	r.read(1, say("1", 1)+say("1", 2)+say("1", 4)+message(other, "1", 1, due)+say("1", 5)[:50])
	r.hangUp(1, io.EOF)
	r.hangUp(2, io.EOF) // it has received nothing yet, and the run began after it was open
	if r.lane.dialing != 0 || r.lane.wake() < r.now+5e8 || r.lane.wake() > r.now+15e8 {
		t.Errorf("%d dialing, awake %d ns from now, want 0 and 0.5 s to 1.5 s", r.lane.dialing, r.lane.wake()-r.now)
	}
	r.now += 5e8 - 1
	if r.dialAll(); len(r.conns) != 2 {
		t.Fatal("dialed again too early")
	}
	r.again()
	if len(r.conns) != 4 || r.lane.wake() != 0 {
		t.Fatalf("%d connections, want two more", len(r.conns))
	}
	again := map[string]int{} // by path: the connection
	for c := 3; c <= 4; c++ {
		r.open(r.conns[c-1])
		r.read(r.conns[c-1], okHead)
		again[r.written[c-1][:len("GET /test/1")]] = c
	}
	r.read(r.conns[again["GET /test/1"]-1], say("1", 4)+say("1", 5)+say("1", 3)+message(other, "1", 1, due)+message(other, "1", 3, due))
	r.read(r.conns[again["GET /test/2"]-1], say("2", 3))
	got := r.result()
	if got.Open != 2 || got.ClosedEarly != 2 || got.Failed != 0 || got.Reconnects != 2 || !got.Held() {
		t.Errorf("result %+v, want 2 open, 2 closed early, 2 reconnects", got)
	}
	// 1: 1 2 4 5 3, with 4 again; the other worker's 1 3, with 1 again and without 2; 2: 3 without 1 and 2.
	if got.Messages != 5+2+1 || got.Duplicated != 2 || got.Reordered != 1 || got.Missing != 1+2 {
		t.Errorf("%d messages, %d duplicated, %d reordered, %d missing; want 8, 2, 1, 3", got.Messages, got.Duplicated, got.Reordered, got.Missing)
	}
	for _, n := range got.ByDue.All() {
		if n != 8 {
			t.Errorf("%d messages by due time, want the 8 that are distinct", n)
		}
	}
	if n := r.parking.past.Len(); n != 0 {
		t.Errorf("%d records of targets that wait are left, though none waits", n)
	}
}

// What fails is tried again, and fails again, until it does not: each time counts, and the ramp is over after the first.
func TestReconnectAfterFailures(t *testing.T) {
	r := newRig(t, 1, "http://127.0.0.1:8000/test/1")
	r.redialAfter(time.Second)
	r.refuse = errNoPorts()
	if r.dialAll(); !r.settled || len(r.conns) != 0 {
		t.Fatalf("settled %v, %d connections", r.settled, len(r.conns))
	}
	r.again()
	r.refuse = nil
	r.again()
	r.hangUp(1, errRefused())
	r.again()
	r.open(2)
	r.read(2, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
	r.again()
	r.open(3)
	r.read(3, okHead+message(testRun, "1", 2, r.now)) // there was no connection to which 1 was owed
	got := r.result()
	if got.Failed != 4 || got.FailedBy["no ports"] != 2 || got.FailedBy["refused"] != 1 || got.FailedBy["status 503"] != 1 {
		t.Errorf("failed by %v", got.FailedBy)
	}
	if got.Open != 1 || got.Reconnects != 1 || got.OpenPerS != 0 || got.Missing != 0 {
		t.Errorf("result %+v, want 1 open, which is no part of the ramp", got)
	}
	if r.lane.tally.tried != 1 || r.lane.tally.opened != 0 || r.lane.trying != 0 {
		t.Errorf("%d tried, %d opened", r.lane.tally.tried, r.lane.tally.opened)
	}
	r.lane.stop(r.fakeLoop)
	if r.again(); len(r.conns) != 3 || r.lane.wake() != 0 {
		t.Error("dialed after the end")
	}
}

// Handshakes stay bounded, and who waits for one is not forgotten.
func TestReconnectBound(t *testing.T) {
	r := newRig(t, 2, "http://127.0.0.1:8000/test/{1..5}")
	r.redialAfter(time.Second)
	r.dialAll()
	for c := 0; c < len(r.conns); c++ {
		r.hangUp(r.conns[c], errRefused())
	}
	if len(r.conns) != 5 || !r.settled {
		t.Fatalf("%d dialed, settled %v", len(r.conns), r.settled)
	}
	r.again()
	if len(r.conns) != 7 || r.lane.wake() < r.now+int64(fullPause) {
		t.Errorf("%d dialed, want two more; awake in %d ns", len(r.conns), r.lane.wake()-r.now)
	}
	for c := 5; c < len(r.conns); c++ {
		r.open(r.conns[c])
		r.read(r.conns[c], okHead)
	}
	if got := r.result(); got.Open != 5 || got.Reconnects != 5 || got.Failed != 5 {
		t.Errorf("result %+v, want all 5 open in the end", got)
	}
}

// A server that cuts everybody off gets them back.
func TestRunReconnects(t *testing.T) {
	for _, engine := range engines() {
		c := newComet(t)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var once sync.Once
		every, watch := until(cancel, func(p Progress) bool { return p.Reconnects == 20 && p.Open == 20 })
		got, err := flooded(t, ctx, Config{Engine: engine, Loops: 2, Redial: about(10 * time.Millisecond), Every: every, Watch: func(p Progress) {
			if p.Phase == Hold {
				once.Do(c.CloseClientConnections)
			}
			watch(p)
		}}, c.URL+"/test/{1..20}")
		cancel()
		if err != nil || !got.Held() || got.ClosedEarly != 20 || got.Reconnects != 20 || got.Failed != 0 {
			t.Errorf("%s: error %v, result %+v; want 20 closed early and 20 open", engine, err, got)
		}
	}
}

// Nobody listens: without --reconnect that would be the end. The hold begins all the same.
func TestRunReconnectsInVain(t *testing.T) {
	c := newComet(t)
	got, err := flooded(t, t.Context(), Config{Redial: about(time.Millisecond), Hold: 30 * time.Millisecond}, c.URL+"/busy/{1..3}")
	if errors.Is(err, ErrAllEnded) || got.Open != 0 || got.Failed <= 3 || got.Failed != got.FailedBy["status 503"] || got.Reconnects != 0 {
		t.Errorf("error %v, result %+v; want more than 3 failures", err, got)
	}
}

// Distinct messages are counted by due time, however they came.
func TestByDue(t *testing.T) {
	r := newRig(t, 1, "http://127.0.0.1:8000/")
	r.plan.byDue = 100 * time.Millisecond
	r.lane.tally = NewTally(r.plan.byDue)
	r.dialAll()
	r.open(1)
	r.read(1, okHead)
	run := wire.NewRunTag(time.Unix(0, testStart), 0)
	for _, m := range []struct {
		seq uint64
		due int64
	}{{1, 0}, {2, 50e6}, {2, 50e6}, {4, 150e6}, {3, 99e6}} {
		r.read(1, message(run, "1", m.seq, testStart+m.due))
	}
	var got []int64
	for from, n := range r.result().ByDue.All() {
		got = append(got, (from-testStart)/1e6, n)
	}
	if len(got) != 4 || got[0] != 0 || got[1] != 3 || got[2] != 100 || got[3] != 1 {
		t.Errorf("ms from the start and messages: %v, want 0 3 100 1", got)
	}
}
