package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"cometctl/internal/timing"
	"cometctl/report"
)

// fakeStage is a machine without processes: its pieces are goroutines on a fake clock, its cluster is a few rules. Ten messages are due in each
// step, one for each holder in turn.
type fakeStage struct {
	mu        sync.Mutex
	top       topology
	nodes     map[string]*fakeNode
	pids      int
	received  *timing.Buckets
	messages  int64
	doubled   int64
	lost      map[string]bool // holders whose connections died with a process of the flood
	taken     bool            // they are open again
	floodDead int
	started   []string
	stopped   []string
	cutting   time.Time // when the cut began

	// How it misbehaves.
	dieAt    map[string]time.Duration // pieces that end by themselves, after that time
	lose     func(since time.Duration) bool
	double   func(since time.Duration) bool
	grow     string        // node whose memory grows each time
	homeless string        // node with a session that has no connection, once it was started again
	quit     chan struct{} // closed: all are killed
	abort    func(Progress) string
	began    time.Time
}

type fakeNode struct {
	node
	pid, starts int
	up, halted  bool
	ready       time.Time
	worker      int // pid of worker 0
	back        time.Time
	outages     uint64
	ledger      report.Ledger
	queued      []int64 // due times of what waits while it stands still
	memory      int64
}

func newFakeStage() *fakeStage {
	s := &fakeStage{nodes: map[string]*fakeNode{}, pids: 100, received: timing.NewBuckets(step), lost: map[string]bool{},
		dieAt: map[string]time.Duration{}, began: time.Now()}
	return s
}

// open returns how many connections a node has now, of ten.
func (s *fakeStage) open(n *fakeNode) int64 {
	switch {
	case n.kind == natsKind || !n.up || time.Since(n.ready) < redialAfter || !s.flooding():
		return 0
	case n.kind == parentKind && time.Now().Before(n.back.Add(redialAfter)):
		return n.conns() / 2
	case s.lost[n.name] && !s.taken:
		return 0
	}
	return n.conns()
}

func (n *fakeNode) conns() int64 { return int64(n.to - n.from + 1) }

func (s *fakeStage) flooding() bool {
	for _, name := range s.started {
		if name == flood {
			return true
		}
	}
	return false
}

// due is one message for a node's id: what becomes of it. It tells whether NATS found nobody.
func (s *fakeStage) due(n *fakeNode, at int64) (offline bool) {
	since := time.Since(s.began)
	cut := n.site == 2 && !s.cutting.IsZero()
	switch {
	case s.lose != nil && s.lose(since):
		return false
	case cut && time.Since(s.cutting) < 3*time.Second:
		return false // lost in transit
	case cut, s.open(n) == 0:
		return true
	case n.halted:
		n.queued = append(n.queued, at)
		return false
	}
	s.arrive(n, at)
	if s.double != nil && s.double(since) {
		s.doubled++
	}
	return false
}

func (s *fakeStage) arrive(n *fakeNode, at int64) {
	n.ledger.Received++
	n.ledger.Delivered++
	s.messages++
	s.received.Add(at)
}

// actor is one fake piece.
type actor struct {
	s           *fakeStage
	number      int
	name        string
	id          int
	events      chan<- event
	interrupted chan struct{}
	killed      chan struct{}
	sent        int64
	offline     int64
	byDue       *timing.Buckets
}

func (a *actor) pid() int { return a.id }
func (a *actor) interrupt() error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.stopped = append(a.s.stopped, a.name)
	close(a.interrupted)
	return nil
}
func (a *actor) terminate() error { return a.interrupt() }
func (a *actor) kill()            { close(a.killed) }
func (a *actor) halt() error      { return a.stand(true) }
func (a *actor) resume() error    { return a.stand(false) }
func (a *actor) stand(still bool) error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	n := a.s.nodes[a.name]
	n.halted = still
	for _, at := range n.queued {
		a.s.arrive(n, at)
	}
	n.queued = nil
	return nil
}

func (s *fakeStage) start(number int, name string, site int, args []string, events chan<- event) (process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pids++
	a := &actor{s: s, number: number, name: name, id: s.pids, events: events, interrupted: make(chan struct{}), killed: make(chan struct{}),
		byDue: timing.NewBuckets(step)}
	s.started = append(s.started, name)
	if n := s.top.node(name); n.name != "" {
		was := s.nodes[name]
		if was == nil {
			was = &fakeNode{node: n, memory: 20 << 20}
		}
		s.nodes[name] = &fakeNode{node: n, pid: a.id, starts: was.starts + 1, up: true, ready: time.Now(), worker: a.id * 1000, memory: was.memory}
	}
	if strings.HasPrefix(name, flood+"-") {
		s.taken = true
	}
	go a.live()
	return a, nil
}

func (a *actor) live() {
	end := event{number: a.number, ended: true, exit: "exit status 0"}
	var dies <-chan time.Time
	if d, ok := a.s.dieAt[a.name]; ok {
		dies = time.After(d)
	}
	tick := time.NewTicker(step)
	defer tick.Stop()
	for n := 0; ; n++ {
		a.work(n)
		select {
		case <-tick.C:
			continue
		case <-dies:
			end.code, end.exit, end.words = 2, "exit status 2", []string{"panic: oh"}
		case <-a.interrupted:
			a.tell()
		case <-a.killed:
			end.code, end.exit = -1, "signal: killed"
		case <-a.s.quit:
			end.code, end.exit = -1, "signal: killed"
		}
		break
	}
	a.s.mu.Lock()
	if n := a.s.nodes[a.name]; n != nil && n.pid == a.id {
		n.up = false
		if n.kind == natsKind { // its front loses it for a moment
			if front := a.s.nodes[nodeName(frontKind, n.site)]; front != nil {
				front.outages++
			}
		}
	}
	a.s.mu.Unlock()
	a.events <- end
}

// work is what a piece does in one step.
func (a *actor) work(n int) {
	switch {
	case a.name == mem:
		a.say(false, "date\t1\t2\t3")
	case strings.HasPrefix(a.name, flood) && n%2 == 0:
		a.progress()
	case strings.HasPrefix(a.name, "msggen"):
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
		for _, n := range a.s.nodes {
			if n.kind == natsKind {
				continue
			}
			at := time.Now().UnixNano()
			a.sent++
			a.byDue.Add(at)
			if a.s.due(n, at) {
				a.offline++
			}
		}
	case a.name == publisher: // each of its messages is for an id of the very node
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
		n := a.s.nodes[nodeName(frontKind, 1)]
		n.ledger.Sent++
		n.ledger.Received--
		a.s.arrive(n, time.Now().UnixNano())
	}
}

func (a *actor) say(stderr bool, format string, args ...any) {
	a.events <- event{number: a.number, stderr: stderr, line: fmt.Appendf(nil, format, args...)}
}

func (a *actor) progress() {
	s := a.s
	s.mu.Lock()
	r := floodReport{Phase: "hold"}
	for _, n := range s.nodes {
		if n.kind != natsKind {
			r.Closed += int64(n.starts - 1)
		}
		if s.lost[n.name] == (a.name != flood) {
			r.Open += s.open(n)
		}
	}
	if a.name == flood {
		r.Messages, r.Duplicated = s.messages, s.doubled
		r.Workers = []floodWorker{{Name: "1", PID: a.id * 1000, Share: []string{"http://x/test/{1..10}"}}, {Name: "2", PID: a.id*1000 + 1}}
		if s.floodDead != 0 {
			r.Workers[0].Ended = "signal: killed"
		}
	} else {
		r.Closed = 0
	}
	s.mu.Unlock()
	text, _ := json.Marshal(r)
	a.say(true, "%s", text)
}

// tell prints a piece's result.
func (a *actor) tell() {
	s := a.s
	s.mu.Lock()
	var v any
	switch {
	case a.name == flood:
		v = map[string]any{"by_due": s.received, "duplicated": s.doubled}
	case strings.HasPrefix(a.name, flood):
		v = map[string]any{"by_due": timing.NewBuckets(step)}
	case strings.HasPrefix(a.name, "msggen"), a.name == publisher:
		v = map[string]any{"sent": a.sent, "by_due": a.byDue, "ledger": map[string]int64{"forwarded": a.sent - a.offline}}
	}
	text, _ := json.Marshal(v)
	s.mu.Unlock()
	if v != nil {
		a.say(false, "%s", text)
	}
}

func (s *fakeStage) look(ctx context.Context, n node) (out stats, ready bool, err error) {
	s.mu.Lock()
	f := s.nodes[n.name]
	up, halted := f != nil && f.up, f != nil && f.halted
	s.mu.Unlock()
	switch {
	case !up:
		return stats{}, false, errors.New("connection refused")
	case halted:
		select {
		case <-time.After(patience):
			return stats{}, false, context.DeadlineExceeded
		case <-ctx.Done():
			return stats{}, false, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.PID = f.pid
	out.Ledger = f.ledger
	c := &member{Connected: true, Servers: s.top.sites - 1, Outages: f.outages}
	open := s.open(f)
	out.Conns.Open, out.Router.Sessions, out.Router.IDs, c.Subscribed = open, open, open, open
	if s.homeless == f.name && f.starts > 1 {
		out.Router.Sessions++
	}
	if f.kind == natsKind {
		for _, o := range s.nodes {
			if o.kind == natsKind && !o.up || f.site == 2 && !s.cutting.IsZero() && time.Since(s.cutting) > 3*time.Second {
				c.Servers = 0
			}
		}
	}
	if f.kind == parentKind {
		state := running
		if time.Now().Before(f.back) {
			state = "restarting"
		}
		out.Workers = []worker{{Index: 0, PID: f.worker, State: state}, {Index: 1, PID: f.pid*1000 + 1, State: running}}
	}
	out.Cluster = c
	return out, true, nil
}

func (s *fakeStage) collect(context.Context, node) error { return nil }

func (s *fakeStage) memory(pids []int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		if n.pid == pids[0] {
			if n.name == s.grow {
				n.memory += 5 << 20
			}
			return n.memory
		}
	}
	return 0
}

func (s *fakeStage) killChild(parent, pid int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		if n.pid == parent && n.worker == pid {
			n.worker, n.back = n.worker+7, time.Now().Add(500*time.Millisecond)
			return nil
		}
	}
	if pid/1000 == parent { // of the flood
		s.floodDead++
		s.lost[nodeName(frontKind, 1)], s.lost[nodeName(parentKind, 1)] = true, true
		return nil
	}
	return fmt.Errorf("%d is no child of %d", pid, parent)
}

func (s *fakeStage) cut(site int, off bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutting = time.Time{}
	if off {
		s.cutting = time.Now()
	}
	return nil
}

func (s *fakeStage) far() bool               { return false }
func (s *fakeStage) file(name string) string { return name }
