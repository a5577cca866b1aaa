package history

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func told(s *Store, id string, since uint64) (at uint64, whole bool, got []string) {
	at, whole, _, _ = s.TryResume([]byte(id), since, true, func() error { return nil }, func(n uint64, msg []byte) {
		if msg == nil {
			got = append(got, fmt.Sprint("gap ", n))
			return
		}
		got = append(got, fmt.Sprintf("%d %s", n, msg))
	})
	return at, whole, got
}

func send(s *Store, id, msg string) (n uint64) {
	staged, tag, ticket := s.Enter([]byte(id), []byte(msg), 1)
	defer s.Leave(ticket)
	if tag&TagNumbered == 0 {
		return 0
	}
	n, _, _ = Cut(staged)
	return n
}

func standing() time.Duration { return 0 }

// TestPositions asks for each kind of position.
func TestPositions(t *testing.T) {
	s := New(Config{Messages: 3}, standing)
	s.start = func() uint64 { return 1000 }
	for i := range 5 {
		if n := send(s, "7", fmt.Sprint("m", i)); n != 1001+uint64(i) {
			t.Fatalf("message %d has number %d", i, n)
		}
	}
	for _, c := range []struct {
		name  string
		since uint64
		whole bool
		got   string
	}{
		{"all that is kept", 0, true, "[1003 m2 1004 m3 1005 m4]"},
		{"nothing missed", 1005, true, "[]"},
		{"one missed", 1004, true, "[1005 m4]"},
		{"as far back as can be", 1002, true, "[1003 m2 1004 m3 1005 m4]"},
		{"too far back", 1001, false, "[gap 1002 1003 m2 1004 m3 1005 m4]"},
		{"from the future", 1006, false, "[gap 1002 1003 m2 1004 m3 1005 m4]"},
		{"of another record", 123456789012, false, "[gap 1002 1003 m2 1004 m3 1005 m4]"},
		{"before all", 1, false, "[gap 1002 1003 m2 1004 m3 1005 m4]"},
		{"the greatest number", 1<<64 - 1, false, "[gap 1002 1003 m2 1004 m3 1005 m4]"},
	} {
		at, whole, got := told(s, "7", c.since)
		if at != 1005 || whole != c.whole || fmt.Sprint(got) != c.got {
			t.Errorf("%s: at %d, whole %v, %v; want %v, %s", c.name, at, whole, got, c.whole, c.got)
		}
	}
	if at, whole, got := told(s, "nobody's", 1005); at != 1000 || whole || fmt.Sprint(got) != "[gap 1000]" {
		t.Errorf("a number of another id: at %d, whole %v, %v", at, whole, got)
	}
	if at, whole, _ := told(s, "nobody's", 1000); at != 1000 || !whole {
		t.Errorf("its own position before the first message: at %d, whole %v", at, whole)
	}
	if st := s.Stats(); st.Resumed != 11 || st.Gaps != 6 || st.IDs != 2 || st.Messages != 3 {
		t.Errorf("%+v", st)
	}
}

// TestMissed has messages of other nodes not come: that is a gap where it happened, for who comes back from before it.
func TestMissed(t *testing.T) {
	s := New(Config{Messages: 3}, standing)
	s.start = func() uint64 { return 1000 }
	send(s, "7", "a")
	told(s, "8", 0)
	s.Missed()
	s.Missed() // nobody came between, so it is the same one
	send(s, "7", "")
	for _, c := range []struct {
		id    string
		since uint64
		whole bool
		got   string
	}{
		{"7", 0, false, "[1001 a gap 1002 1003 ]"},
		{"7", 1000, false, "[1001 a gap 1002 1003 ]"},
		{"7", 1001, false, "[gap 1002 1003 ]"},
		{"7", 1002, true, "[1003 ]"},
		{"8", 1000, false, "[gap 1001]"},
		{"8", 1001, true, "[]"},
	} {
		if _, whole, got := told(s, c.id, c.since); whole != c.whole || fmt.Sprint(got) != c.got {
			t.Errorf("%s since %d: whole %v, %v; want %v, %s", c.id, c.since, whole, got, c.whole, c.got)
		}
	}
	s.Missed()
	if at, whole, got := told(s, "8", 1001); at != 1002 || whole || len(got) != 1 {
		t.Errorf("missed again: at %d, whole %v, %v", at, whole, got)
	}
}

// TestTwoLives resumes with the numbers of an earlier store.
func TestTwoLives(t *testing.T) {
	for range 100 {
		one, two := New(Config{Messages: 10}, standing), New(Config{Messages: 10}, standing)
		n := send(one, "7", "before")
		send(two, "7", "after")
		if n < 1e11 || n > 1e12 {
			t.Fatalf("first number %d", n)
		}
		if _, whole, got := told(two, "7", n); whole || len(got) != 2 {
			t.Fatalf("number %d of another life: whole %v, %v", n, whole, got)
		}
	}
}

func TestInactive(t *testing.T) {
	s := New(Config{TTL: time.Minute}, standing)
	msg := []byte("text")
	if staged, tag, ticket := s.Enter([]byte("1"), msg, 5); &staged[0] != &msg[0] || tag != 5 || ticket != 0 || s.Active() {
		t.Errorf("an inactive store gave %q, tag %d, ticket %d", staged, tag, ticket)
	}
	s.Leave(0)
	s.Show(1)
	if n := send(s, "1", "m"); n != 0 {
		t.Errorf("an id that nobody is shown numbers of has number %d", n)
	}
	at, _, _ := told(s, "1", 0)
	s.Show(-1)
	if n := send(s, "1", "m"); n != at+1 {
		t.Errorf("number %d after %d: who comes back would not know that something is missing", n, at)
	}
	if _, whole, _ := told(s, "1", at); whole {
		t.Error("a message that was not kept is not missing")
	}
	s.Sweep(time.Minute, func([]byte) bool { return false })
	if s.Active() || s.Has([]byte("1")) {
		t.Error("active when all is forgotten")
	}
}

func TestJoinFails(t *testing.T) {
	s := New(Config{Messages: 1}, standing)
	bad := errors.New("bad")
	_, _, busy, err := s.TryResume([]byte("1"), 0, true, func() error { return bad }, nil)
	if busy || err != bad || s.Stats().IDs != 0 || s.Stats().Resumed != 0 {
		t.Errorf("busy %v, error %v, %+v", busy, err, s.Stats())
	}
}

// TestBusy resumes while a publisher is between Enter and Leave, as the loop does that it waits for.
func TestBusy(t *testing.T) {
	s := New(Config{Messages: 1}, standing)
	_, _, ticket := s.Enter([]byte("1"), nil, 0)
	_, _, busy, err := s.TryResume([]byte("1"), 0, true, func() error { t.Error("joined"); return nil }, nil)
	if !busy || err != nil {
		t.Errorf("busy %v, error %v", busy, err)
	}
	calls := make(chan bool)
	s.OnFree([]byte("1"), func() { calls <- true })
	select {
	case <-calls:
		t.Error("told that it is free when it is not")
	case <-time.After(time.Millisecond):
	}
	s.Leave(ticket)
	<-calls
	s.OnFree([]byte("1"), func() { calls <- true })
	<-calls
	if _, _, busy, _ = s.TryResume([]byte("1"), 0, true, func() error { return nil }, func(uint64, []byte) {}); busy {
		t.Error("busy for nobody")
	}
}

// TestFree has the shard be in the hands of everybody who may have it, and somebody ask for it then: all of them tell when they have done.
func TestFree(t *testing.T) {
	s := New(Config{Messages: 1}, standing)
	s.memory.limit = 2
	calls := make(chan bool)
	ask := func() error {
		if _, _, busy, _ := s.TryResume([]byte("1"), 0, false, nil, nil); !busy {
			t.Error("not busy")
		}
		s.OnFree([]byte("1"), func() { calls <- true })
		return nil
	}
	s.TryResume([]byte("1"), 0, false, ask, nil)
	<-calls
	s.Sweep(0, func([]byte) bool { return ask() == nil })
	<-calls
	s.Sweep(0, func([]byte) bool { return false })
	s.OnForget(func(string) { ask() })
	send(s, "2", "m") // takes the place of the record, whose shard is most likely another one
	<-calls
}

// A message that is too large to be kept takes what is before it along: without it that is of no use.
func TestTooLarge(t *testing.T) {
	s := New(Config{Messages: 9, Bytes: 1000}, standing)
	n := send(s, "1", "small")
	send(s, "1", strings.Repeat("x", 993))
	if _, whole, got := told(s, "1", n); whole || len(got) != 1 {
		t.Errorf("whole %v, %v", whole, got)
	}
	send(s, "1", strings.Repeat("x", 992))
	if _, whole, got := told(s, "1", n+1); !whole || len(got) != 1 {
		t.Errorf("one that just fits: whole %v, %d messages", whole, len(got))
	}
}

func TestTTL(t *testing.T) {
	var now time.Duration
	s := New(Config{Messages: 9, TTL: 10 * time.Second}, func() time.Duration { return now })
	n := send(s, "1", "a")
	now = 5 * time.Second
	send(s, "1", "b")
	now = 10*time.Second - 1
	if _, whole, got := told(s, "1", n-1); !whole || len(got) != 2 {
		t.Errorf("in time: whole %v, %v", whole, got)
	}
	now = 10 * time.Second
	if _, whole, got := told(s, "1", n-1); whole || len(got) != 2 {
		t.Errorf("late for one: whole %v, %v", whole, got)
	}
	if _, whole, got := told(s, "1", n); !whole || len(got) != 1 {
		t.Errorf("the position behind it: whole %v, %v", whole, got)
	}
	holds := true
	for now < time.Minute {
		now += time.Second
		s.Sweep(now, func(id []byte) bool { return holds })
	}
	if _, whole, _ := told(s, "1", n+1); !whole {
		t.Error("a record that somebody holds was forgotten")
	}
	if st := s.Stats(); st.Messages != 0 || st.Expired != 2 {
		t.Errorf("%+v", st)
	}
	holds = false
	now += 10*time.Second - time.Millisecond
	s.Sweep(now, func([]byte) bool { return false })
	if !s.Has([]byte("1")) {
		t.Error("forgotten too early")
	}
	now += time.Millisecond
	s.Sweep(now, func([]byte) bool { return false })
	if s.Has([]byte("1")) {
		t.Error("not forgotten")
	}
}

// TestEviction fills the memory: the id whose last message is oldest goes first, whatever came before.
func TestEviction(t *testing.T) {
	s := New(Config{Messages: 10, Total: MinTotal}, standing)
	var gone []string
	s.OnForget(func(id string) { gone = append(gone, id) })
	limit := s.memory.limit
	at, _, _ := told(s, "shown", 0)
	send(s, "shown", "m")
	for i := range (limit - 2) / 2 { // a record and a unit each
		send(s, fmt.Sprint(i), "m")
	}
	send(s, "0", "again")
	if st := s.Stats(); len(gone) > 0 || st.Evicted > 0 || st.Bytes > st.Total || st.Reserved > st.Total {
		t.Fatalf("with room for all: %v, %+v", gone, st)
	}
	for i := range 3 {
		send(s, fmt.Sprint("more", i), "m")
	}
	// "shown" is first, but its record stays, because a client knows a number of it. "0" has said something since.
	if fmt.Sprint(gone) != "[1 2 3]" {
		t.Errorf("gone are %v", gone)
	}
	if now, whole, got := told(s, "shown", at); now != at+1 || whole || len(got) != 1 {
		t.Errorf("shown: at %d, whole %v, %v", now, whole, got)
	}
	if st := s.Stats(); st.Evicted != 4 || st.Reserved > st.Total {
		t.Errorf("%+v", st)
	}
	if _, whole, got := told(s, "0", 0); !whole || len(got) != 2 {
		t.Errorf("0: %v", got)
	}
}

// TestReserved has all memory taken by records, and then by one id's messages and the other way round: a unit is a unit.
func TestReserved(t *testing.T) {
	s := New(Config{Messages: MaxMessages, Bytes: MinTotal / 2, Total: MinTotal}, standing)
	for range 3 {
		for i := range 20_000 {
			send(s, fmt.Sprint(i), "")
		}
		for range 2_000 {
			send(s, "one", strings.Repeat("m", 1000))
		}
		if st := s.Stats(); st.Reserved > st.Total || st.Reserved < st.Total/2 || st.Bytes > st.Reserved {
			t.Fatalf("%+v", st)
		}
	}
	if _, _, got := told(s, "one", 0); len(got) != MinTotal/2/1008 {
		t.Errorf("kept are %d messages", len(got))
	}
}

// A victim whose shard is in use just now is passed over; where all are, the message is not kept, and that is no silent hole.
func TestEvictionOfWhoIsInUse(t *testing.T) {
	s := New(Config{Messages: 10}, standing)
	s.memory.limit = 4
	a, b := "a", "b"
	for i := 0; s.hash([]byte(a))%shards == s.hash([]byte(b))%shards; i++ {
		b = fmt.Sprint("b", i)
	}
	n := send(s, b, "m")
	send(s, a, "m")
	sh := &s.shards[s.hash([]byte(a))%shards]
	sh.mu.Lock()
	send(s, b, strings.Repeat("m", 150)) // needs two more
	sh.mu.Unlock()
	if _, whole, got := told(s, b, n); whole || fmt.Sprint(got) != fmt.Sprintf("[gap %d]", n+1) {
		t.Errorf("whole %v, %v", whole, got)
	}
	if _, _, got := told(s, a, 0); len(got) != 1 {
		t.Errorf("who was in use has %v", got)
	}
	if st := s.Stats(); st.Evicted != 2 {
		t.Errorf("%+v", st)
	}
}
