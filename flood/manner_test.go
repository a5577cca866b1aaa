package flood

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseMisconduct(t *testing.T) {
	for _, c := range []struct {
		m    Manner
		text string
		want Misconduct
	}{
		{Slow, "5%", Misconduct{Percent: 5, Rate: 1024}},
		{Slow, "5%@1KiB/s", Misconduct{Percent: 5, Rate: 1024}},
		{Slow, "0.1%@1.5KB/s", Misconduct{Percent: 0.1, Rate: 1500}},
		{Slow, "1%@1GiB/s", Misconduct{Percent: 1, Rate: 1 << 30}},
		{Slow, "1%@7B/s", Misconduct{Percent: 1, Rate: 7}},
		{Stall, "99.5%", Misconduct{Percent: 99.5}},
		{Abort, "1%", Misconduct{Percent: 1, Every: 5 * time.Second}},
		{Abort, "1%@200ms", Misconduct{Percent: 1, Every: 200 * time.Millisecond}},
		{HalfOpen, "1%", Misconduct{Percent: 1}},
		{Slowloris, "2%", Misconduct{Percent: 2, Every: time.Second}},
		{Slowloris, "2%@1m", Misconduct{Percent: 2, Every: time.Minute}},
	} {
		if got, err := ParseMisconduct(c.m, c.text); err != nil || got != c.want {
			t.Errorf("%v %q: %+v, %v; want %+v", c.m, c.text, got, err, c.want)
		}
	}
	for _, c := range []struct {
		m          Manner
		text, want string
	}{
		{Slow, "", `"": "" at 0 is no share of more than 0% and less than 100%; give a share of all connections, such as 5%`},
		{Slow, "5", `"5": "5" at 0 is no share`},
		{Slow, "5@1KiB/s", `"5@1KiB/s": "5" at 0 is no share`},
		{Slow, "0%", `"0%": "0%" at 0 is no share`},
		{Slow, "100%", `"100%": "100%" at 0 is no share`},
		{Slow, "-1%", `"-1%": "-1%" at 0 is no share`},
		{Slow, "NaN%", `"NaN%": "NaN%" at 0 is no share`},
		{Slow, "5%@", `"5%@": "" at 3 is no rate of 1B/s to 1GiB/s; give bytes a second`},
		{Slow, "5%@1KiB", `"5%@1KiB": "1KiB" at 3 is no rate`},
		{Slow, "5%@0.5B/s", `"5%@0.5B/s": "0.5B/s" at 3 is no rate`},
		{Slow, "5%@2GiB/s", `"5%@2GiB/s": "2GiB/s" at 3 is no rate`},
		{Slow, "5%@NaNB/s", `"5%@NaNB/s": "NaNB/s" at 3 is no rate`},
		{Slow, "5%@fast/s", `"5%@fast/s": "fast/s" at 3 is no rate`},
		{Stall, "5%@1s", `"5%@1s": "@1s" at 2 is one word too many`},
		{HalfOpen, "5%@", `"5%@": "@" at 2 is one word too many`},
		{Abort, "10%@soon", `"10%@soon": "soon" at 4 is no time from 1ms to 24h0m0s; give a time, such as 5s`},
		{Abort, "10%@0s", `"10%@0s": "0s" at 4 is no time`},
		{Slowloris, "1%@25h", `"1%@25h": "25h" at 3 is no time`},
	} {
		if got, err := ParseMisconduct(c.m, c.text); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v %q: %+v, error %v; want %s", c.m, c.text, got, err, c.want)
		}
	}
}

func FuzzMisconduct(f *testing.F) {
	for _, s := range []string{"5%@1KiB/s", "1%", "0.5%@200ms", "@", "%@/s"} {
		f.Add(uint8(Slow), s)
	}
	f.Fuzz(func(t *testing.T, m uint8, s string) {
		manner := Slow + Manner(m)%(manners-1)
		if c, err := ParseMisconduct(manner, s); err == nil {
			var all Manners
			if all.Set(manner, c); all.Check(1<<20) != nil {
				t.Errorf("%v %q made %+v", manner, s, c)
			}
		}
	})
}

func TestMannersCheck(t *testing.T) {
	with := func(m Manner, c Misconduct) (s Manners) { s.Set(m, c); return s }
	half := with(Stall, Misconduct{Percent: 50})
	half.Set(HalfOpen, Misconduct{Percent: 49})
	if err := half.Check(1000); err != nil {
		t.Error(err)
	}
	if err := half.Check(2); err == nil || !strings.HasPrefix(err.Error(), "flood: of 2 connections 2 would misbehave, which leaves none to be measured") {
		t.Errorf("error %v", err)
	}
	elsewhere := half
	elsewhere.First, elsewhere.Whole = 998, 1000
	if err := elsewhere.Check(2); err != nil {
		t.Error(err) // the others have those who behave
	}
	elsewhere.First = 999
	for _, s := range []Manners{elsewhere, with(Slow, Misconduct{Percent: 1}), with(Stall, Misconduct{Percent: 1, Rate: 5}), with(Abort, Misconduct{Percent: 1}),
		with(Stall, Misconduct{Percent: 100}), with(Stall, Misconduct{Percent: -1}), with(HalfOpen, Misconduct{Percent: 1, Every: time.Second}),
		with(Slowloris, Misconduct{Percent: 1, Every: 48 * time.Hour}), with(Slow, Misconduct{Percent: 1, Rate: 1 << 40})} {
		if s.Check(2) == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
}

// Each share is exact, whatever the number; the seed draws who; and the processes of a fleet have the same cast as one alone.
func TestCast(t *testing.T) {
	var s Manners
	s.Set(Slow, Misconduct{Percent: 5, Rate: 1})
	s.Set(Stall, Misconduct{Percent: 0.1})
	s.Set(Slowloris, Misconduct{Percent: 20, Every: time.Second})
	for n, want := range map[int][manners]int{3: {0, 1, 1, 0, 0, 1}, 10: {6, 1, 1, 0, 0, 2}, 1000: {749, 50, 1, 0, 0, 200}, 4097: {3069, 205, 4, 0, 0, 819}} {
		var manner []Manner
		for seed := range uint64(3) {
			s.Seed, s.First, s.Whole = seed, 0, 0
			c := s.cast(n)
			var got [manners]int
			for i := range n {
				got[c.of(i)]++
			}
			if got != want {
				t.Errorf("%d connections, seed %d: %v, want %v", n, seed, got, want)
			}
			var now []Manner
			for i := range n {
				now = append(now, c.of(i))
			}
			if n >= 1000 && seed > 0 && reflect.DeepEqual(manner, now) {
				t.Errorf("%d connections: seed %d draws what the one before drew", n, seed)
			}
			manner = now
		}
		part := s
		part.First, part.Whole = n/3, n
		c := part.cast(n - n/3)
		for i := range n - n/3 {
			if c.of(i) != manner[n/3+i] {
				t.Fatalf("connection %d of %d is %v in a fleet, %v alone", n/3+i, n, c.of(i), manner[n/3+i])
			}
		}
	}
	// They are spread: of each hundred targets, some are slow.
	c := s.cast(1000)
	for from := 0; from < 1000; from += 250 {
		slow := 0
		for i := range 250 {
			if c.of(from+i) == Slow {
				slow++
			}
		}
		if slow < 3 || slow > 25 {
			t.Errorf("%d of 250 from %d on are slow, of 50 in all", slow, from)
		}
	}
	if none := (Manners{}).cast(10); none.of(3) != Behaves {
		t.Error("somebody misbehaves though nobody was asked to")
	}
}

// misbehaving is a rig whose first connections were dialed to so many targets, and who has which manner.
func misbehaving(t *testing.T, targets int, m Manner, c Misconduct) (r *rig, bad, good []int) {
	t.Helper()
	r = newRig(t, 1000, fmt.Sprintf("http://127.0.0.1:8000/test/{1..%d}", targets))
	r.plan.manners.Set(m, c)
	r.plan.seed, r.plan.manners.Seed = 1, 1
	r.plan.cast = r.plan.manners.cast(targets)
	r.lane = newLane(r.plan, 0)
	r.fakeLoop.h = handler{r.lane}
	r.dialAll()
	for i := range targets {
		if r.plan.cast.of(i) == m {
			bad = append(bad, i)
		} else {
			good = append(good, i)
		}
	}
	return r, bad, good
}

// expire lets a deadline of c pass.
func (r *rig) expire(c int) { r.fakeLoop.h.Expired(r.fakeLoop, r.conns[c]) }

// wakeAll fills all lanes when the next of those that misbehave is due.
func (r *rig) wakeAll() {
	r.now += 2e9
	r.lane.all(func(b *lane) { b.fill(r.fakeLoop) })
}

// What the good ones do is counted as if there were no others.
func TestMannerSlow(t *testing.T) {
	r, bad, good := misbehaving(t, 10, Slow, Misconduct{Percent: 20, Rate: 1000})
	if len(bad) != 2 || len(r.narrow) != 2 || r.narrow[0].Slot() != uint32(bad[0]+1) {
		t.Fatalf("%d of 10 are slow, connections %v narrow; want 2", len(bad), r.narrow)
	}
	for _, c := range r.conns {
		r.open(c)
		r.read(c, okHead)
	}
	for _, i := range good {
		if r.deadlines[i] != 0 || r.held[r.conns[i]] {
			t.Fatalf("connection %d is held", i)
		}
	}
	c := r.conns[bad[0]]
	r.expire(bad[0])
	if r.held[c] {
		t.Error("held for ever")
	}
	text := message(testRun, "1", 3, r.now) + message(testRun, "1", 3, r.now)
	r.read(c, text)
	if want := time.Duration(len(text)) * time.Millisecond; !r.held[c] || r.deadlines[bad[0]] != want {
		t.Errorf("held %v for %v, want %v", r.held[c], r.deadlines[bad[0]], want)
	}
	r.read(r.conns[good[0]], message(testRun, "2", 1, r.now))
	r.hangUp(c, errReset())
	got := r.result()
	if got.Asked != 8 || got.Open != 8 || !got.Held() || got.Messages != 1 || got.Duplicated+got.Missing != 0 || got.ClosedEarly != 0 || got.Recovery != nil {
		t.Errorf("the good ones: %+v", got)
	}
	want := map[string]Misbehaved{"slow": {Asked: 2, Open: 1, Opened: 2, Closed: 1, ClosedBy: map[string]int{"reset": 1}, FailedBy: map[string]int{},
		Bytes: uint64(2*len(okHead) + len(text)), Messages: 1}}
	if !reflect.DeepEqual(got.Misbehaving, want) {
		t.Errorf("the others: %+v, want %+v", got.Misbehaving, want)
	}
	if r.wakeAll(); len(r.conns) != 11 {
		t.Errorf("%d connections, want one more: it comes back", len(r.conns))
	}
	r.lane.stop(r.fakeLoop)
	if r.wakeAll(); len(r.conns) != 11 {
		t.Error("dialed after the end")
	}
	if got := r.result(); got.Open != 8 || got.Misbehaving["slow"].Open != 1 {
		t.Errorf("after the end: %+v", got)
	}
}

func TestMannerStall(t *testing.T) {
	r, bad, _ := misbehaving(t, 4, Stall, Misconduct{Percent: 25})
	c := r.conns[bad[0]]
	r.open(c)
	if !r.held[c] || !strings.HasPrefix(r.written[bad[0]], "GET /test/") || r.deadlines[bad[0]] != 0 {
		t.Errorf("held %v, asked %q, deadline %v", r.held[c], r.written[bad[0]], r.deadlines[bad[0]])
	}
	if m := r.result().Misbehaving["stall"]; m.Open != 1 || m.Bytes != 0 {
		t.Errorf("%+v", m)
	}
}

func TestMannerAbort(t *testing.T) {
	r, bad, _ := misbehaving(t, 4, Abort, Misconduct{Percent: 25, Every: time.Second})
	c := r.conns[bad[0]]
	r.open(c)
	r.read(c, okHead)
	if d := r.deadlines[bad[0]]; d <= 0 || d > 2*time.Second {
		t.Errorf("aborts after %v, want up to 2s", d)
	}
	r.expire(bad[0])
	if len(r.aborted) != 1 || r.aborted[0] != c {
		t.Errorf("aborted %v, want %v", r.aborted, c)
	}
	r.wakeAll()
	again := r.conns[len(r.conns)-1]
	r.open(again)
	r.read(again, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
	got := r.result()
	if m := got.Misbehaving["abort"]; m.Asked != 1 || m.Opened != 1 || m.ClosedBy["aborted"] != 1 || m.FailedBy["status 503"] != 1 || m.Open != 0 {
		t.Errorf("%+v", m)
	}
	if got.Failed+got.ClosedEarly != 0 {
		t.Errorf("the good ones: %+v", got)
	}
}

func TestMannerHalfOpen(t *testing.T) {
	r, bad, good := misbehaving(t, 4, HalfOpen, Misconduct{Percent: 25})
	r.open(r.conns[bad[0]])
	if r.written[bad[0]] != "" || r.deadlines[bad[0]] != 0 || len(r.plan.again) != 1 {
		t.Errorf("wrote %q, deadline %v", r.written[bad[0]], r.deadlines[bad[0]])
	}
	r.read(r.conns[bad[0]], "HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n")
	for _, i := range good {
		r.hangUp(r.conns[i], errRefused())
	}
	got := r.result()
	if m := got.Misbehaving["half-open"]; m.ClosedBy["status 408"] != 1 || m.Open != 0 || m.Bytes == 0 {
		t.Errorf("%+v", m)
	}
	if got.Failed != 3 || !r.settled || r.lane.trying != 0 {
		t.Errorf("settled %v, the good ones: %+v", r.settled, got)
	}
}

func TestMannerSlowloris(t *testing.T) {
	r, bad, _ := misbehaving(t, 4, Slowloris, Misconduct{Percent: 25, Every: 3 * time.Second})
	i := bad[0]
	c := r.conns[i]
	r.open(c)
	want := string(r.plan.targets.AppendRequest(nil, i))
	for n := range len(want) {
		if r.written[i] != want[:n] || r.deadlines[i] != 3*time.Second {
			t.Fatalf("wrote %q after %d times %v", r.written[i], n, r.deadlines[i])
		}
		r.deadlines[i] = 0
		r.expire(i)
	}
	if r.written[i] != want || r.deadlines[i] != 0 {
		t.Errorf("wrote %q, then waits %v", r.written[i], r.deadlines[i])
	}
	r.read(c, okHead+message(testRun, "1", 1, r.now))
	if m := r.result().Misbehaving["slowloris"]; m.Open != 1 || m.Messages != 1 {
		t.Errorf("%+v", m)
	}
	for range 2 {
		r.hangUp(r.conns[len(r.conns)-1], io.EOF) // the second time while it is dialed
		r.wakeAll()
	}
	if m := r.result().Misbehaving["slowloris"]; m.Closed+m.Failed != 2 || m.Opened != 1 {
		t.Errorf("%+v", m)
	}
}

// All of them at once, with sockets: the good ones get all messages, and the server sees what it should of the others.
func TestRunMisbehaving(t *testing.T) {
	for _, engine := range engines() {
		c := newComet(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		var m Manners
		m.Set(Slow, Misconduct{Percent: 10, Rate: 1000})
		m.Set(Stall, Misconduct{Percent: 10})
		m.Set(Abort, Misconduct{Percent: 10, Every: 10 * time.Millisecond})
		m.Set(HalfOpen, Misconduct{Percent: 10})
		m.Set(Slowloris, Misconduct{Percent: 10, Every: 100 * time.Millisecond})
		ended := false
		got, err := flooded(t, ctx, Config{Engine: engine, Loops: 2, Manners: m, Every: 5 * time.Millisecond,
			Tally: func(p Phase, sum *Tally) {
				if all := sum.Result(40).Misbehaving; !ended && p == Hold && sum.open == 20 && all["slow"].Open == 4 && all["stall"].Open == 4 &&
					all["half-open"].Open == 4 && all["slowloris"].Open == 4 && all["abort"].ClosedBy["aborted"] >= 4 {
					ended = true
					cancel()
				}
			}}, c.URL+"/test/{1..40}")
		cancel()
		if err != nil || !ended || !got.Held() || got.Asked != 20 || got.Open != 20 || got.ClosedEarly+got.Failed != 0 {
			t.Errorf("%s: error %v, result %+v", engine, err, got)
		}
	}
}

// The good ones may all have ended: then so has the run, whoever else is there.
func TestRunMisbehavingAlone(t *testing.T) {
	c := newComet(t)
	var m Manners
	m.Set(HalfOpen, Misconduct{Percent: 50})
	got, err := flooded(t, t.Context(), Config{Manners: m}, c.URL+"/busy/{1..4}")
	if !errors.Is(err, ErrAllEnded) || got.Failed != 2 || got.Asked != 2 {
		t.Errorf("error %v, result %+v", err, got)
	}
}
