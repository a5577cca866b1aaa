package flood

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"

	"cometctl/internal/timing"
	"cometctl/internal/wire"
)

// some is a tally with something of everything.
func some(k int) *Tally {
	t := NewTally(0)
	t.open, t.tried, t.opened, t.reconnects, t.resumed = 10*k, 20*k, 15*k, k, 2*k
	t.chunks, t.bytes, t.messages, t.duplicated, t.reordered = 1<<40, 1<<50, 77, 3, uint64(k)
	t.missing, t.began, t.lastOpened = int64(2-k), testStart+int64(k)*1000, testStart+int64(k)*1e9
	t.corrupt, t.late = 5, 6
	t.runs = []runCount{{first: testRun.First() + wire.RunTag(k)*10000, mine: true, runSums: t.runSums}, {first: testRun.First() + 50000, runSums: runSums{messages: 9, missing: 8, duplicated: 7, reordered: 6, late: 5}}}
	t.failed[causeRefused], t.failed["status 503"], t.closed[causeEOF] = k, 2, 5*k
	t.cuts = cuts{more: k, list: []cut{{first: testStart + int64(k)*9e8, last: testStart + int64(k)*95e7, lost: 5 * k, back: k, missed: int64(k), recovered: 7, duplicated: 1,
		comeback: []backs{{testStart/backStep + 100*int64(k), k}}}}}
	t.bad[Slow-1] = badTally{asked: k, open: 2 * k, made: 3, failed: map[cause]int{causeRefused: k}, closed: map[cause]int{causeEOF: 2, causeReset: k}, bytes: 1 << 40, messages: 9}
	t.bad[Slowloris-1] = badTally{asked: 1}
	for i := range 1000 {
		t.connect.Record(time.Duration(k*i) * time.Microsecond)
		t.tls.Record(time.Duration(2*k*i) * time.Microsecond)
		t.latency.Record(time.Duration(k*i*i) * time.Microsecond)
		t.lag.Record(time.Duration(k*i) * time.Millisecond)
		t.service.Record(time.Duration(i) * time.Millisecond)
	}
	return t
}

// Tallies that went over a wire make the same sum, and the same result, as those that did not.
func TestTallyBinary(t *testing.T) {
	plain, wired := NewTally(0), NewTally(0)
	for k := 1; k <= 3; k++ {
		plain.Add(some(k))
		if err := wired.AddBinary(some(k).AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(plain.Result(60), wired.Result(60)) || !bytes.Equal(plain.AppendBinary(nil), wired.AppendBinary(nil)) {
		t.Errorf("%+v\nwant\n%+v", wired.Result(60), plain.Result(60))
	}
	if plain.began != testStart+1000 || plain.lastOpened != testStart+3e9 {
		t.Errorf("from %d to %d", plain.began, plain.lastOpened)
	}
	for i, n := range some(1).numbers() {
		if number(n) == 0 {
			t.Errorf("number %d is 0: it could be forgotten unseen", i)
		}
	}
}

func TestTallyBinaryRefuses(t *testing.T) {
	whole := some(1).AppendBinary(nil)
	bad := [][]byte{append([]byte{9}, whole[1:]...), append(bytes.Clone(whole), 0)}
	for i := range whole {
		bad = append(bad, whole[:i])
	}
	sum := some(2)
	for _, b := range bad {
		if err := sum.AddBinary(b); !errors.Is(err, ErrTally) {
			t.Fatalf("%d of %d bytes: %v", len(b), len(whole), err)
		}
	}
	if !bytes.Equal(sum.AppendBinary(nil), some(2).AppendBinary(nil)) {
		t.Error("what was refused was counted")
	}
}

func FuzzTallyBinary(f *testing.F) {
	f.Add(some(1).AppendBinary(nil))
	f.Add(NewTally(0).AppendBinary(nil))
	f.Add([]byte{tallyVersion})
	t1, t2 := NewTally(0), NewTally(0)
	f.Fuzz(func(t *testing.T, b []byte) {
		t1.Reset()
		if t1.AddBinary(b) != nil {
			return
		}
		again := t1.AppendBinary(nil)
		t2.Reset()
		if err := t2.AddBinary(again); err != nil || !bytes.Equal(t2.AppendBinary(nil), again) {
			t.Fatalf("%x became %x: %v", b, again, err)
		}
	})
}

// What a process held when it died has ended; what it had not tried has failed.
func TestTallyLose(t *testing.T) {
	s := some(1) // 10 open, 20 tried, 2 more who misbehave
	s.Lose(27, "worker died")
	got := s.Result(27)
	if got.Open != 0 || got.ClosedBy["worker died"] != 10 || got.FailedBy["worker died"] != 5 || got.ClosedEarly != 15 || got.Failed != 8 {
		t.Errorf("%+v", got)
	}
	before := s.AppendBinary(nil)
	if s.Lose(27, "worker died"); !bytes.Equal(before, s.AppendBinary(nil)) {
		t.Error("it died twice")
	}
}

// What each call of Config.Tally brings by due time is new, and all of it together is the result's.
func TestRunTallyDue(t *testing.T) {
	c := newComet(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	run, sum := wire.NewRunTag(time.Unix(0, testStart), 0), timing.NewBuckets(time.Second)
	cfg := Config{ByDue: time.Second, Every: time.Millisecond}
	seq := uint64(0)
	cfg.Tally = func(p Phase, t *Tally) {
		_ = sum.Merge(t.Due())
		if p == Hold && seq < 20 {
			seq++
			c.stream("/1") <- string(wire.AppendStamp(nil, run, []byte("1"), seq, testStart+int64(seq)*1e9, 0))
		}
		if t.Progress(1, p).Messages == 20 {
			cancel()
		}
	}
	got, err := flooded(t, ctx, cfg, c.URL+"/1")
	if err != nil || got.ByDue == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	all := maps.Collect(got.ByDue.All())
	if !maps.Equal(all, maps.Collect(sum.All())) || len(all) != 20 || all[testStart+5e9] != 1 {
		t.Errorf("the result has %v, the calls had %v", all, maps.Collect(sum.All()))
	}
}
