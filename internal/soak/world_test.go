package soak

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// world is a machine without processes: a launcher whose pieces are goroutines on a
// fake clock. Each test bends one of them.
type world struct {
	t       *testing.T
	cfg     Config
	started []string // names, in order
	stopped []string // names, in the order in which they were told to stop
	args    map[string][]string
	sent    atomic.Int64 // messages that serve has taken
	living  atomic.Int64 // pieces

	// How the pieces misbehave.
	die      map[string]death // ends by itself
	deaf     string           // does not hear its interruption
	silent   string           // never says anything
	endless  bool             // msggen does not get done in its time
	began    time.Time
	dir      folder                   // empty: one of its own
	open     int64                    // connections that flood gets open
	arrive   func(sent int64) int64   // messages that have arrived of those sent
	waiting  atomic.Int64             // ids that the nodes say NATS is still to hear of; one less at each question
	absent   bool                     // a foreign server that ran already has ended
	unready  int                      // questions that a foreign server answers in the negative before it is ready; -1: all
	mute     string                   // admin address of a node that answers no question,
	muteAt   time.Duration            // from then on
	progress []Progress               // what Progress was told
	at       map[string]time.Duration // when each phase began
}

type death struct {
	after time.Duration
	code  int
	words []string
}

// actor is one fake piece.
type actor struct {
	name, does  string // its name, and its command
	w           *world
	events      chan<- event
	interrupted chan struct{}
	killed      chan struct{}
}

func (a *actor) pid() int { return 4711 }
func (a *actor) interrupt() error {
	a.w.stopped = append(a.w.stopped, a.name)
	if a.w.deaf != a.name {
		close(a.interrupted)
	}
	return nil
}
func (a *actor) kill() { close(a.killed) }

func (a *actor) say(stderr bool, format string, args ...any) {
	if a.w.silent != a.name {
		a.events <- event{name: a.name, stderr: stderr, line: fmt.Appendf(nil, format, args...)}
	}
}

func newWorld(t *testing.T) *world {
	return &world{
		t: t, args: map[string][]string{}, die: map[string]death{}, at: map[string]time.Duration{},
		cfg:  Config{Conns: 100, Rate: 10, Duration: 24 * time.Second, Interval: time.Second},
		open: 100, arrive: func(sent int64) int64 { return sent },
	}
}

func (w *world) start(name string, args []string, events chan<- event) (process, error) {
	a := &actor{name: name, does: args[0], w: w, events: events, interrupted: make(chan struct{}), killed: make(chan struct{})}
	w.started = append(w.started, name)
	w.args[name] = args
	w.living.Add(1)
	go a.live()
	return a, nil
}

// exec starts a foreign server.
func (w *world) exec(name string, words []string, events chan<- event) (process, error) {
	a := &actor{name: name, w: w, events: events, interrupted: make(chan struct{}), killed: make(chan struct{})}
	w.started = append(w.started, name)
	w.args[name] = words
	w.living.Add(1)
	go a.live()
	return a, nil
}

// probe tells whether the foreign server is ready.
func (w *world) probe(context.Context) error {
	if w.unready == 0 {
		return nil
	}
	w.unready--
	return errors.New("connection refused")
}

// ready is the ready line of a node. All addresses of one have one port, which tells
// which it is.
func (a *actor) ready() string {
	var server, front int
	if _, err := fmt.Sscanf(a.name, "front-%d-%d", &server, &front); err == nil {
		return fmt.Sprintf(`{"listen":"127.0.0.1:%[1]d","admin":"127.0.0.1:%[1]d","pid":%[1]d}`, 100*server+front)
	}
	if _, err := fmt.Sscanf(a.name, "nats-%d", &server); err == nil {
		return fmt.Sprintf(`{"admin":"127.0.0.1:%[1]d","pid":%[1]d,"nats":"nats://127.0.0.1:%[1]d","routes":"nats://127.0.0.2:%[1]d"}`, 100*server)
	}
	return `{"listen":"127.0.0.1:1","admin":"127.0.0.1:2","pid":4711}`
}

// live is a piece's life: it does its work every second until something ends it.
func (a *actor) live() {
	end := event{name: a.name, ended: true, exit: "exit status 0"}
	var dies, done <-chan time.Time
	if d, ok := a.w.die[a.name]; ok {
		dies = time.After(d.after)
		end.code, end.words, end.exit = d.code, d.words, fmt.Sprintf("exit status %d", d.code)
	}
	if a.does == msggen && !a.w.endless {
		done = time.After(a.w.cfg.Duration)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	if a.does == serve {
		select {
		case <-time.After(100 * time.Millisecond):
			a.say(false, "%s", a.ready())
		case <-dies: // before it was ready
			a.w.living.Add(-1)
			a.events <- end
			return
		}
	}
	for n := int64(0); ; n++ {
		switch a.does {
		case mem:
			if n == 0 && a.w.cfg.nodes() > 1 {
				a.say(false, "# columns: date epoch rss_kb conns pss_kb procs")
			}
			a.say(false, "date\t%d\t%d\t%d\t%d\t%d", time.Now().Unix(), 5000+n, n, 3000+10*n, a.w.cfg.nodes())
		case flood:
			phase := "hold"
			if n == 0 {
				phase = "ramp"
			}
			a.say(true, `{"open":%d,"messages":%d,"phase":%q,"latency_ms":{"p50":0.2,"p99":3}}`, min(n*1000, a.w.open), a.w.arrive(a.w.sent.Load()), phase)
		case msggen:
			a.w.sent.Store(n * int64(a.w.cfg.Rate))
			a.say(true, `{"sent":%d}`, a.w.sent.Load())
		}
		select {
		case <-tick.C:
			continue
		case <-dies:
		case <-done:
			a.say(false, `{"sent":%d,"accepted":%d}`, a.w.sent.Load(), a.w.sent.Load())
		case <-a.interrupted:
			end.code, end.words, end.exit = 0, nil, "exit status 0"
		case <-a.killed:
			end.code, end.exit = -1, "signal: killed"
		}
		break
	}
	a.w.living.Add(-1)
	a.events <- end
}

// run runs a conductor in the world.
func (w *world) run(ctx context.Context) (*conductor, error) {
	began := time.Now()
	w.began = began
	w.cfg.Progress = func(p Progress) {
		w.progress = append(w.progress, p)
		if _, ok := w.at[p.Phase]; !ok {
			w.at[p.Phase] = time.Since(began)
		}
	}
	if w.dir == "" {
		w.dir = folder(w.t.TempDir())
	}
	c := newConductor(w.cfg, w, w.dir)
	c.ledger, c.probe = w.stats, w.probe
	c.present = func() error {
		if w.absent {
			return errors.New("no such process")
		}
		return nil
	}
	err := c.run(ctx)
	synctest.Wait()
	if n := w.living.Load(); n > 0 {
		w.t.Errorf("%d pieces still live after the run", n)
	}
	return c, err
}

// stats is the /stats of a node. Of a topology's, front-1-1 gets all messages.
func (w *world) stats(ctx context.Context, admin string) ([]byte, error) {
	if admin == w.mute && time.Since(w.began) > w.muteAt {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	sent := w.sent.Load()
	if w.cfg.nodes() == 1 {
		return fmt.Appendf(nil, `{"ledger":{"sent":%d,"delivered":%d}}`, sent, sent), nil
	}
	if admin != "127.0.0.1:101" && w.cfg.Workers < 2 {
		sent = 0
	}
	waiting := max(w.waiting.Add(-1), 0)
	return fmt.Appendf(nil, `{"ledger":{"received":%d,"delivered":%d},"cluster":{"connected":true,"waiting":%d,"servers":%d}}`,
		sent, sent, waiting, w.cfg.Topology.Servers-1), nil
}

func (w *world) names(m *Manifest) []string {
	var names []string
	for _, p := range m.Phases {
		names = append(names, p.Name)
	}
	return names
}
