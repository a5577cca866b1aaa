package flood

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"cometctl/internal/pace"
)

// Whatever the room: every target is in one share, every event of the schedule is one target's, no two shares use one address.
func TestDivide(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		room := make([]int, 1+rnd.IntN(6))
		all := 0
		for i := range room {
			room[i] = 1 + rnd.IntN(3000)
			all += room[i]
		}
		n := len(room) + rnd.IntN(all-len(room)+1)
		shares, err := Divide(n, room, 7)
		if err != nil {
			t.Fatalf("%d among %v: %v", n, room, err)
		}
		next, address, events := 0, uint64(7), make([]bool, n)
		for i, s := range shares {
			size := s.To - s.From
			if s.From != next || size < 1 || size > room[i] || s.Rotation < address || s.Turns.check() != nil {
				t.Fatalf("%d among %v: share %d is %+v", n, room, i, s)
			}
			next, address = s.To, s.Rotation+uint64((size-1)/perOrigin)+1
			for k := range size {
				e := s.Turns.event(k)
				if e >= uint64(n) || events[e] {
					t.Fatalf("%d among %v: event %d of share %d, target %d", n, room, e, i, k)
				}
				events[e] = true
				if s.Turns.before(e) != k || s.Turns.before(e+1) != k+1 {
					t.Fatalf("%d among %v: %d and %d targets of share %d before event %d and behind, want %d", n, room,
						s.Turns.before(e), s.Turns.before(e+1), i, e, k)
				}
			}
		}
		if next != n || slices.Contains(events, false) {
			t.Fatalf("%d among %v: the shares end at %d", n, room, next)
		}
	}
}

func TestDivideEvenly(t *testing.T) {
	shares, err := Divide(10, []int{100, 100, 100}, 0)
	if err != nil || shares[0].To != 4 || shares[1].To != 7 || shares[2].To != 10 {
		t.Errorf("%+v, %v", shares, err)
	}
	if shares, err = Divide(10, []int{1, 100, 4}, 0); err != nil || shares[0].To != 1 || shares[1].To != 6 || shares[2].To != 10 {
		t.Errorf("%+v, %v", shares, err)
	}
	for _, room := range [][]int{{5, 4}, {20, 0}, {3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1}} {
		if shares, err := Divide(10, room, 0); err == nil {
			t.Errorf("10 among %v: %+v", room, shares)
		}
	}
}

func TestTurnsOfAll(t *testing.T) {
	var all Turns
	if all.event(5) != 5 || all.before(6) != 6 || all.before(1<<63) != maxTargets {
		t.Error("without turns, every event is ours")
	}
	for _, bad := range []Turns{{{1, 0, 1}}, {{0, 0, 0}}, {{0, 1 << 60, 1}}, {{0, 0, 1}, {0, 5, 1}}, {{0, 0, 1 << 60}}} {
		if bad.check() == nil {
			t.Errorf("%+v was accepted", bad)
		}
		targets, _ := LoadTargets([]string{"http://127.0.0.1/"}, nil, Rules{})
		if _, err := New(Config{Targets: targets, Turns: bad}); err == nil {
			t.Errorf("New: %+v was accepted", bad)
		}
	}
}

// A share's text makes its targets again, in however many pieces.
func TestAppendText(t *testing.T) {
	in := "http://127.0.0.1:8000/a\nhttp://localhost:1/b?c=d\nhttp://127.0.0.1:2/{0098..103}x\nhttp://[::1]/{5..5}\nhttp://127.0.0.1?q\n" +
		"http://127.0.0.1:3/{1..1000}\nws://127.0.0.1:3/{9..12}\nWS://127.0.0.1:8000/end\nHTTPS://127.0.0.1/\nwss://localhost/{1..3}\nhttps://localhost\n"
	all, err := LoadTargets([]string{"-"}, strings.NewReader(in), Rules{})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		from := rnd.IntN(all.Len())
		to := from + 1 + rnd.IntN(all.Len()-from)
		limit := 1 + rnd.IntN(200)
		var text []byte
		for at := from; at < to; {
			before := len(text)
			next := 0
			if text, next = all.AppendText(text, at, to, limit); next <= at {
				t.Fatalf("no step from %d", at)
			}
			if piece := text[before:]; len(piece) > limit && strings.Count(string(piece), "\n") != 1 {
				t.Fatalf("a piece of %d bytes, %d allowed: %q", len(piece), limit, piece)
			}
			at = next
		}
		part, err := ReadTargets("share", strings.NewReader(string(text)), to-from, Rules{})
		if err != nil || part.Len() != to-from {
			t.Fatalf("%d to %d: %d targets, %v\n%s", from, to, part.Len(), err, text)
		}
		for i := range part.Len() {
			if got, want := string(part.AppendRequest(nil, i)), string(all.AppendRequest(nil, from+i)); got != want || part.Addr(i) != all.Addr(from+i) ||
				(part.hostOf(i).tls == nil) != (all.hostOf(from+i).tls == nil) {
				t.Fatalf("%d to %d, target %d: %q, want %q", from, to, i, got, want)
			}
		}
	}
	if _, err := ReadTargets("share", strings.NewReader(in), all.Len()-1, Rules{}); err == nil || !strings.Contains(err.Error(), "share:11: ") {
		t.Errorf("one too many: %v", err)
	}
}

// Runs that share a schedule open nothing before their turns, and all count from the same start.
func TestRunTurns(t *testing.T) {
	c := newComet(t)
	sum := NewTally(0)
	start := time.Now().Add(20 * time.Millisecond)
	shares, err := Divide(8, []int{10, 10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shares {
		cfg := Config{Pace: pace.Every(5 * time.Millisecond), Turns: s.Turns, Hold: time.Millisecond}
		var last Phase
		cfg.Tally = func(p Phase, t *Tally) {
			if last = p; p == Drain {
				sum.Add(t)
			}
		}
		if cfg.Targets, err = LoadTargets([]string{c.URL + "/test/{1..4}"}, nil, Rules{}); err != nil {
			t.Fatal(err)
		}
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		f.StartAt(start)
		if got, err := f.Run(t.Context()); err != nil || !got.Held() || last != Drain {
			t.Errorf("%+v, %v, %s", got, err, last)
		}
	}
	if sum.began != start.UnixNano() {
		t.Errorf("began %d ns after the start", sum.began-start.UnixNano())
	}
	if took := time.Duration(sum.lastOpened - sum.began); took < 7*5*time.Millisecond {
		t.Errorf("opened within %v, before the last of 8 turns", took)
	}
}

// A clock that is ahead makes times of another machine's.
func TestClockOffset(t *testing.T) {
	ahead := wallClock(time.Hour)() - time.Now().UnixNano()
	if d := time.Duration(ahead) - time.Hour; d < -time.Minute || d > time.Minute {
		t.Errorf("%v ahead, want an hour", time.Duration(ahead))
	}
}
