package flood

import (
	"io"
	"strings"
	"testing"
	"time"

	"cometctl/internal/wire"
)

func TestParseRedial(t *testing.T) {
	for text, want := range map[string]Redial{
		"": {}, "none": {}, "0": {}, "0s": {},
		"immediate": {Policy: PolicyImmediate},
		"250ms":     {Policy: PolicyAbout, First: 250 * time.Millisecond},
		"backoff":   {Policy: PolicyBackoff, First: DefaultBackoffFirst, Most: DefaultBackoffMost},
	} {
		if got, err := ParseRedial(text); err != nil || got != want || got.On() != (want != Redial{}) || got.Check() != nil {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "-1s", "5", "25h", "backoff 1s", "Immediate"} {
		if r, err := ParseRedial(text); err == nil || !strings.HasPrefix(err.Error(), text+": give none,") {
			t.Errorf("%q: %+v, error %v", text, r, err)
		}
	}
	for _, r := range []Redial{{Respect: true}, {First: 1}, {Policy: "x"}, {Policy: PolicyAbout}, {Policy: PolicyAbout, First: 48 * time.Hour},
		{Policy: PolicyImmediate, First: 1}, {Policy: PolicyBackoff, First: 2, Most: 1}, {Policy: PolicyBackoff, Most: 1}} {
		if r.Check() == nil {
			t.Errorf("%+v was accepted", r)
		}
	}
}

func TestParseBackoff(t *testing.T) {
	if first, most, err := ParseBackoff("500ms..30s"); err != nil || first != 500*time.Millisecond || most != 30*time.Second {
		t.Errorf("%v..%v, %v", first, most, err)
	}
	for text, want := range map[string]string{
		"":         `"": there is no .. in it`,
		"5s":       `"5s": there is no .. in it`,
		"5..30s":   `"5..30s": "5" at 0 is no time`,
		"5s..":     `"5s..": "" at 4 is no time`,
		"..5s":     `"..5s": "" at 0 is no time`,
		"0s..5s":   `"0s..5s": "0s" at 0 is no time of more than zero`,
		"1s..25h":  `"1s..25h": "25h" at 4 is no time of more than zero and at most 24h`,
		"2s..1s":   `"2s..1s": 1s at 4 is less than 2s`,
		"1s..2s ":  `"1s..2s ": "2s " at 4 is no time`,
		"1s...2s":  `"1s...2s": ".2s" at 4`,
		"1s..2..3": `"1s..2..3": "2..3" at 4 is no time`,
	} {
		first, most, err := ParseBackoff(text)
		if text == "1s...2s" { // Go reads .2s as a fifth of a second
			want = `"1s...2s": 200ms at 4 is less than 1s`
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v..%v, %v; want %s", text, first, most, err, want)
		}
	}
}

func FuzzRedial(f *testing.F) {
	for _, s := range []string{"immediate", "500ms", "500ms..30s", "1h..24h", ".."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseRedial(s); err == nil && r.Check() != nil {
			t.Errorf("%q made %+v", s, r)
		}
		if first, most, err := ParseBackoff(s); err == nil && (Redial{Policy: PolicyBackoff, First: first, Most: most}).Check() != nil {
			t.Errorf("%q made %v..%v", s, first, most)
		}
	})
}

// The shortest, and the longest, that may be drawn.
func TestRedialWait(t *testing.T) {
	least, most := func(int64) int64 { return 0 }, func(n int64) int64 { return n }
	for _, c := range []struct {
		r        Redial
		waits    uint8
		lost     bool
		from, to time.Duration
	}{
		{about(time.Second), 0, true, time.Second / 2, 3 * time.Second / 2},
		{about(time.Second), 9, false, time.Second / 2, 3 * time.Second / 2},
		{Redial{Policy: PolicyImmediate}, 0, true, 0, 0},
		{Redial{Policy: PolicyImmediate}, 0, false, 50 * time.Millisecond, 150 * time.Millisecond},
		{Redial{Policy: PolicyImmediate}, 3, false, 50 * time.Millisecond, 150 * time.Millisecond},
		{Redial{Policy: PolicyBackoff, First: time.Second, Most: 5 * time.Second}, 0, true, 0, time.Second},
		{Redial{Policy: PolicyBackoff, First: time.Second, Most: 5 * time.Second}, 2, false, 0, 4 * time.Second},
		{Redial{Policy: PolicyBackoff, First: time.Second, Most: 5 * time.Second}, 3, false, 0, 5 * time.Second},
		{Redial{Policy: PolicyBackoff, First: time.Second, Most: 5 * time.Second}, 60, false, 0, 5 * time.Second},
		{Redial{Policy: PolicyBackoff, First: time.Second, Most: 5 * time.Second}, 255, false, 0, 5 * time.Second},
	} {
		if from, to := c.r.wait(c.waits, c.lost, least), c.r.wait(c.waits, c.lost, most); from != c.from || to != c.to {
			t.Errorf("%+v, %d waits: %v to %v, want %v to %v", c.r, c.waits, from, to, c.from, c.to)
		}
	}
}

// next lets the time pass until the lane wants to be filled, and returns how long that was.
func (r *rig) next() time.Duration {
	at := r.lane.wake()
	took := at - r.now
	r.now = max(at, r.now)
	r.dialAll()
	return time.Duration(took)
}

// The bound of the wait doubles with each failure, and is the first one again for who was open.
func TestBackoffGrows(t *testing.T) {
	const targets = 200
	r := newRig(t, targets, "http://127.0.0.1:8000/test/{1..200}")
	r.redialBy(Redial{Policy: PolicyBackoff, First: time.Second, Most: 4 * time.Second})
	r.dialAll()
	for round, most := range []int64{1e9, 2e9, 4e9, 4e9} {
		from := len(r.conns)
		if from != targets*(round+1) {
			t.Fatalf("round %d: %d dials", round, from)
		}
		for _, c := range r.conns[from-targets:] {
			r.hangUp(c, errRefused())
		}
		var longest, sum int64
		for _, w := range r.parking.queue {
			longest, sum = max(longest, w.due-r.now), sum+w.due-r.now
		}
		if mean := sum / targets; longest > most || longest < most*9/10 || mean < most*4/10 || mean > most*6/10 {
			t.Errorf("round %d: waits of %d ns at most, %d in the middle; want %d and half of it", round, longest, mean, most)
		}
		r.now += 4e9
		r.dialAll()
	}
	for _, c := range r.conns[targets*4:] {
		r.open(c)
		r.read(c, okHead)
		r.hangUp(c, io.EOF)
	}
	for _, w := range r.parking.queue {
		if w.due-r.now > 1e9 {
			t.Fatalf("who was open waits %d ns", w.due-r.now)
		}
	}
}

// Equal seeds draw the same.
func TestRedialSeed(t *testing.T) {
	var waits [3]int64
	for i, seed := range []uint64{1, 1, 2} {
		p := newParking(about(time.Second), seed, 0)
		p.wait(p.past.Alloc(), 0, true, 0)
		waits[i] = p.queue[0].due
	}
	if waits[0] != waits[1] || waits[0] == waits[2] {
		t.Errorf("seeds 1, 1 and 2 draw %v", waits)
	}
}

const sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

// The next connection says where the last event that came whole was, however often a dial fails in between, and
// waits as long as the stream wants it to.
func TestResumeStream(t *testing.T) {
	r := newRig(t, 1, "http://127.0.0.1:8000/")
	r.redialBy(Redial{Policy: PolicyImmediate, Respect: true, Resume: true})
	r.dialAll()
	r.open(1)
	r.read(1, sseHead+"retry: 3000\nid: 1")
	r.read(1, "2:7\ndata: x\n\nid: 8\ndata: half")
	if r.hangUp(1, io.EOF); r.next() != 3*time.Second {
		t.Errorf("dialed again after %v, want 3s", r.now-testStart)
	}
	r.hangUp(2, errRefused())
	if wait := r.next(); wait < 3050*time.Millisecond || wait > 3150*time.Millisecond {
		t.Errorf("dialed again after %v, want about 3.1s", wait)
	}
	r.refuse = errNoPorts()
	r.hangUp(3, errRefused())
	r.next()
	r.refuse = nil
	r.next()
	r.open(4)
	if !strings.HasSuffix(r.written[3], "\r\nLast-Event-ID: 12:7\r\n\r\n") {
		t.Errorf("asked %q, want from 12:7 on", r.written[3])
	}
	r.read(4, sseHead+"data: no id of its own\n\n")
	r.hangUp(4, io.EOF)
	r.next()
	r.open(5)
	if !strings.HasSuffix(r.written[4], "\r\nLast-Event-ID: 12:7\r\n\r\n") {
		t.Errorf("asked %q, want from 12:7 on", r.written[4])
	}
	r.read(5, sseHead)
	if n := r.heads.places.slab.Len(); n != 1 {
		t.Errorf("%d places are kept, want 1", n)
	}
	r.lane.stop(r.fakeLoop)
	if n := r.heads.places.slab.Len(); n != 0 {
		t.Errorf("%d places are left", n)
	}
	if got := r.result(); got.Open != 1 || got.Reconnects != 2 || got.ClosedEarly != 2 || got.Failed != 3 {
		t.Errorf("result %+v", got)
	}
}

// Nobody asked for it: nothing is kept, and nothing said.
func TestResumeNot(t *testing.T) {
	for _, redial := range []Redial{about(time.Second), {Policy: PolicyAbout, First: time.Second, Respect: true}} {
		r := newRig(t, 1, "http://127.0.0.1:8000/")
		r.redialBy(redial)
		r.dialAll()
		r.open(1)
		r.read(1, sseHead+"id: 7\n\n")
		if n := r.heads.places.slab.Len(); redial.Respect != (n == 1) {
			t.Errorf("%+v: %d places are kept", redial, n)
		}
		r.hangUp(1, io.EOF)
		r.next()
		r.open(2)
		if strings.Contains(r.written[1], "Last-Event-ID") {
			t.Errorf("%+v: asked %q", redial, r.written[1])
		}
	}
}

// A poll goes on from where the last answer ended, also on the next connection.
func TestResumePoll(t *testing.T) {
	r := newRig(t, 1, "http://127.0.0.1:8000/poll/7")
	r.redialBy(Redial{Policy: PolicyImmediate, Resume: true})
	r.plan.targets.hosts[0].dialect = dialectPoll
	r.dialAll()
	r.open(1)
	r.read(1, "HTTP/1.1 200 OK\r\nLast-Event-ID: 41\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
	for c := range 2 {
		r.next()
		if c == 0 {
			r.hangUp(2, errRefused())
		}
	}
	r.open(3)
	if !strings.HasPrefix(r.written[2], "GET /poll/7?since=41 HTTP/1.1\r\n") {
		t.Errorf("asked %q, want from 41 on", r.written[2])
	}
	r.lane.stop(r.fakeLoop)
	if n := r.heads.marks.slab.Len(); n != 0 {
		t.Errorf("%d marks are left", n)
	}
}

// A server that is full says when it is not.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		answer string
		want   time.Duration
	}{
		{"503 No\r\nRetry-After: 7\r\n", 7 * time.Second},
		{"429 No\r\nRetry-After: 7\r\n", 7 * time.Second},
		{"404 No\r\nRetry-After: 7\r\n", 0},
		{"503 No\r\n", 0},
		{"503 No\r\nRetry-After: soon\r\n", 0},
		{"503 No\r\nRetry-After: -1\r\n", 0},
		{"503 No\r\nRetry-After: 99999999999999999999\r\n", maxWait},
		{"503 No\r\nDate: Wed, 25 Nov 2026 08:00:00 GMT\r\nRetry-After: Wed, 25 Nov 2026 08:00:30 GMT\r\n", 30 * time.Second},
		{"503 No\r\nDate: Wed, 25 Nov 2026 08:00:00 GMT\r\nRetry-After: Wed, 25 Nov 2026 07:00:30 GMT\r\n", 0},
		{"503 No\r\nDate: today\r\nRetry-After: Wed, 25 Nov 1998 07:00:30 GMT\r\n", 0},
	} {
		r := newRig(t, 1, "http://127.0.0.1:8000/")
		r.redialBy(Redial{Policy: PolicyImmediate, Respect: true})
		r.dialAll()
		r.open(1)
		r.read(1, "HTTP/1.1 "+c.answer+"Content-Length: 0\r\n\r\n")
		if wait := r.next(); wait < c.want+50*time.Millisecond || wait > c.want+150*time.Millisecond {
			t.Errorf("%q: waited %v, want %v and some 100 ms", c.answer, wait, c.want)
		}
		r.hangUp(2, errRefused()) // it was said once
		if wait := r.next(); wait > 150*time.Millisecond {
			t.Errorf("%q: waited %v the second time", c.answer, wait)
		}
	}
	var none wire.Response
	if d := retryAfter(&none); d != 0 {
		t.Errorf("%v from nothing", d)
	}
}
