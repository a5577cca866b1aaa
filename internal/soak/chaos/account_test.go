package chaos

import (
	"strings"
	"testing"
	"time"

	"cometctl/internal/timing"
	"cometctl/report"
)

const second = int64(time.Second)

// perStep counts n messages in each of the steps from..to-1.
func perStep(n, from, to int) *timing.Buckets {
	b := timing.NewBuckets(step)
	for k := from; k < to; k++ {
		for range n {
			b.Add(int64(k)*int64(step) + 1)
		}
	}
	return b
}

// less is b without n messages in each of the steps from..to-1.
func less(b *timing.Buckets, n, from, to int) *timing.Buckets {
	out := timing.NewBuckets(step)
	for at, count := range b.All() {
		if k := int(at / int64(step)); k >= from && k < to {
			count -= int64(n)
		}
		for range count {
			out.Add(at)
		}
	}
	return out
}

// quiet is a slot of 10 s in which 100 messages a second were published to NATS, and all arrived: through one node, which is the ledger.
func quiet() facts {
	sent := perStep(10, 5, 95)
	return facts{slot: span{0, 10 * second}, received: perStep(10, 5, 95),
		generators: []generated{{sent: 900, byDue: sent}},
		lives: []life{{node: "front-1", first: report.Ledger{Received: 50, Delivered: 50},
			last: report.Ledger{Received: 950, Delivered: 950}}}}
}

// faulty is quiet with a fault from 3 s to 5 s.
func faulty() facts {
	f := quiet()
	f.cover, f.cause = span{3 * second, 5 * second}, "front-1 was killed"
	return f
}

func TestAccount(t *testing.T) {
	for _, c := range []struct {
		name        string
		facts       facts
		bend        func(f *facts)
		bins        report.Bins // Due and Delivered are filled in
		missing     []int64     // of the windows
		unexplained int64
		fails       string // the check that must
		says        string
	}{
		{name: "all well", facts: quiet(), bins: report.Bins{Due: 900, Delivered: 900}},
		{name: "nothing was sent", facts: facts{slot: span{0, second}, received: timing.NewBuckets(step)}},
		{name: "messages of other slots do not count", facts: quiet(), bend: func(f *facts) {
			for range 7 {
				f.received.Add(11 * second)
			}
		}, bins: report.Bins{Due: 900, Delivered: 900}},
		{name: "offline while the fault lasts", facts: faulty(), bend: func(f *facts) {
			f.received = less(f.received, 2, 30, 45)
			f.generators[0].offline = 30
			f.lives[0].last.Received -= 30
			f.lives[0].last.Delivered -= 30
		}, bins: report.Bins{Due: 900, Delivered: 870, Offline: 30}, missing: []int64{30}},
		{name: "lost with a process that was killed", facts: faulty(), bend: func(f *facts) {
			f.received = less(f.received, 10, 30, 31)
			f.lives[0].torn, f.lives[0].last = true, report.Ledger{Received: 300, Delivered: 299, Pending: 1}
			f.lives = append(f.lives, life{node: "front-1", last: report.Ledger{Received: 400, Delivered: 400}})
		}, bins: report.Bins{Due: 900, Delivered: 890, Lost: 10}, missing: []int64{10}},
		{name: "every other bin", facts: faulty(), bend: func(f *facts) {
			f.received = less(f.received, 10, 30, 32)
			l := &f.lives[0].last
			l.Received, l.Delivered, l.Dropped, l.Gone, l.Overrun = l.Received-4-7, l.Delivered-20, l.Dropped+6, l.Gone+3, l.Overrun+4
		}, bins: report.Bins{Due: 900, Delivered: 880, Dropped: 6, Gone: 3, Overrun: 4, Lost: 7}, missing: []int64{20}},
		{name: "published over HTTP", facts: faulty(), bend: func(f *facts) {
			f.received = less(f.received, 10, 30, 32)
			f.generators[0] = generated{sent: 905, unsent: 11, unconfirmed: 5, overHTTP: true, byDue: f.generators[0].byDue}
			f.lives[0].last.Sent, f.lives[0].last.Received = 900, 50
			f.lives[0].last.Delivered, f.lives[0].last.Unpublished, f.lives[0].last.Offline = 930, 8, 12
		}, bins: report.Bins{Due: 911, Delivered: 880, Unpublished: 8, Offline: 12, Unsent: 11}, missing: []int64{20}},
		{name: "received by a client that died", facts: faulty(), bend: func(f *facts) {
			f.received, f.noClient = less(f.received, 10, 30, 32), true
		}, bins: report.Bins{Due: 900, Delivered: 880, Lost: 20}, missing: []int64{20}},
		{name: "two windows, far from each other", facts: faulty(), bend: func(f *facts) {
			f.received = less(less(f.received, 1, 30, 31), 1, 40, 41)
			f.lives[0].torn = true
		}, bins: report.Bins{Due: 900, Delivered: 898, Lost: 2}, missing: []int64{1, 1}},

		// What must fail.
		{name: "a message came twice", facts: faulty(), bend: func(f *facts) { f.duplicated = 1 },
			bins: report.Bins{Due: 900, Delivered: 900}, fails: "once", says: "1 messages arrived twice"},
		{name: "lost without a fault", facts: quiet(), bend: func(f *facts) {
			f.received = less(f.received, 1, 30, 31)
			f.lives[0].last.Received--
			f.lives[0].last.Delivered--
		}, bins: report.Bins{Due: 900, Delivered: 899, Lost: 1}, missing: []int64{1}, unexplained: 1, fails: "explained", says: "nothing had happened"},
		{name: "lost after the fault", facts: faulty(), bend: func(f *facts) {
			f.received = less(less(f.received, 5, 40, 41), 3, 60, 61)
			f.lives[0].torn = true
		}, bins: report.Bins{Due: 900, Delivered: 892, Lost: 8}, missing: []int64{5, 3}, unexplained: 3, fails: "explained", says: "no fault covers"},
		{name: "offline after the fault", facts: faulty(), bend: func(f *facts) {
			f.received = less(f.received, 3, 60, 61)
			f.generators[0].offline = 3
			f.lives[0].last.Received -= 3
			f.lives[0].last.Delivered -= 3
		}, bins: report.Bins{Due: 900, Delivered: 897, Offline: 3}, missing: []int64{3}, unexplained: 3, fails: "explained"},
		{name: "two bins", facts: faulty(), bend: func(f *facts) { f.generators[0].offline = 2 },
			bins: report.Bins{Due: 900, Delivered: 900, Offline: 2, Lost: -2}, fails: "accounted", says: "2 messages are in two bins"},
		{name: "received and never sent", facts: faulty(), bend: func(f *facts) {
			f.received = less(f.received, 4, 30, 31)
			for range 4 {
				f.received.Add(70 * int64(step))
			}
		}, bins: report.Bins{Due: 900, Delivered: 900}, missing: []int64{4, -4}, fails: "accounted", says: "nobody had sent"},
		{name: "still queued", facts: faulty(), bend: func(f *facts) {
			f.received = less(f.received, 2, 35, 36)
			f.lives[0].last.Delivered -= 2
			f.lives[0].last.Pending = 2
		}, bins: report.Bins{Due: 900, Delivered: 898, Pending: 2}, missing: []int64{2}, fails: "accounted", says: "still queued"},
		{name: "a ledger does not add up", facts: faulty(), bend: func(f *facts) { f.lives[0].last.Received++ },
			bins: report.Bins{Due: 900, Delivered: 900}, fails: "accounted", says: "do not add up"},
		{name: "written to a socket and never received", facts: faulty(), bend: func(f *facts) { f.received = less(f.received, 10, 30, 31) },
			bins: report.Bins{Due: 900, Delivered: 890, Lost: 10}, missing: []int64{10}, fails: "accounted", says: "say they delivered 900 messages, the clients received 890"},
		{name: "received more than forwarded", facts: faulty(), bend: func(f *facts) {
			f.lives[0].last.Delivered++
			f.lives[0].last.Received++
		}, bins: report.Bins{Due: 900, Delivered: 900}, fails: "accounted", says: "1 messages more than were forwarded"},
		{name: "lost where only numbers are known", facts: quiet(), bend: func(f *facts) {
			f.untimed = true
			f.lives[0].last.Sent += 90
			f.lives[0].last.Forwarded += 90
			f.lives[0].last.Received += 88
			f.lives[0].last.Delivered += 88
			for range 88 {
				f.received.Add(50 * int64(step))
			}
		}, bins: report.Bins{Due: 990, Delivered: 988, Lost: 2}, missing: []int64{2}, unexplained: 2, fails: "explained"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.bend != nil {
				c.bend(&c.facts)
			}
			var s report.Slot
			account(c.facts, &s)
			if s.Bins != c.bins {
				t.Errorf("bins %+v, want %+v", s.Bins, c.bins)
			}
			if s.Bins.Sum() != s.Bins.Due {
				t.Errorf("the bins hold %d of %d", s.Bins.Sum(), s.Bins.Due)
			}
			var missing []int64
			for _, w := range s.Windows {
				missing = append(missing, w.Missing)
			}
			if len(missing) != len(c.missing) {
				t.Fatalf("windows %+v, want %v", s.Windows, c.missing)
			}
			for i := range missing {
				if missing[i] != c.missing[i] {
					t.Errorf("windows %+v, want %v", s.Windows, c.missing)
				}
			}
			if s.Unexplained != c.unexplained {
				t.Errorf("%d unexplained, want %d", s.Unexplained, c.unexplained)
			}
			for _, k := range s.Checks {
				if k.OK != (k.Name != c.fails) || k.Name == c.fails && !strings.Contains(k.Found, c.says) {
					t.Errorf("check %+v; %q must fail with %q", k, c.fails, c.says)
				}
			}
		})
	}
}

// A window knows when, to the step, and why.
func TestWindows(t *testing.T) {
	f := faulty()
	f.received = less(less(f.received, 2, 29, 34), 1, 48, 52)
	var s report.Slot
	account(f, &s)
	want := []report.Window{
		{From: 29 * int64(step), To: 30 * int64(step), Missing: 2, Cause: report.Unexplained},
		{From: 30 * int64(step), To: 34 * int64(step), Missing: 8, Cause: "front-1 was killed"},
		{From: 48 * int64(step), To: 50 * int64(step), Missing: 2, Cause: "front-1 was killed"},
		{From: 50 * int64(step), To: 52 * int64(step), Missing: 2, Cause: report.Unexplained},
	}
	if len(s.Windows) != len(want) {
		t.Fatalf("windows %+v", s.Windows)
	}
	for i := range want {
		if s.Windows[i] != want[i] {
			t.Errorf("window %d: %+v, want %+v", i, s.Windows[i], want[i])
		}
	}
}

func TestCover(t *testing.T) {
	recovered := 1500.0
	at, repaired, end := 10*second, 11*second, 30*second
	for _, c := range []struct {
		name    string
		slot    report.Slot
		lag     time.Duration
		from    int64
		to      int64
		nothing bool
	}{
		{name: "baseline", slot: report.Slot{Name: baseline}, nothing: true},
		{name: "costs nothing", slot: report.Slot{Name: killMsggen, At: at, Repaired: repaired, RecoverMS: &recovered}, nothing: true},
		{name: "usual", slot: report.Slot{Name: killFront, At: at, Repaired: repaired, RecoverMS: &recovered},
			from: at - second/5, to: 12*second + 6*second/10},
		{name: "late generator", slot: report.Slot{Name: killFront, At: at, Repaired: repaired, RecoverMS: &recovered}, lag: 300 * time.Millisecond,
			from: at - second/2, to: 12*second + 6*second/10},
		{name: "generator in trouble", slot: report.Slot{Name: killFront, At: at, Repaired: repaired, RecoverMS: &recovered}, lag: time.Minute,
			from: at - second*12/10, to: 12*second + 6*second/10},
		{name: "client", slot: report.Slot{Name: killFlood, At: at, Repaired: repaired, RecoverMS: &recovered},
			from: at - second*14/10, to: 12*second + 6*second/10},
		{name: "never whole again", slot: report.Slot{Name: killFront, At: at, Repaired: repaired}, from: at - second/5, to: end},
	} {
		got := coverOf(c.slot, facts{slot: span{0, end}, generators: []generated{{lagMax: c.lag}}})
		want := span{c.from, c.to}
		if c.nothing {
			want = span{}
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}
