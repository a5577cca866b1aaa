package flood

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"cometctl/internal/timing"
)

// some is a tally with something of everything.
func some(k int) *Tally {
	t := NewTally(0)
	t.open, t.tried, t.opened, t.reconnects = 10*k, 20*k, 15*k, k
	t.chunks, t.bytes, t.messages, t.duplicated, t.reordered = 1<<40, 1<<50, 77, 3, uint64(k)
	t.missing, t.began, t.lastOpened = int64(2-k), testStart+int64(k)*1000, testStart+int64(k)*1e9
	t.failed[causeRefused], t.failed["status 503"], t.closed[causeEOF] = k, 2, 5*k
	for i := range 1000 {
		t.connect.Record(time.Duration(k*i) * time.Microsecond)
		t.latency.Record(time.Duration(k*i*i) * time.Microsecond)
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
		if n == 0 {
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
	s := some(1) // 10 open, 20 tried
	s.Lose(25, "worker died")
	got := s.Result(25)
	if got.Open != 0 || got.ClosedBy["worker died"] != 10 || got.FailedBy["worker died"] != 5 || got.ClosedEarly != 15 || got.Failed != 8 {
		t.Errorf("%+v", got)
	}
	before := s.AppendBinary(nil)
	if s.Lose(25, "worker died"); !bytes.Equal(before, s.AppendBinary(nil)) {
		t.Error("it died twice")
	}
}

func TestTallyDue(t *testing.T) {
	with, without, part := NewTally(time.Second), NewTally(0), timing.NewBuckets(time.Second)
	part.Add(testStart)
	if err := with.AddDue(part); err != nil {
		t.Fatal(err)
	}
	o := NewTally(time.Second)
	o.due.Add(testStart)
	with.Add(o)
	for _, n := range with.Due().All() {
		if n != 2 {
			t.Errorf("%d, want 2", n)
		}
	}
	if without.AddDue(part) != nil || without.Due() != nil {
		t.Error("counted, though nobody asked")
	}
	if with.AddDue(timing.NewBuckets(time.Minute)) == nil {
		t.Error("another step was accepted")
	}
}
