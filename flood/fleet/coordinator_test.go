package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/flood"
	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/timing"
)

// fake is a worker that a test plays, message by message, over a NATS of its own.
type fake struct {
	t     *testing.T
	nc    *nats.Conn
	hello hello
	welcome
}

// say makes a request and reads its answer into to.
func (f *fake) say(subject string, what, to any) []byte {
	f.t.Helper()
	msg, err := f.nc.Request(subject, text(f.t, what), brokertest.Patience)
	if err != nil {
		f.t.Fatalf("%s: %v", subject, err)
	}
	if to != nil {
		if err := json.Unmarshal(msg.Data, to); err != nil {
			f.t.Fatalf("%s: %q: %v", subject, msg.Data, err)
		}
	}
	return msg.Data
}

func (f *fake) beat(b beat) (o orders) {
	f.t.Helper()
	b.Worker = f.Worker
	f.say(beatSubject(f.Run), b, &o)
	return o
}

// until beats until the orders are right.
func (f *fake) until(what string, b beat, ok func(orders) bool) (o orders) {
	f.t.Helper()
	brokertest.Until(f.t, what, func() bool { o = f.beat(b); return ok(o) })
	return o
}

// stageOf is a coordinator under test: a NATS, a Run that waits for machines, and what became of it.
type stageOf struct {
	url    string
	end    context.CancelFunc
	done   chan struct{}
	result Result
	err    error
	mu     sync.Mutex
	said   string
}

func (s *stageOf) log(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said += line + "\n"
}

func (s *stageOf) says(t *testing.T, what string) {
	t.Helper()
	brokertest.Until(t, "it says "+what, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(s.said, what)
	})
}

func coordinate(t *testing.T, cfg Config) *stageOf {
	t.Helper()
	s := &stageOf{url: brokertest.Embed(t, broker.EmbedConfig{}).URL(), done: make(chan struct{})}
	cfg.Connect.URLs, cfg.Log = []string{s.url}, s.log
	ctx, cancel := context.WithCancel(t.Context())
	s.end = cancel
	go func() {
		s.result, s.err = Run(ctx, cfg)
		close(s.done)
	}()
	t.Cleanup(func() { cancel(); <-s.done })
	if cfg.Machines > 0 {
		s.says(t, fmt.Sprintf("waiting for %d more: cometctl flood --join %s", cfg.Machines, s.url))
	}
	return s
}

// join says hello as worker number n.
func (s *stageOf) join(t *testing.T, n, room int) *fake {
	t.Helper()
	f := s.stranger(t, hello{Version: version, Name: fmt.Sprintf("fake-%d", n), Host: "nowhere", PID: n, Room: room, Offset: time.Duration(n) * time.Millisecond, Error: 5})
	f.say(helloSubject, f.hello, &f.welcome)
	if f.Error != "" || !isName(f.Run) {
		t.Fatalf("%+v", f.welcome)
	}
	return f
}

func (s *stageOf) stranger(t *testing.T, h hello) *fake {
	t.Helper()
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{s.url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &fake{t: t, nc: nc, hello: h}
}

// tallyOf is the tally of a real run over so many targets, all of which were refused, and so on: what a worker would send.
func tallyOf(t *testing.T, targets int) []byte {
	t.Helper()
	var last []byte
	f, err := flood.New(flood.Config{Targets: load(t, fmt.Sprintf("http://%s/{1..%d}", brokertest.FreeAddress(t), targets)),
		Tally: func(_ flood.Phase, tally *flood.Tally) { last = tally.AppendBinary(nil) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Run(t.Context()); !errors.Is(err, flood.ErrAllEnded) {
		t.Fatal(err)
	}
	return last
}

// The whole protocol, as three workers of different size see it.
func TestCoordinatorOfThree(t *testing.T) {
	s := coordinate(t, Config{Machines: 3, Ask: flood.Ask{Header: []string{"TE: chunked"}}, Flood: flood.Config{Targets: load(t, "http://127.0.0.1:1/a/{01..12}", "http://127.0.0.1:1/b"),
		InFlight: 9, ByDue: time.Second, Redial: flood.Redial{Policy: flood.PolicyAbout, First: time.Minute}, Seed: 7, Rotation: 5, Manners: flood.Manners{By: [5]flood.Misconduct{{Percent: 10, Rate: 5}}}}})
	fakes := []*fake{s.join(t, 1, 100), s.join(t, 2, 2)}

	// A hello whose answer was lost gets the same answer.
	again := fakes[0].welcome
	if fakes[0].say(helloSubject, fakes[0].hello, &again); again != fakes[0].welcome {
		t.Errorf("%+v, and then %+v", fakes[0].welcome, again)
	}
	if o := fakes[0].beat(beat{State: waiting}); o != (orders{}) {
		t.Errorf("before all are there: %+v", o)
	}
	fakes = append(fakes, s.join(t, 3, 100))

	// Each has its share, in pieces.
	want := []string{"http://127.0.0.1:1/a/{01..06}\n", "http://127.0.0.1:1/a/{07..08}\n", "http://127.0.0.1:1/a/{09..12}\nhttp://127.0.0.1:1/b\n"}
	for i, f := range fakes {
		p := f.until("the plan", beat{State: waiting}, func(o orders) bool { return o.Plan != nil }).Plan
		if p.InFlight != 3 || p.Redial.First != time.Minute || p.Seed != uint64(7+i) || p.Manners.By[0].Rate != 5 || p.Manners.Whole != 13 || p.Manners.First != []int{0, 6, 8}[i] || p.Manners.Seed == 0 || p.ByDue != time.Second || p.Ask.Header[0] != "TE: chunked" || p.Rotation != uint64(5+i) || p.Ask.First != []int{0, 6, 8}[i] || p.Turns[0].Event != uint64(i) {
			t.Errorf("plan of %d: %+v", i, *p)
		}
		piece := f.say(shareSubject(f.Run), wanted{Worker: f.Worker}, nil)
		if next, text, err := parsePiece(piece, 0, p.Targets); err != nil || next != p.Targets || string(text) != want[i] {
			t.Errorf("share of %d: %q, %v; want %q", i, piece, err, want[i])
		}
	}

	// All begin together, and none before all are ready.
	if o := fakes[0].beat(beat{State: ready}); o.Start != 0 {
		t.Error("the start is known before all are ready")
	}
	fakes[1].beat(beat{State: ready})
	starts := map[int64]bool{}
	fakes[2].beat(beat{State: ready})
	for _, f := range fakes {
		starts[f.until("the start", beat{State: ready}, func(o orders) bool { return o.Start != 0 }).Start] = true
	}
	if len(starts) != 1 {
		t.Errorf("they start at %v", starts)
	}

	// A piece by due time whose answer was lost is counted once; one that is late, not again.
	piece := &due{Seq: 1, At: []int64{5e9, 6e9}, N: []int64{3, 4}}
	for range 3 {
		fakes[0].beat(beat{State: running, Phase: flood.Hold, Due: piece})
	}
	fakes[0].beat(beat{State: running, Phase: flood.Hold, Due: &due{Seq: 2, At: []int64{5e9}, N: []int64{1}}})
	fakes[0].beat(beat{State: running, Phase: flood.Hold, Due: piece})

	// What is no tally is refused and does not count.
	if o := fakes[1].beat(beat{State: running, Phase: flood.Ramp, Tally: []byte("x")}); o.Error == "" {
		t.Error("a bad tally was taken")
	}
	s.end()
	for i, f := range fakes {
		f.until("stop", beat{State: running, Phase: flood.Hold}, func(o orders) bool { return o.Stop })
		f.beat(beat{State: over, Phase: flood.Drain, Tally: tallyOf(t, i+1), Due: &due{Seq: 3, At: []int64{9e9}, N: []int64{1}}, More: true})
		f.beat(beat{State: over, Phase: flood.Drain, Tally: tallyOf(t, i+1), Due: &due{Seq: 4, At: []int64{9e9}, N: []int64{1}}})
	}
	<-s.done
	r := s.result
	if s.err != nil || r.Asked != 13 || r.Failed != 1+2+3 || r.FailedBy["refused"] != 6 || len(r.Workers) != 3 {
		t.Errorf("%+v, %v", r, s.err)
	}
	if w := r.Workers[1]; w.Name != "fake-2" || w.Host != "nowhere" || w.PID != 2 || w.Asked != 2 || w.Failed != 2 || w.ClockOffset != 2 || w.Ended != "" || w.Share[0]+"\n" != want[1] {
		t.Errorf("%+v", w)
	}
	sum := timing.NewBuckets(time.Second)
	sum.AddN(5e9, 3+1)
	sum.AddN(6e9, 4)
	sum.AddN(9e9, 6)
	if got, want := string(text(t, r.ByDue)), string(text(t, sum)); got != want {
		t.Errorf("by due time %s, want %s", got, want)
	}
}

// Who may not come is told why.
func TestCoordinatorRefuses(t *testing.T) {
	s := coordinate(t, Config{Machines: 1, Flood: flood.Config{Targets: load(t, "http://127.0.0.1:1/{1..9}")}})
	refused := func(h hello, says string) {
		t.Helper()
		var w welcome
		f := s.stranger(t, h)
		if f.say(helloSubject, h, &w); !strings.Contains(w.Error, says) {
			t.Errorf("%+v: %+v, want %q", h, w, says)
		}
	}
	refused(hello{Version: 9, PID: 7}, "speaks version 3 of the protocol, the worker version 9")
	refused(hello{Version: version, Room: -1}, "none of ours")
	refused(hello{Version: version, Host: "a", Token: "guessed"}, "the invitation is not for this run")

	rude := hello{Version: version, Name: "a\x1b[2Jb\n", Host: "\u202e", PID: 3, Room: 1}
	if h, err := parseHello(text(t, rude)); err != nil || h.Name != "a [2Jb " || h.Host != " " {
		t.Errorf("%+v, %v: not fit for a terminal", h, err)
	}
	f := s.join(t, 1, 5) // with too few descriptors
	refused(hello{Version: version, PID: 8}, "the run has begun")
	f.until("stop", beat{State: waiting}, func(o orders) bool { return o.Stop })
	f.beat(beat{State: over, Error: "given up"})
	<-s.done
	if !errors.Is(s.err, ErrNotStarted) || !strings.Contains(s.err.Error(), "9 connections, but the 1 workers have descriptors for 5 only") {
		t.Errorf("%v", s.err)
	}

	// A second coordinator on one NATS would get the other's workers.
	s = coordinate(t, Config{Machines: 2, Flood: flood.Config{Targets: load(t, "http://127.0.0.1:1/{1..9}")}})
	_, err := Run(t.Context(), Config{Machines: 1, Flood: flood.Config{Targets: load(t, "http://127.0.0.1:1/{1..9}")}, Connect: broker.ConnectConfig{URLs: []string{s.url}}})
	if !errors.Is(err, ErrNotStarted) || !strings.Contains(err.Error(), "another flood is being coordinated") {
		t.Errorf("%v", err)
	}
}

// silent lets time pass for a coordinator of two, of which the second says nothing.
func TestSilence(t *testing.T) {
	heard := time.Now()
	rig := func(stage stage) (*coordinator, *string) {
		said := ""
		c := &coordinator{cfg: Config{Machines: 2, Log: func(line string) { said += line }}, stage: stage, begun: stage == flooding,
			scratch: flood.NewTally(0), nc: brokertestConn(t)}
		c.cfg.Flood.Targets = load(t, "http://127.0.0.1:1/{1..9}")
		for i := range 2 {
			m := &member{index: i, hello: hello{Name: fmt.Sprintf("m%d", i)}, joined: true, heard: heard.Add(time.Duration(1-i) * time.Second), state: running}
			m.give(c.cfg.Flood.Targets, flood.Share{From: 4 * i, To: 4*i + 4}, plan{})
			c.members = append(c.members, m)
		}
		return c, &said
	}
	c, said := rig(flooding)
	if c.listen(heard.Add(Silence)); *said != "" {
		t.Errorf("too early: %q", *said)
	}
	c.listen(heard.Add(Silence + 1))
	if m := c.members[1]; !m.gone || m.row.Ended != "nothing was heard of it for 15s" || m.row.Failed != 4 || c.members[0].gone || !strings.Contains(*said, "worker m1 () has died") {
		t.Errorf("%+v, %q", m, *said)
	}
	// Who was given up, and is heard again, has no part any more.
	if o := c.heed(beat{Worker: 1, State: running}); o.Error == "" {
		t.Errorf("%+v", o)
	}
	if o := c.heed(beat{Worker: 0, State: running}); o.Error != "" {
		t.Errorf("%+v", o)
	}

	c, said = rig(gathering)
	if c.listen(heard.Add(Silence + 1)); c.members[1] != nil || c.failure != nil || !strings.Contains(*said, "waiting for another one") {
		t.Errorf("while others are waited for: %v, %v, %q", c.members[1], c.failure, *said)
	}
	c, _ = rig(sharing)
	if c.listen(heard.Add(Silence + 1)); c.failure == nil || c.stage != stopping {
		t.Errorf("just before the start: %v", c.failure)
	}
	c, _ = rig(stopping)
	c.begun = true
	if c.giveUp(); !c.members[0].gone || !strings.Contains(c.members[0].row.Ended, "did not stop within") {
		t.Errorf("%+v", c.members[0])
	}
}

func brokertestConn(t *testing.T) *nats.Conn {
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{brokertest.Embed(t, broker.EmbedConfig{}).URL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestNeeded(t *testing.T) {
	for _, c := range []struct {
		n    int
		hard uint64
		want int
	}{{1, 20_000, 1}, {19_936, 20_000, 1}, {19_937, 20_000, 2}, {1_000_000, 20_000, 51}, {5, 64, 5}, {1_000_000, 1 << 40, 1}} {
		if got := needed(c.n, limits(c.hard)); got != c.want {
			t.Errorf("%d connections with %d descriptors: %d workers, want %d", c.n, c.hard, got, c.want)
		}
	}
	if n, err := Auto(10); err != nil || n != 1 {
		t.Errorf("auto for 10: %d, %v", n, err)
	}
}
