// Package routertest is the contract of router.Router as a suite of tests, for every implementation that there is. Only
// tests import it.
package routertest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cometctl/server/router"
)

// Run tests what every Router promises. newRouter makes an empty one for one case and its test. steps is the length of the
// longest case, a random walk beside a model: 30,000 for a router that needs a microsecond for each.
func Run(t *testing.T, steps int, newRouter func(*testing.T, router.Deliver) router.Router) {
	for _, c := range []struct {
		name string
		f    func(*testing.T, *desk)
	}{
		{"every session of an id receives once", testFanOut},
		{"the same pair twice is one login", testSamePair},
		{"logout forgets all ids", testLogout},
		{"nobody holds the id", testOffline},
		{"a session that comes back", testComeBack},
		{"bad ids", testBadIDs},
		{"good ids are all different", testGoodIDs},
		{"no session", testNoSession},
		{"a thousand sessions of one id", testPopularID},
		{"sixty-four ids of one session", testBusySession},
		{"slices are lent", testLent},
		{"deliver may call the router", testReentry},
		{"as a map of maps would do it", func(t *testing.T, d *desk) { testModel(t, d, steps) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &desk{t: t}
			d.Router = newRouter(t, func(s router.Session, msg []byte, tag uint64) { d.deliver(s, msg, tag) })
			c.f(t, d)
		})
	}
}

// desk is a router on a test's table: it writes down what was delivered.
type desk struct {
	router.Router
	t   *testing.T
	got []router.Session
	on  func(s router.Session) // called within deliver
	msg string                 // what the running Send sends
	tag uint64
}

func (d *desk) deliver(s router.Session, msg []byte, tag uint64) {
	if string(msg) != d.msg || tag != d.tag {
		d.t.Errorf("delivered %q tag %d, sent %q tag %d", msg, tag, d.msg, d.tag)
	}
	d.got = append(d.got, s)
	if d.on != nil {
		d.on(s)
	}
}

func (d *desk) login(id string, s router.Session) {
	d.t.Helper()
	if err := d.Login([]byte(id), s); err != nil {
		d.t.Fatalf("Login(%q, %d): %v", id, s, err)
	}
}

// send sends to id and returns who got it, in ascending order.
func (d *desk) send(id string) []router.Session {
	d.t.Helper()
	d.got, d.tag = nil, d.tag+1<<33
	d.msg = fmt.Sprint("to ", id, " no ", d.tag)
	rec, err := d.Send([]byte(id), []byte(d.msg), d.tag)
	if err != nil {
		d.t.Fatalf("Send(%q): %v", id, err)
	}
	if rec.Sessions != len(d.got) {
		d.t.Errorf("Send(%q): receipt for %d sessions, %d were called", id, rec.Sessions, len(d.got))
	}
	slices.Sort(d.got)
	return d.got
}

func (d *desk) want(id string, want ...router.Session) {
	d.t.Helper()
	if got := d.send(id); !slices.Equal(got, want) {
		d.t.Errorf("message for %q reached %d, want %d", id, got, want)
	}
}

func testFanOut(t *testing.T, d *desk) {
	d.login("123", 7)
	d.login("123", 1<<63|8)
	d.login("123", 9)
	d.login("124", 10)
	d.login("anna", 9)
	d.login("anna", 10)
	d.want("123", 7, 9, 1<<63|8)
	d.want("124", 10)
	d.want("anna", 9, 10)
}

func testSamePair(t *testing.T, d *desk) {
	for range 3 {
		d.login("1", 5)
		d.login("joe", 5)
		d.login("joe", 6)
	}
	d.want("1", 5)
	d.want("joe", 5, 6)
	d.Logout(5)
	d.want("1")
	d.want("joe", 6)
}

func testLogout(t *testing.T, d *desk) {
	d.Logout(1) // who never was there
	for _, id := range []string{"1", "2", "x", "y"} {
		d.login(id, 1)
		d.login(id, 2)
	}
	d.Logout(1)
	d.Logout(1)
	d.Logout(3)
	d.Logout(0)
	for _, id := range []string{"1", "2", "x", "y"} {
		d.want(id, 2)
	}
	d.Logout(2)
	for _, id := range []string{"1", "2", "x", "y"} {
		d.want(id)
	}
}

func testOffline(t *testing.T, d *desk) {
	d.want("1")
	d.want("nobody")
	d.login("2", 1)
	d.login("somebody", 1)
	d.want("1")
	d.want("nobody")
	d.want("somebod")
	d.want("somebody2")
}

func testComeBack(t *testing.T, d *desk) {
	for range 100 {
		d.login("1", 5)
		d.login("a", 5)
		d.want("1", 5)
		d.want("a", 5)
		d.Logout(5)
		d.want("1")
		d.want("a")
	}
}

func testBadIDs(t *testing.T, d *desk) {
	for _, c := range []struct{ id, says string }{
		{"", "empty"},
		{" ", "byte 1"},
		{"a b", `"a b": byte 2 is ' '`},
		{"a/b", "byte 2 is '/'"},
		{"a\x00", `byte 2 is '\x00'`},
		{"%00", "byte 1 is '%'"},
		{"12\n", "byte 3"},
		{"+1", "byte 1"},
		{"caf\xc3\xa9", "byte 4"},
		{"a\tb", "byte 2"},
		{strings.Repeat("a", 129), "129 bytes; at most 128"},
		{strings.Repeat("1", 129), "129 bytes"},
		{strings.Repeat("z", 1<<20), "1048576 bytes"},
	} {
		err := d.Login([]byte(c.id), 1)
		_, errSend := d.Send([]byte(c.id), nil, 0)
		for _, err := range []error{err, errSend, router.ValidID([]byte(c.id))} {
			if !errors.Is(err, router.ErrID) || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 300 {
				t.Errorf("id %.20q: error %v, want an router.ErrID that says %q", c.id, err, c.says)
			}
		}
	}
	if len(d.got) != 0 {
		t.Errorf("delivered to %d", d.got)
	}
}

// goodIDs are ids that a careless compact form might take for one another.
func goodIDs() []string {
	ids := []string{
		"0", "00", "000", "7", "07", "007", "7.", ".7", "-7", "7-", "-0", "70", "1e3", "0x7", "1_000",
		"9223372036854775807", "9223372036854775808", "09223372036854775807", "18446744073709551615", "18446744073709551616",
		"9999999999999999999", "99999999999999999999", "4294967295", "4294967296", "4294967297", "2147483648",
		"a", "A", "~", ".", "..", "_", "-", "~1.2.3.4~", "anna", "Anna", "anna.", "a.b_c~d-e", "zzzzzzzzzzz",
	}
	for n := 1; n <= router.MaxID; n++ {
		ids = append(ids, strings.Repeat("x", n), strings.Repeat("x", n-1)+"y", "y"+strings.Repeat("x", n)[1:])
		if n > 1 {
			ids = append(ids, strings.Repeat("1", n-1)+"2", strings.Repeat("0", n-1)+".")
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func testGoodIDs(t *testing.T, d *desk) {
	ids := goodIDs()
	for i, id := range ids {
		d.login(id, router.Session(i+1))
	}
	for i, id := range ids {
		d.want(id, router.Session(i+1))
	}
	for i := range ids {
		if i%2 == 0 {
			d.Logout(router.Session(i + 1))
		}
	}
	for i, id := range ids {
		if i%2 == 0 {
			d.want(id)
		} else {
			d.want(id, router.Session(i+1))
		}
	}
}

func testNoSession(t *testing.T, d *desk) {
	if err := d.Login([]byte("1"), 0); !errors.Is(err, router.ErrNoSession) {
		t.Errorf("Login of session 0: %v", err)
	}
	d.want("1")
}

func testPopularID(t *testing.T, d *desk) {
	for _, id := range []string{"1", "everybody.reads.this.channel"} {
		var want []router.Session
		for s := router.Session(1); s <= 1000; s++ {
			d.login(id, s)
			want = append(want, s)
		}
		d.want(id, want...)
		rnd := rand.New(rand.NewPCG(1, 2))
		for len(want) > 0 {
			for range min(len(want), 1+rnd.IntN(60)) {
				i := rnd.IntN(len(want))
				d.Logout(want[i])
				want = slices.Delete(want, i, i+1)
			}
			d.want(id, want...)
		}
	}
}

func testBusySession(t *testing.T, d *desk) {
	var ids []string
	for i := range 32 {
		ids = append(ids, fmt.Sprint(i), fmt.Sprintf("room-%d", i))
	}
	for _, id := range ids {
		d.login(id, 1)
		d.login(id, 2)
	}
	for _, id := range ids {
		d.want(id, 1, 2)
	}
	d.Logout(1)
	for _, id := range ids {
		d.want(id, 2)
	}
}

func testLent(t *testing.T, d *desk) {
	for i, id := range []string{"12345", "anna", "a.longer.id.than.one.block.has.room"} {
		b := []byte(id)
		if err := d.Login(b, router.Session(i+1)); err != nil {
			t.Fatal(err)
		}
		copy(b, bytes.Repeat([]byte("9"), len(b)))
		d.want(id, router.Session(i+1))
		d.want(string(b))
	}
}

func testReentry(t *testing.T, d *desk) {
	for s := router.Session(1); s <= 40; s++ {
		d.login("1", s)
		d.login("b", s)
	}
	d.on = func(s router.Session) {
		d.Logout(s)
		d.login("2", s)
	}
	if got := len(d.send("1")); got != 40 {
		t.Errorf("reached %d of 40", got)
	}
	d.on = nil
	d.want("1")
	d.want("b")
	if got := len(d.send("2")); got != 40 {
		t.Errorf("40 sessions changed their id within deliver, %d hold the new one", got)
	}
}

// testModel does the same random things to the router and to a map of maps, and compares what a Send reaches.
func testModel(t *testing.T, d *desk, steps int) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("random seed %d", seed)
		}
	}()
	rnd := rand.New(rand.NewPCG(seed, 0))
	ids := goodIDs()[:120]
	holders := map[string]map[router.Session]bool{}
	session := func() router.Session { return router.Session(1+rnd.IntN(8))<<60 | router.Session(rnd.IntN(40)) }
	for range steps {
		id, s := ids[rnd.IntN(1+rnd.IntN(len(ids)))], session()
		switch op := rnd.IntN(100); {
		case op < 45:
			d.login(id, s)
			if holders[id] == nil {
				holders[id] = map[router.Session]bool{}
			}
			holders[id][s] = true
		case op < 60:
			d.Logout(s)
			for _, h := range holders {
				delete(h, s)
			}
		default:
			var want []router.Session
			for s := range holders[id] {
				want = append(want, s)
			}
			slices.Sort(want)
			d.want(id, want...)
		}
		if t.Failed() {
			return
		}
	}
}
