package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestLedgerProof holds the ledger against what really happened: what publishers wrote, what their answers said, and what
// clients received. Clients read at once, or late, or never, or vanish in the middle of the traffic, in order or by a reset.
func TestLedgerProof(t *testing.T) {
	for _, c := range []struct {
		name     string
		sessions int // of each id
		vanish   bool
		policy   SlowPolicy
	}{
		{"everybody stays", 1, false, SlowDrop},
		{"everybody stays, three sessions", 3, false, SlowDrop},
		{"some vanish", 1, true, SlowDrop},
		{"some vanish, three sessions", 3, true, SlowDrop},
		{"the slow are closed", 1, true, SlowClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, engine string) {
				s := start(t, Config{Engine: engine, MaxPending: 200_000, SlowPolicy: c.policy, DrainTimeout: patience})
				p := &proof{t: t, s: s, sessions: c.sessions, vanish: c.vanish}
				p.open()
				p.fillSlow()
				p.traffic()
				p.atRest()
				p.wakeSlow()
				p.end()
			})
		})
	}
}

// kind is how a subscriber behaves.
type kind int

const (
	good   kind = iota // reads everything as it comes
	late               // begins to read when the traffic is over
	never              // never reads, and resets in the end
	vanish             // reads a few, and is gone
	nobody             // an id that nobody holds
)

// subscriber is a client and what it has received.
type subscriber struct {
	*browser
	id     string
	kind   kind
	leave  int            // vanish: after so many messages
	n      int            // messages received
	last   map[string]int // number of the last message from each publisher
	fault  error
	ended  bool // by the last chunk
	reader sync.WaitGroup
}

// read receives until the stream ends or the subscriber vanishes, and checks numbers and order.
func (u *subscriber) read() {
	for u.kind != vanish || u.n < u.leave {
		text, err := u.message(u.n + 1)
		if err != nil || text == "" {
			u.ended = err == nil
			return
		}
		u.n++
		from, number, _ := strings.Cut(strings.TrimRight(text, "m"), ".")
		no, err := strconv.Atoi(number)
		switch {
		case from == "": // from fill
		case err != nil:
			u.fault = fmt.Errorf("received %.50q", text)
		case no <= u.last[from] || u.kind != late && no != u.last[from]+1:
			u.fault = fmt.Errorf("%s: number %d from %s follows %d", u.id, no, from, u.last[from])
		}
		u.last[from] = no
	}
	if u.n%2 == 0 {
		u.SetLinger(0) // reset
	}
	u.Close()
}

// proof is one run.
type proof struct {
	t        *testing.T
	s        *Server
	sessions int
	vanish   bool
	ids      []string
	kinds    map[string]kind
	all      []*subscriber

	mu      sync.Mutex
	sent    map[string]map[string]int // by id and publisher
	sentAll map[kind]int64
	answers Ledger
	bad     int64
}

func (p *proof) open() {
	p.kinds, p.sent, p.sentAll = map[string]kind{}, map[string]map[string]int{}, map[kind]int64{}
	rnd := rand.New(rand.NewPCG(1, 1))
	for k, n := range map[kind]int{good: 12, late: 1, never: 1, vanish: 16, nobody: 4} {
		if !p.vanish && (k == never || k == vanish) {
			continue
		}
		for i := range n {
			id := fmt.Sprintf("%d-%d", k, i)
			if i%2 == 0 {
				id = fmt.Sprint(100*int(k) + i)
			}
			p.ids, p.kinds[id] = append(p.ids, id), k
			for range p.sessions {
				if k == nobody {
					break
				}
				window := 0
				if k == late || k == never {
					window = 4 << 10
				}
				u := &subscriber{browser: dialTo(p.t, p.s.Comet().String(), window).stream(id), id: id, kind: k, leave: rnd.IntN(8), last: map[string]int{}}
				p.all = append(p.all, u)
				if k == good || k == vanish {
					u.reader.Go(u.read)
				}
			}
		}
	}
}

// of are the subscribers of one kind.
func (p *proof) of(k kind) (all []*subscriber) {
	for _, u := range p.all {
		if u.kind == k {
			all = append(all, u)
		}
	}
	return all
}

// booked notes what was sent to an id in a publisher's name.
func (p *proof) booked(from, id string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent[id] == nil {
		p.sent[id] = map[string]int{}
	}
	p.sent[id][from] += n
	p.sentAll[p.kinds[id]] += int64(n)
}

// fillSlow brings those who do not read to their bound.
func (p *proof) fillSlow() {
	for _, id := range p.ids {
		if k := p.kinds[id]; k != late && k != never {
			continue
		}
		enough := stuck(p.s)
		if p.s.cfg.SlowPolicy == SlowClose {
			offline := p.s.Stats().Ledger.Offline
			enough = func(l Ledger) bool { return l.Offline > offline }
		}
		p.booked("", id, fill(p.t, p.s, id, enough))
	}
	p.answers = p.s.Stats().Ledger // fill's own answers are in it
}

// traffic lets several publishers send at once, in streams of both forms and one by one.
func (p *proof) traffic() {
	var all sync.WaitGroup
	for i := range 6 {
		w := &writer{p: p, name: fmt.Sprint("publisher", i), rnd: rand.New(rand.NewPCG(2, uint64(i))), numbers: map[string]int{}}
		all.Go(func() {
			for range 5 {
				switch {
				case i < 2:
					w.stream("text/tab-separated-values", 50, func(id, msg string) string { return id + "\t" + msg })
				case i < 4:
					w.stream("application/x-ndjson", 50, func(id, msg string) string {
						b, _ := json.Marshal(map[string]string{"id": id, "msg": msg})
						return string(b)
					})
				default:
					w.oneByOne(8)
				}
			}
		})
	}
	all.Wait()
}

// writer is a publisher.
type writer struct {
	p       *proof
	name    string
	rnd     *rand.Rand
	numbers map[string]int // of the last message to each id
}

func (w *writer) message() (id, text string) {
	id = w.p.ids[w.rnd.IntN(len(w.p.ids))]
	w.numbers[id]++
	w.p.booked(w.name, id, 1)
	text = fmt.Sprintf("%s.%d", w.name, w.numbers[id])
	if k := w.p.kinds[id]; k == late || k == never {
		text += strings.Repeat("m", w.rnd.IntN(4000))
	}
	return id, text
}

func (w *writer) stream(contentType string, n int, line func(id, msg string) string) {
	var body strings.Builder
	bad := int64(0)
	for range n {
		if w.rnd.IntN(20) == 0 {
			body.WriteString("a bad line\n")
			bad++
		}
		body.WriteString(line(w.message()) + "\n")
	}
	w.ask("/send", contentType, body.String(), int64(n), bad)
}

func (w *writer) oneByOne(n int) {
	for range n {
		id, text := w.message()
		w.ask("/send/"+id, "", text, 1, 0)
	}
}

// ask sends a request and checks that its answer adds up. With something pending it may be on the move.
func (w *writer) ask(path, contentType, body string, sent, bad int64) {
	a, err := askAdmin(w.p.s, "POST", path, contentType, strings.NewReader(body))
	var sum totals
	if err == nil {
		err = json.Unmarshal([]byte(a.body), &sum)
	}
	if err != nil || a.status != 200 || sum.Sent != sent || sum.Bad != bad || sum.Pending == 0 && !sum.balanced() {
		w.p.t.Errorf("%s: sent %d, and %d bad lines; answered %d %+v, %v", w.name, sent, bad, a.status, sum, err)
	}
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.p.answers.Add(sum.Ledger)
	w.p.bad += bad
}

// atRest checks the ledger when nothing is on its way but what the slow ones leave queued.
func (p *proof) atRest() {
	for _, u := range p.of(vanish) {
		if u.leave > 0 {
			u.leave = 0
			u.Close() // those who waited for more than came
		}
		u.reader.Wait()
	}
	p.balance()
	l := p.s.Stats().Ledger
	if l.Sent != p.answers.Sent || l.Copies != p.answers.Copies || l.Offline != p.answers.Offline {
		p.t.Errorf("the answers add up to %+v, the ledger is %+v", p.answers, l)
	}
	if slow := p.s.cfg.SlowPolicy == SlowDrop; slow && l.Pending == 0 || l.Dropped == 0 {
		p.t.Errorf("nothing is pending or dropped: %+v", l)
	}
}

// balance waits until the equations hold; the outcome of what a client has read is booked a moment later.
func (p *proof) balance() {
	p.t.Helper()
	var sent, copies, maybe int64
	for k, n := range p.sentAll {
		sent += n
		switch k {
		case good, late, never:
			copies += n * int64(p.sessions)
		case vanish:
			maybe += n * int64(p.sessions)
		}
	}
	if p.s.cfg.SlowPolicy == SlowClose { // then those who are slow vanish, too
		maybe += (p.sentAll[late] + p.sentAll[never]) * int64(p.sessions)
		copies = p.sentAll[good] * int64(p.sessions)
	}
	var l Ledger
	defer func() {
		if p.t.Failed() {
			p.t.Logf("%+v; sent %v, so %d copies and at most %d more", l, p.sentAll, copies, maybe)
		}
	}()
	until(p.t, "the ledger balances", func() bool {
		l = p.s.Stats().Ledger
		return l.Sent == sent && l.balanced() && l.Copies >= copies && l.Copies <= copies+maybe &&
			(p.sessions > 1 || l.Sent == l.Delivered+l.Offline+l.Dropped+l.Gone+l.Pending) &&
			l.Offline >= p.sentAll[nobody] && (p.vanish || l.Offline == p.sentAll[nobody])
	})
}

// wakeSlow resets those who never read, and lets those who are late read.
func (p *proof) wakeSlow() {
	before := p.s.Stats()
	never := p.of(never)
	for _, u := range never {
		u.reset()
	}
	if len(never) > 0 && p.s.cfg.SlowPolicy == SlowDrop {
		open := before.Conns.Open - int64(len(never))
		until(p.t, "the reset ones are gone", func() bool { return p.s.Stats().Conns.Open == open })
		p.balance()
		if l := p.s.Stats().Ledger; l.Gone <= before.Ledger.Gone || l.Pending >= before.Ledger.Pending {
			p.t.Errorf("what was pending is not gone: %+v, then %+v", before.Ledger, l)
		}
	}
	for _, u := range p.of(late) {
		u.reader.Go(u.read)
	}
	until(p.t, "nothing is pending", func() bool { return p.s.Stats().Ledger.Pending == 0 })
	p.balance()
}

// end drains the server and compares the ledger with what was received.
func (p *proof) end() {
	done := make(chan error)
	go func() { done <- p.s.Drain(context.Background()) }()
	var received, maybe int64
	for _, u := range p.all {
		u.reader.Wait()
		u.Close()
		received += int64(u.n)
		if u.fault != nil {
			p.t.Error(u.fault)
		}
		switch {
		case u.kind == good && (!u.ended || !maps.Equal(u.last, p.sent[u.id])):
			p.t.Errorf("%s received %d messages, %v; ended in order: %t; sent %v", u.id, u.n, u.last, u.ended, p.sent[u.id])
		case u.kind == late && p.s.cfg.SlowPolicy == SlowDrop && !u.ended:
			p.t.Errorf("the stream of %s was cut after %d messages", u.id, u.n)
		}
	}
	if err := <-done; err != nil {
		p.t.Error(err)
	}
	p.balance()
	l := p.s.Stats().Ledger
	if p.vanish { // the kernel took things that the vanished never read
		maybe = l.Copies
	}
	if p.s.Engine() == "epoll" && l.Delivered < received || l.Delivered > received+maybe || l.Pending != 0 {
		p.t.Errorf("%d messages were received, at most %d more may be delivered: %+v", received, maybe, l)
	}
	if !p.vanish && (l.Delivered != received || l.Gone != 0 || l.Dropped != l.Copies-received) {
		p.t.Errorf("nobody vanished and %d messages were received: %+v", received, l)
	}
}
