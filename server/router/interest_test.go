package router

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestInterest logs sessions in and out and compares what Interest is told with what a reader of the calls expects.
func TestInterest(t *testing.T) {
	var told []string
	r := NewWatched(func(Session, []byte, uint64) {}, func(id string) { told = append(told, id) })
	login := func(id string, s Session) {
		t.Helper()
		if err := r.Login([]byte(id), s); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("a.b~", MaxID/4)
	for _, c := range []struct {
		what string
		do   func()
		want []string // in any order
	}{
		{"first session", func() { login("7", 1) }, []string{"7"}},
		{"second session", func() { login("7", 2) }, nil},
		{"the same pair again", func() { login("7", 1) }, nil},
		{"more ids", func() { login("007", 1); login(long, 1); login("9223372036854775807", 1) },
			[]string{"007", long, "9223372036854775807"}},
		{"a bad id", func() { _ = r.Login([]byte("a b"), 1) }, nil},
		{"one of two leaves", func() { r.Logout(2) }, nil},
		{"a stranger leaves", func() { r.Logout(3) }, nil},
		{"the last leaves", func() { r.Logout(1) }, []string{"007", "7", long, "9223372036854775807"}},
		{"again", func() { r.Logout(1) }, nil},
		{"it comes back", func() { login(long, 1); r.Logout(1); login(long, 1) }, []string{long, long, long}},
	} {
		told = nil
		c.do()
		slices.Sort(told)
		slices.Sort(c.want)
		if !slices.Equal(told, c.want) {
			t.Errorf("%s: told of %q, want %q", c.what, told, c.want)
		}
	}
	for id, want := range map[string]bool{long: true, "7": false, "": false, "a b": false} {
		if r.Holds([]byte(id)) != want {
			t.Errorf("Holds(%.20q) is %v", id, !want)
		}
	}
	check(t, r)
}

// TestInterestOrder holds that the calls for one id alternate: first, last, first, however the goroutines meet.
func TestInterestOrder(t *testing.T) {
	var held [8]bool // by id; guarded by its id's lock, which is the point
	r := NewWatched(func(Session, []byte, uint64) {}, func(id string) { held[id[0]-'0'] = !held[id[0]-'0'] })
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 2000 {
				s := Session(w*2000 + i + 1)
				if err := r.Login(fmt.Append(nil, i%len(held)), s); err != nil {
					t.Error(err)
				}
				if i%8 != 7 || i == 1999 {
					r.Logout(s)
				}
			}
		})
	}
	all.Wait()
	for i := range held {
		if id := fmt.Append(nil, i); r.Holds(id) != held[i] {
			t.Errorf("id %s: told %v, holds %v", id, held[i], r.Holds(id))
		}
	}
	if !held[7] {
		t.Error("sessions of id 7 are still there, and nobody was told")
	}
}
