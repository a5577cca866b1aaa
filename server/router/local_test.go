package router

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// check walks everything that r holds and reports what does not agree.
func check(t *testing.T, r *Local) {
	t.Helper()
	type pair struct{ key, session word }
	byID, bySession, keys, sessions := map[pair]bool{}, map[pair]bool{}, map[word]bool{}, map[word]bool{}
	blocks := 0
	for i := range r.ids {
		is := &r.ids[i]
		for b := range is.Buckets() {
			for lead := *is.Place(b); lead != 0; lead = r.memory.logins.At(lead).link {
				l := r.memory.logins.At(lead)
				if h := r.hashKey(l.key); int(h%shards) != i || is.Bucket(h>>shardBits) != b {
					t.Errorf("key %x is in shard %d bucket %d", l.key, i, b)
				}
				if keys[l.key] {
					t.Errorf("key %x has two leaders", l.key)
				}
				keys[l.key] = true
				if l.key.hi&textKey != 0 {
					for slot := l.key.lo; slot != 0; slot = r.memory.blocks.At(slot).next {
						blocks++
					}
				}
				for slot, before := lead, uint32(0); slot != 0; slot, before = r.memory.logins.At(slot).peer, slot {
					f := r.memory.logins.At(slot)
					if f.key != l.key || before != 0 && f.link != before || byID[pair{f.key, f.session}] {
						t.Errorf("login %d (%+v) does not belong behind %d (%+v)", slot, f, before, l)
					}
					byID[pair{f.key, f.session}] = true
				}
			}
		}
	}
	for i := range r.sessions {
		ss := &r.sessions[i]
		for b := range ss.Buckets() {
			for slot := *ss.Place(b); slot != 0; slot = r.memory.logins.At(slot).sibling {
				l := r.memory.logins.At(slot)
				if h := r.hash(l.session); int(h%shards) != i || ss.Bucket(h>>shardBits) != b {
					t.Errorf("session %x is in shard %d bucket %d", l.session, i, b)
				}
				if p := (pair{l.key, l.session}); bySession[p] || !byID[p] {
					t.Errorf("login %d (%+v) of its session's chain twice, or not in its id's", slot, l)
				}
				bySession[pair{l.key, l.session}] = true
				sessions[l.session] = true
			}
		}
	}
	if len(byID) != len(bySession) {
		t.Errorf("%d logins by id, %d by session", len(byID), len(bySession))
	}
	if want := (Stats{Sessions: len(sessions), IDs: len(keys), Logins: len(byID)}); r.Stats() != want {
		t.Errorf("stats %+v, counted %+v", r.Stats(), want)
	}
	if l, b := r.memory.logins.Len(), r.memory.blocks.Len(); l != len(byID) || b != blocks {
		t.Errorf("%d logins and %d blocks are taken, %d and %d in use", l, b, len(byID), blocks)
	}
}

// TestSizes holds what the figures in the documents rest on.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		what      string
		got, want uintptr
	}{
		{"login", unsafe.Sizeof(login{}), 28},
		{"block", unsafe.Sizeof(block{}), 24},
		{"idShard", unsafe.Sizeof(idShard{}), 64},
		{"sessionShard", unsafe.Sizeof(sessionShard{}), 64},
	} {
		if c.got != c.want {
			t.Errorf("a %s has %d bytes, want %d", c.what, c.got, c.want)
		}
	}
	if got := unsafe.Sizeof(Local{}); got > 5<<10 {
		t.Errorf("an empty Local has %d bytes", got)
	}
}

// TestIndexGrows adds far more members than there are buckets at first, and looks at the length of each chain.
func TestIndexGrows(t *testing.T) {
	const n = 100_000
	r := NewLocal(func(Session, []byte, uint64) {})
	for i := range n {
		if err := r.Login(fmt.Append(nil, i), Session(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	check(t, r)
	longest := 0
	for i := range r.ids {
		is := &r.ids[i]
		if want := (is.Members() + 1) / 2; is.Buckets() != want {
			t.Errorf("shard %d has %d buckets for %d members, want %d", i, is.Buckets(), is.Members(), want)
		}
		for b := range is.Buckets() {
			length := 0
			for slot := *is.Place(b); slot != 0; slot = r.memory.logins.At(slot).link {
				length++
			}
			longest = max(longest, length)
		}
	}
	if longest > 25 { // Poisson with mean 4 at most: 25 of them have a probability of 1e-12
		t.Errorf("%d ids share a bucket", longest)
	}
	for i := range n {
		r.Logout(Session(i + 1))
	}
	check(t, r)
	if st := r.Stats(); st != (Stats{}) {
		t.Errorf("after the last logout: %+v", st)
	}
}

// TestCollisions uses ids that share one bucket, which only somebody who knows the seed can find.
func TestCollisions(t *testing.T) {
	got := map[Session]int{}
	r := NewLocal(func(s Session, _ []byte, _ uint64) { got[s]++ })
	const headBits = 7 // of the buckets that an index begins with
	var ids [][]byte
	for i := 0; len(ids) < 60; i++ {
		id := fmt.Append(nil, i)
		if i%2 == 1 {
			id = fmt.Appendf(nil, "id-%d-which-is-longer-than-a-block", i)
		}
		k, err := r.parse(id)
		if err != nil {
			t.Fatal(err)
		}
		if k.hash&(1<<(shardBits+headBits)-1) == 0 {
			ids = append(ids, id)
		}
	}
	for i, id := range ids {
		if err := r.Login(id, Session(i+1)); err != nil {
			t.Fatal(err)
		}
		if err := r.Login(id, Session(i+1001)); err != nil {
			t.Fatal(err)
		}
	}
	check(t, r)
	length := 0
	for slot := *r.ids[0].Place(0); slot != 0; slot = r.memory.logins.At(slot).link {
		length++
	}
	if length != len(ids) {
		t.Errorf("the chain has %d leaders, want %d", length, len(ids))
	}
	for _, i := range []int{0, 59, 30, 31, 1, 58} { // both ends and the middle
		r.Logout(Session(i + 1))
		clear(got)
		if rec, err := r.Send(ids[i], nil, 0); err != nil || rec.Sessions != 1 || got[Session(i+1001)] != 1 {
			t.Errorf("id %s: %+v, %v, delivered %v", ids[i], rec, err, got)
		}
		r.Logout(Session(i + 1001))
		if rec, err := r.Send(ids[i], nil, 0); err != nil || rec.Sessions != 0 {
			t.Errorf("id %s without sessions: %+v, %v", ids[i], rec, err)
		}
		check(t, r)
	}
}

func TestAllocations(t *testing.T) {
	r := NewLocal(func(Session, []byte, uint64) {})
	one, text := []byte("1"), []byte("a.textual.id.of.more.than.one.block")
	many, nobody := []byte("many"), []byte("nobody")
	for s := Session(1); s <= 1000; s++ {
		if err := r.Login(many, s); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range [][]byte{one, text} {
		if err := r.Login(id, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what string
		most float64
		f    func()
	}{
		{"Send to a decimal id", 0, func() { _, _ = r.Send(one, text, 1) }},
		{"Send to a textual id", 0, func() { _, _ = r.Send(text, text, 1) }},
		{"Send to nobody", 0, func() { _, _ = r.Send(nobody, text, 1) }},
		{"Login and Logout", 0, func() { _ = r.Login(one, 5000); _ = r.Login(text, 5000); r.Logout(5000) }},
		{"Login again", 0, func() { _ = r.Login(one, 1) }},
		// A collection empties the pool of fan-outs, and the race detector lets it lose a quarter; without it there are 9.
		{"Send to a thousand sessions", 4, func() { _, _ = r.Send(many, text, 1) }},
	} {
		if n := testing.AllocsPerRun(1000, c.f); n > c.most {
			t.Errorf("%s allocates %v times", c.what, n)
		}
	}
}

// TestConcurrent lets owners log their sessions in and out while senders send, and holds each Deliver against the order
// of events: a clock ticks after every Logout and before every Send.
func TestConcurrent(t *testing.T) {
	const owners, senders, rounds = 4, 3, 400
	var clock atomic.Uint64
	var ended [owners * rounds * 4]atomic.Uint64 // by session: the clock after its Logout
	type sender struct {
		got map[Session]uint64
	}
	var own [owners]int // deliveries of the owner's own Sends
	send := make([]sender, senders)
	r := NewLocal(func(s Session, msg []byte, tag uint64) {
		who, began := int(tag&0xff), tag>>8
		if end := ended[s].Load(); end != 0 && end < began {
			t.Errorf("session %d logged out at %d, and got what was sent at %d", s, end, began)
		}
		if who < senders {
			if send[who].got[s] == tag {
				t.Errorf("session %d got one message twice", s)
			}
			send[who].got[s] = tag
		} else {
			own[who-senders]++
		}
	})
	var owning, sending sync.WaitGroup
	var done atomic.Bool
	for w := range owners {
		owning.Go(func() {
			for i := range rounds {
				s := Session(w*rounds + i + 1)
				mine := fmt.Appendf(nil, "owner-%d-%d-and-no-other", w, i%7)
				for _, id := range []string{"1", "everybody", string(mine), fmt.Sprint(10 + i%5), string(mine)} {
					if err := r.Login([]byte(id), s); err != nil {
						t.Error(err)
					}
				}
				own[w] = 0
				tag := func() uint64 { return clock.Add(1)<<8 | uint64(senders+w) }
				if rec, _ := r.Send(mine, nil, tag()); rec.Sessions != 1 || own[w] != 1 {
					t.Errorf("owner's message reached %d sessions, want its own", rec.Sessions)
				}
				r.Logout(s)
				ended[s].Store(clock.Add(1))
				if rec, _ := r.Send(mine, nil, tag()); rec.Sessions != 0 {
					t.Errorf("message reached %d sessions after logout", rec.Sessions)
				}
			}
		})
	}
	for w := range senders {
		send[w].got = map[Session]uint64{}
		sending.Go(func() {
			for i := 0; !done.Load(); i++ {
				id := []string{"1", "everybody", fmt.Sprint(10 + i%5)}[i%3]
				if _, err := r.Send([]byte(id), nil, clock.Add(1)<<8|uint64(w)); err != nil {
					t.Error(err)
				}
				_ = r.Stats()
			}
		})
	}
	owning.Wait()
	done.Store(true)
	sending.Wait()
	check(t, r)
	if st := r.Stats(); st != (Stats{}) {
		t.Errorf("all logged out: %+v", st)
	}
}

// TestConcurrentSameSession logs the same few sessions in and out from all sides.
func TestConcurrentSameSession(t *testing.T) {
	r := NewLocal(func(Session, []byte, uint64) {})
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 3000 {
				id := fmt.Append(nil, (i*7+w)%11)
				if i%2 == 0 {
					id = append(id, "-a-textual-id-of-two-blocks"...)
				}
				if err := r.Login(id, Session(1+i%3)); err != nil {
					t.Error(err)
				}
				_, _ = r.Send(id, nil, 0)
				if i%5 == w%5 {
					r.Logout(Session(1 + (i+w)%3))
				}
			}
		})
	}
	all.Wait()
	check(t, r)
	for s := range Session(3) {
		r.Logout(s + 1)
	}
	check(t, r)
	if st := r.Stats(); st != (Stats{}) {
		t.Errorf("all logged out: %+v", st)
	}
}

// TestSameHash uses pairs of textual ids with the same 31 bits of hash, which only their text tells apart.
func TestSameHash(t *testing.T) {
	got := map[Session]int{}
	r := NewLocal(func(s Session, _ []byte, _ uint64) { got[s]++ })
	seen := map[uint32]int{}
	name := func(i int) []byte { return fmt.Appendf(nil, "id-of-two-blocks-and-number-%d", i) }
	pairs := 0
	for i := 0; pairs < 3; i++ {
		k, err := r.parse(name(i))
		if err != nil {
			t.Fatal(err)
		}
		other, ok := seen[k.hash]
		seen[k.hash] = i
		if !ok {
			continue
		}
		pairs++
		a, b := Session(2*pairs), Session(2*pairs+1)
		if err := r.Login(name(i), a); err != nil {
			t.Fatal(err)
		}
		if rec, err := r.Send(name(other), nil, 0); err != nil || rec.Sessions != 0 {
			t.Errorf("message for %s reached a holder of %s", name(other), name(i))
		}
		if err := r.Login(name(other), b); err != nil {
			t.Fatal(err)
		}
		for s, id := range map[Session][]byte{a: name(i), b: name(other)} {
			clear(got)
			if rec, err := r.Send(id, nil, 0); err != nil || rec.Sessions != 1 || got[s] != 1 {
				t.Errorf("message for %s reached %v, want session %d", id, got, s)
			}
		}
	}
	check(t, r)
}

func TestText(t *testing.T) {
	var m memory
	ids := []string{"a", "A", "~", "1.", "a.b_c~d-e"}
	for n := 2; n <= MaxID; n++ {
		ids = append(ids, strings.Repeat("x", n), strings.Repeat("x", n-1)+"y", "y"+strings.Repeat("x", n-1))
	}
	slots := make([]uint32, len(ids))
	for i, id := range ids {
		slots[i] = m.putText([]byte(id))
	}
	for i, slot := range slots {
		for k, id := range ids {
			if m.isText(slot, []byte(id)) != (i == k) {
				t.Errorf("the text of %q is said to be %q: %v", ids[i], id, i != k)
			}
		}
		if got := m.id(word{lo: slot, hi: textKey}); got != ids[i] {
			t.Errorf("the text of %q is read as %q", ids[i], got)
		}
	}
	for _, slot := range slots {
		m.dropText(slot)
	}
	if n := m.blocks.Len(); n != 0 {
		t.Errorf("%d blocks are left", n)
	}
}

// desk is a Stage that keeps the order of what passes it.
type desk struct {
	mu   sync.Mutex
	last int
}

func (d *desk) Enter(id, msg []byte, tag uint64) ([]byte, uint64, uint32) {
	if string(id) == "through" {
		return msg, tag, 0
	}
	d.mu.Lock()
	d.last++
	return strconv.AppendInt(nil, int64(d.last), 10), tag + 1, 7
}

func (d *desk) Leave(ticket uint32) {
	if ticket != 7 {
		panic("a ticket that Enter did not give")
	}
	d.mu.Unlock()
}

// Between Enter and Leave a message reaches all its sessions, so that those of many senders come in the order of their numbers.
func TestMessagesPassTheStage(t *testing.T) {
	var d desk
	var got []string
	r := NewLocal(func(s Session, msg []byte, tag uint64) {
		if s == 9 {
			got = append(got, string(msg)+"/"+strconv.FormatUint(tag, 10)) // under the stage's lock, or the race detector speaks
		}
	})
	r.Through(&d)
	for _, id := range []string{"a", "through"} {
		if err := r.Login([]byte(id), 9); err != nil {
			t.Fatal(err)
		}
	}
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for range 100 {
				r.Send([]byte("a"), []byte("x"), 1)
			}
		})
	}
	senders.Wait()
	for i, m := range got {
		if want := strconv.Itoa(i+1) + "/2"; m != want {
			t.Fatalf("message %d is %s, want %s", i+1, m, want)
		}
	}
	if r.Send([]byte("through"), []byte("as it is"), 3); len(got) != 801 || got[800] != "as it is/3" {
		t.Errorf("%d messages, the last %q", len(got), got[len(got)-1])
	}
	if _, err := r.Send([]byte("a b"), nil, 0); !errors.Is(err, ErrID) || d.last != 800 {
		t.Errorf("a bad id: %v, and %d messages have passed", err, d.last)
	}
}

func TestSessions(t *testing.T) {
	r := NewLocal(func(Session, []byte, uint64) {})
	login := func(id string, s Session) {
		t.Helper()
		if err := r.Login([]byte(id), s); err != nil {
			t.Fatal(err)
		}
	}
	const many = 1000
	for i := range many {
		login("anna", Session(i+1))
		login(strconv.Itoa(i), Session(i+1))
	}
	for i := range many / 2 {
		r.Logout(Session(2*i + 1))
	}
	for _, c := range []struct {
		id              string
		most, some, all int
	}{
		{"anna", many, many / 2, many / 2}, {"anna", 100, 100, many / 2}, {"anna", 0, 0, many / 2}, {"1", 100, 1, 1}, {"2", 100, 0, 0}, {"01", 100, 0, 0}, {"nobody", 100, 0, 0},
	} {
		room := []Session{77}
		got, all, err := r.Sessions(room, []byte(c.id), c.most)
		if err != nil || got[0] != 77 || len(got) != 1+c.some || all != c.all {
			t.Errorf("%s: %d of %d sessions, %v; want %d of %d", c.id, len(got)-1, all, err, c.some, c.all)
		}
		seen := map[Session]bool{}
		for _, s := range got[1:] {
			if s%2 != 0 || s > many || seen[s] {
				t.Errorf("%s: session %d is not there, or twice", c.id, s)
			}
			seen[s] = true
		}
	}
	if _, _, err := r.Sessions(nil, []byte("a b"), 1); !errors.Is(err, ErrID) {
		t.Errorf("a bad id: %v", err)
	}
}

// An id has as many sessions as it may have, however they come and go, and whatever its form; other ids do not matter.
func TestLimit(t *testing.T) {
	const most = 3
	r := NewLocal(func(Session, []byte, uint64) {})
	r.Limit(most)
	ids := []string{"7", "somebody", "a-name-that-is-longer-than-one-block-of-text"}
	held := map[string]map[Session]bool{}
	for _, id := range ids {
		held[id] = map[Session]bool{}
	}
	next := uint64(1)
	for range 20_000 { // sessions 1 to 8 in an order without a pattern
		next = next*6364136223846793005 + 1442695040888963407
		s, id := Session(next>>33%8+1), ids[next>>50%3]
		if next>>60 < 5 {
			r.Logout(s)
			for _, id := range ids {
				delete(held[id], s)
			}
			continue
		}
		err := r.Login([]byte(id), s)
		switch full := len(held[id]) == most && !held[id][s]; {
		case full != errors.Is(err, ErrFull) || !full && err != nil:
			t.Fatalf("session %d of %q, which %v hold: %v", s, id, held[id], err)
		case err == nil:
			held[id][s] = true
		}
	}
	check(t, r)
	for s := range Session(8) {
		r.Logout(s + 1)
	}
	for i := range r.ids {
		if n := len(r.ids[i].more); n != 0 {
			t.Errorf("%d ids are counted that nobody holds", n)
		}
	}
}
