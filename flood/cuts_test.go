package flood

import (
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"cometctl/internal/pace"
	"cometctl/internal/timing"
	"cometctl/internal/wire"
)

const ms = int64(time.Millisecond)

func TestCuts(t *testing.T) {
	var c cuts
	at := func(n int64) int64 { return testStart + n*ms }
	var ids []uint32
	for _, lost := range []int64{0, 5, 900, 1900, 2901, 9000} {
		ids = append(ids, c.lose(at(lost)))
	}
	if fmt.Sprint(ids) != "[1 1 1 1 2 3]" {
		t.Errorf("cuts %v, want what is no more than a second apart in one", ids)
	}
	for _, back := range []int64{2000, 2001, 2104} {
		c.find(1).opened(at(back))
	}
	c.find(3).opened(at(9500))
	r := c.recovery(testStart - 1500*ms)
	if r.More != 0 || len(r.Cuts) != 3 {
		t.Fatalf("%+v", r)
	}
	if first := r.Cuts[0]; first.AtS != 1.5 || first.Lost != 4 || first.LostMs != 1900 || first.Back != 3 || first.Peak != 2 ||
		*first.Back50 != 2010 || first.Back95 != nil || first.Back100 != nil {
		t.Errorf("first: %+v, half after %v", first, *first.Back50)
	}
	if third := r.Cuts[2]; third.Lost != 1 || *third.Back50 != 510 || *third.Back95 != 510 || *third.Back100 != 510 || third.Peak != 1 {
		t.Errorf("third: %+v", third)
	}
	if none := new(cuts).recovery(0); none != nil {
		t.Errorf("from nothing: %+v", none)
	}
}

// The largest stay.
func TestCutsForgotten(t *testing.T) {
	var c cuts
	for i := range 2 * maxCuts {
		for range 1 + i%5 {
			c.lose(testStart + int64(i)*2*cutGap)
		}
	}
	if len(c.list) != maxCuts || c.more != maxCuts || c.find(1) != nil || c.find(uint32(2*maxCuts)) == nil {
		t.Fatalf("%d kept, %d forgotten", len(c.list), c.more)
	}
	lost := 0
	for _, x := range c.list {
		lost += x.lost
	}
	if least := 5*6 + 4*6 + 3*3; lost < least {
		t.Errorf("the cuts that were kept lost %d connections, want %d at least", lost, least)
	}
}

// Who comes back late costs no more room than who comes at once, and is no part of the peak.
func TestCutsLate(t *testing.T) {
	c := cut{first: testStart, lost: 1 << 20}
	for at := testStart; at < testStart+int64(3*time.Hour); at += 5 * ms {
		c.opened(at)
	}
	r := c.result(testStart)
	if len(c.comeback) > maxSteps || r.Peak != 20 || r.Back != int(3*time.Hour/(5*time.Millisecond)) {
		t.Errorf("%d steps, %d within 100 ms, %d back", len(c.comeback), r.Peak, r.Back)
	}
	if want := float64(5 * (1 << 19)); *r.Back50 < want || *r.Back50 > want+10_000 {
		t.Errorf("half after %v ms, want %v", *r.Back50, want)
	}
}

// However the lanes share what happens, the sum is the same, and so is what a fleet's worker writes of it.
func TestCutsAddUp(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var one cuts
	var lanes [3]cuts
	now := testStart
	for range 300 {
		now += random.Int64N(100) * ms
		if random.IntN(60) == 0 {
			now += 3 * cutGap
		}
		for range 1 + random.IntN(3) {
			lane := &lanes[random.IntN(len(lanes))]
			whole, part := one.lose(now), lane.lose(now)
			if back := now + random.Int64N(3000)*ms; random.IntN(9) > 0 {
				one.find(whole).recovered++
				lane.find(part).recovered++
				one.find(whole).missed -= 2
				lane.find(part).missed -= 2
				one.find(whole).opened(back)
				lane.find(part).opened(back)
			}
		}
	}
	var sum, written cuts
	for i := range lanes {
		sum.add(&lanes[i])
		got, rest, ok := cutsFrom(lanes[i].appendTo(nil))
		if !ok || len(rest) > 0 {
			t.Fatalf("what lane %d wrote was refused", i)
		}
		written.add(&got)
	}
	if one.more+sum.more > 0 {
		t.Fatalf("%d cuts were forgotten; draw fewer", one.more+sum.more)
	}
	if !reflect.DeepEqual(shown(sum), shown(one)) || !reflect.DeepEqual(shown(written), shown(one)) {
		t.Errorf("sum %v\nwritten %v\nwant %v", shown(sum), shown(written), shown(one))
	}
}

// shown is what is to be equal of cuts: sums by time, for the order in which those of one lane came back does not matter.
func shown(c cuts) (all []string) {
	for _, x := range c.list {
		back := 0
		for _, b := range x.comeback {
			back += b.n
		}
		all = append(all, fmt.Sprint(x.first, x.last, x.lost, x.back, back, x.missed, x.recovered))
	}
	return all
}

func TestCutsRefused(t *testing.T) {
	good := (&cuts{more: 2, list: []cut{{first: 5, last: 9, lost: 3, back: 2, missed: -1, comeback: []backs{{1, 1}, {4, 1}}}, {first: 20 + cutGap, last: 20 + cutGap}}})
	text := good.appendTo(nil)
	if c, rest, ok := cutsFrom(append(text, 'x')); !ok || string(rest) != "x" || !reflect.DeepEqual(shown(c), shown(*good)) || c.more != 2 {
		t.Errorf("%+v, %q, %v", c, rest, ok)
	}
	for n := range text {
		if _, _, ok := cutsFrom(text[:n]); ok {
			t.Errorf("%d bytes of %d were accepted", n, len(text))
		}
	}
	for name, bad := range map[string]cuts{
		"backwards":      {list: []cut{{first: 9, last: 5}}},
		"out of order":   {list: []cut{{first: 9, last: 9}, {first: 1, last: 1}}},
		"one as two":     {list: []cut{{first: 9, last: 9}, {first: 9 + cutGap, last: 9 + cutGap}}},
		"too many":       {list: make([]cut, maxCuts+1)},
		"less than none": {list: []cut{{lost: -1}}},
		"too many steps": {list: []cut{{comeback: make([]backs, maxSteps+1)}}},
		"a step twice":   {list: []cut{{comeback: []backs{{3, 1}, {3, 1}}}}},
	} {
		if _, _, ok := cutsFrom(bad.appendTo(nil)); ok {
			t.Errorf("%s: was accepted", name)
		}
	}
}

// A cut knows which messages it cost, which came after all, and which twice.
func TestRecoveryOfMessages(t *testing.T) {
	r := newRig(t, 2, "http://127.0.0.1:8000/test/{1..2}")
	r.redialBy(Redial{Policy: PolicyImmediate})
	r.dialAll()
	for c := range r.conns {
		r.open(r.conns[c])
		r.read(r.conns[c], okHead)
	}
	run := wire.NewRunTag(time.Unix(0, testStart), 0)
	say := func(id string, seq uint64) string { return message(run, id, seq, r.now) }
	r.read(1, say("1", 1)+say("1", 2)+message(run+1, "1", 1, r.now))
	r.read(2, say("2", 1)+say("2", 3)) // 2 was lost before anybody was
	r.now += 10 * ms
	while := say("1", 4) + say("1", 5) + say("1", 2) + say("1", 4) // due while nobody is there; 3 is lost, 2 and 4 come twice
	other := message(run+1, "1", 2, r.now)
	r.hangUp(1, io.EOF)
	r.hangUp(2, io.EOF)
	r.now += 300 * ms
	r.next()
	for _, c := range r.conns[2:] {
		r.open(c)
		r.read(c, okHead)
	}
	one, two := r.conns[2], r.conns[3]
	if r.written[2][:len("GET /test/1")] != "GET /test/1" {
		one, two = two, one
	}
	r.now += 10 * ms
	later := wire.NewRunTag(time.Unix(0, r.now), 0) // began when all were back
	r.read(one, while+say("1", 7)+say("1", 9))      // 6 was lost with the cut, or before it was noticed; 8 is not its fault
	r.read(one, other+message(run+1, "1", 3, r.now))
	r.read(one, message(later, "1", 4, r.now))
	r.read(two, say("2", 2)+say("2", 3)+say("2", 5)) // 2 was only late, 3 came twice; 4 is not the cut's: its sequence was there again
	got := r.result()
	if got.Recovery == nil || len(got.Recovery.Cuts) != 1 {
		t.Fatalf("recovery %+v", got.Recovery)
	}
	c := got.Recovery.Cuts[0]
	if c.Lost != 2 || c.Back != 2 || *c.Back100 != 310 || c.Peak != 2 || c.AtS != 0.01 {
		t.Errorf("%+v, all after %v ms", c, *c.Back100)
	}
	if c.Recovered != 2+1 || c.Duplicated != 2 {
		t.Errorf("%d recovered, %d duplicated; want 3 and 2", c.Recovered, c.Duplicated)
	}
	if c.Missed != 1 { // 3; the 6 is behind a message that came: its sequence was there again
		t.Errorf("%d missed, want 1", c.Missed)
	}
	if got.Missing != 3+3+1+1-1 { // 3, 6, 8; the later run's 1 to 3; 2's 2, which came after all; its 4
		t.Errorf("%d missing in all", got.Missing)
	}
	r.hangUp(one, io.EOF)
	r.hangUp(two, io.EOF)
	if a, b := r.backs.slab.Len(), r.backs.seqs.Len(); a+b != 0 {
		t.Errorf("%d comebacks and %d of their sequences are left", a, b)
	}
}

// A poll that is never answered is no success: the wait goes on growing. One that was begins again.
func TestBackoffOfPolls(t *testing.T) {
	r := newRig(t, 1, "http://127.0.0.1:8000/poll/7")
	r.redialBy(Redial{Policy: PolicyBackoff, First: time.Second, Most: time.Hour, Resume: true})
	r.plan.targets.hosts[0].dialect = dialectPoll
	r.dialAll()
	waits := func() uint8 { return r.parking.past.At(r.parking.queue[0].slot).waits }
	for i := range 5 {
		c := r.conns[i]
		r.open(c)
		r.read(c, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
		if waits() != uint8(i+1) {
			t.Fatalf("after %d answers of 503 it has waited %d times", i+1, waits())
		}
		r.next()
	}
	r.open(6)
	r.read(6, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
	if r.hangUp(6, io.EOF); waits() != 1 {
		t.Errorf("after an answer it has waited %d times", waits())
	}
}

// A generator that wrote late while the server was gone is no bottleneck.
func TestRecoveryExcusesLag(t *testing.T) {
	late := &timing.Percentiles{P99: 900}
	for lost, want := range map[int]int{0: 1, 49: 1, 50: 0, 100: 0} {
		r := Result{Asked: 100, Messages: 5000, Lag: late, Service: &timing.Percentiles{P99: 2}}
		if lost > 0 {
			r.Recovery = &Recovery{Cuts: []Cut{{Lost: 1}, {Lost: lost}}}
		}
		if r.Weigh(nil, pace.Rate{}); len(r.Client.Bottleneck) != want {
			t.Errorf("with %d of 100 lost: %q", lost, r.Client.Bottleneck)
		}
	}
}

// What was due while nobody was there, and written when somebody was, is late and nothing else.
func TestRecoveryByWriting(t *testing.T) {
	r := newRig(t, 1, "http://127.0.0.1:8000/test/1")
	r.redialBy(Redial{Policy: PolicyImmediate})
	r.dialAll()
	r.open(1)
	r.read(1, okHead)
	run := wire.NewRunTag(time.Unix(0, testStart), 0)
	say := func(seq uint64, due int64, lag time.Duration) string {
		return string(wire.AppendChunk(nil, wire.AppendStamp(nil, run, []byte("1"), seq, due, lag)))
	}
	r.read(1, say(1, r.now, 0))
	r.hangUp(1, io.EOF)
	gone := r.now + ms
	r.now += 100 * ms
	r.next()
	r.open(2)
	r.read(2, okHead)
	r.read(2, say(2, gone, 0)+say(3, gone, 98*time.Millisecond)+say(4, gone, 99*time.Millisecond)+say(5, gone, time.Second))
	if c := r.result().Recovery.Cuts[0]; c.Recovered != 2 || c.Missed != 0 {
		t.Errorf("%+v, want 2 recovered", c)
	}
}
