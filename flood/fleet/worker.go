package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/flood"
	"cometctl/internal/broker"
	"cometctl/internal/offset"
	"cometctl/internal/rlimit"
)

// JoinConfig says where a worker joins, and what it may do on this machine. Connect is all that is needed.
type JoinConfig struct {
	Connect     broker.ConnectConfig
	Token       string // of an Invitation
	AllowRemote bool   // accept targets that are not loopback addresses

	// As in flood.Config. Watch is told about this worker's share.
	Sources []netip.Prefix
	Engine  string
	Loops   int
	Watch   func(flood.Progress)

	Loaded func()       // called when the share is known, before anything is opened; nil: nobody wants to know
	Log    func(string) // what is worth a line; nil: nobody listens
}

// requestTimeout bounds the wait for one answer. A request is made again until Silence has passed.
const requestTimeout = 2 * time.Second

// worker is one that has joined. It belongs to Join's goroutine.
type worker struct {
	cfg   JoinConfig
	nc    *nats.Conn
	room  int // targets that it can take
	clock offset.Reading
	run   string
	index int
	wake  chan *nats.Msg // the coordinator has news
	heard time.Time      // when it last answered
	said  time.Time      // when it was last asked
	shift time.Duration  // of the run's clock from the coordinator's
	every time.Duration  // between two beats while the flood runs

	state  state
	flood  *flood.Flood
	cancel context.CancelFunc // stops the flood
	done   chan struct{}      // the flood has ended; what follows is there
	result flood.Result
	err    error // the flood's, or the worker's own reason not to go on
	voice  voice
}

// Join takes a share of the flood that is coordinated at the NATS of cfg, until the coordinator says that it is over, or ctx is. It
// returns the result of its own share, which is good beside every error once something was opened.
func Join(ctx context.Context, cfg JoinConfig) (flood.Result, error) {
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.Loaded == nil {
		cfg.Loaded = func() {}
	}
	limit, err := rlimit.Raise()
	if err != nil {
		return flood.Result{}, fmt.Errorf("fleet: %w", err)
	}
	if cfg.Token != "" {
		cfg.Connect.Patience = broker.LocalPatience
	}
	nc, err := dial(ctx, cfg.Connect, cmp.Or(cfg.Connect.Patience, dialPatience))
	if errors.Is(err, broker.ErrDisconnected) && ctx.Err() == nil {
		err = fmt.Errorf("%w; start 'cometctl flood --machines N' before its workers, or correct the address", err)
	}
	if err != nil {
		return flood.Result{}, err
	}
	defer nc.Close()
	w := &worker{cfg: cfg, nc: nc, room: room(limit), heard: time.Now(), state: waiting, cancel: func() {}, done: make(chan struct{}), voice: newVoice()}
	if err := w.join(ctx); err != nil {
		return flood.Result{}, err
	}
	err = w.serve(ctx)
	return w.result, err
}

// dialPatience is how long a NATS may take to be there, but for a local worker: the coordinator, and all others, may be busy.
const dialPatience = 2 * time.Second

func dial(ctx context.Context, cfg broker.ConnectConfig, patience time.Duration) (*nats.Conn, error) {
	cfg.Name = cmp.Or(cfg.Name, "cometctl flood")
	nc, err := broker.Connect(cfg)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nobody answers within %v", patience))
	defer cancel()
	if err := broker.Await(ctx, nc, slog.New(slog.DiscardHandler)); err != nil {
		nc.Close()
		return nil, fmt.Errorf("fleet: %w", err)
	}
	return nc, nil
}

// join says hello, once the worker knows what the coordinator's clock shows.
func (w *worker) join(ctx context.Context) (err error) {
	if w.clock, err = offset.Measure(time.Now, func() ([]byte, error) { return w.greet(ctx, clockSubject, nil) }); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	answer, err := w.greet(ctx, helloSubject, hello{Version: version, Name: fmt.Sprintf("%s-%d", host, os.Getpid()), Host: host, PID: os.Getpid(),
		Room: w.room, Offset: w.clock.Offset, Error: w.clock.Error, Token: w.cfg.Token})
	if err != nil {
		return err
	}
	hi, err := parseWelcome(answer)
	if err != nil {
		return err
	}
	w.run, w.index, w.heard = hi.Run, hi.Worker, time.Now()
	w.wake = make(chan *nats.Msg, 16) // where one waits, the next says nothing new
	if _, err := w.nc.ChanSubscribe(wakeSubject(w.run), w.wake); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	w.cfg.Log(fmt.Sprintf("joined as %s; waiting for the others", hi.Name))
	return nil
}

// greet makes a request of a coordinator that may not be there. A local worker's is.
func (w *worker) greet(ctx context.Context, subject string, what any) ([]byte, error) {
	if w.local() {
		return w.insist(ctx, subject, what)
	}
	answer, err := w.request(ctx, subject, what)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w, at %s; start 'cometctl flood --machines N' before its workers, or correct the address", ErrNobody, w.nc.ConnectedUrlRedacted())
	case err != nil:
		return nil, fmt.Errorf("fleet: %w", err)
	}
	return answer, nil
}

// insistEvery is the pause between two requests of which the first had no answer.
const insistEvery = 250 * time.Millisecond

// insist repeats a request until there is an answer, or the coordinator is gone.
func (w *worker) insist(ctx context.Context, subject string, what any) ([]byte, error) {
	for {
		answer, err := w.request(ctx, subject, what)
		if err == nil {
			w.heard = time.Now()
			return answer, nil
		}
		if err := w.silent(err); err != nil {
			return nil, err
		}
		select {
		case <-time.After(insistEvery):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// silent returns ErrGone where a request that failed was one too many.
func (w *worker) silent(err error) error {
	if silent := time.Since(w.heard); silent > w.patience() {
		return fmt.Errorf("%w: it has not answered for %v (%w)", ErrGone, silent.Round(time.Second), err)
	}
	return nil
}

func (w *worker) request(ctx context.Context, subject string, what any) ([]byte, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	timeout := requestTimeout
	if w.local() { // a busy coordinator gets no less busy by being asked twice
		timeout *= 10
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	msg, err := w.nc.RequestWithContext(ctx, subject, text)
	if err != nil {
		return nil, err
	}
	return msg.Data, nil
}

// serve tells the coordinator how things stand and does what it wants, until the run is over and it knows.
func (w *worker) serve(ctx context.Context) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for interrupted := false; ; {
		o, answered, err := w.beat()
		if err != nil {
			w.stop()
			return err
		}
		if answered {
			if w.state == over && !w.voice.owes() {
				return w.err
			}
			if w.obey(ctx, o) {
				continue
			}
		}
		if !w.rest(ctx, tick.C, &interrupted) {
			w.stop()
			return context.Cause(ctx)
		}
	}
}

// beat makes the request of state, and returns the orders that answer it. It fails where there is nothing more to hope for.
func (w *worker) beat() (o orders, answered bool, err error) {
	b := beat{Worker: w.index, State: w.state}
	if w.state == running || w.state == over {
		w.voice.say(&b)
	}
	if w.state == over && w.err != nil && !errors.Is(w.err, flood.ErrAllEnded) {
		b.Error = w.err.Error()[:min(len(w.err.Error()), maxText)]
	}
	if w.state == over && len(w.result.Client.Readings) > 0 {
		b.Strain = &w.result.Client.Readings[0]
	}
	w.said = time.Now()
	answer, err := w.request(context.Background(), beatSubject(w.run), b)
	if err != nil {
		return o, false, w.silent(err)
	}
	if o, err = parseOrders(answer); err != nil {
		return o, false, err
	}
	w.heard = time.Now()
	if o.Error != "" {
		return o, false, fmt.Errorf("%w: %s", ErrRefused, o.Error)
	}
	if b.Due != nil {
		w.voice.heard(b.Due.Seq)
	}
	return o, true, nil
}

// patience is how long the coordinator may be silent. The end of a local worker's stdin tells of the coordinator's, whatever the
// load of the machine; if it cannot answer it is not gone, and with fifty of us on two cores that may take long.
func (w *worker) patience() time.Duration {
	if w.local() {
		return broker.LocalPatience
	}
	return Silence
}

func (w *worker) local() bool { return w.cfg.Token != "" }

// obey does what the coordinator wants, and reports whether it wants to know at once.
func (w *worker) obey(ctx context.Context, o orders) bool {
	switch {
	case o.Stop && w.state == running:
		w.cancel()
	case o.Stop && w.state != over:
		w.state, w.err = over, fmt.Errorf("%w: the run was given up before it began", ErrRefused)
		return true
	case w.state == waiting && o.Plan != nil:
		if w.err = w.load(ctx, o.Plan); w.err != nil {
			w.state = over
			return true
		}
		w.state = ready
		return true
	case w.state == ready && o.Start != 0:
		w.begin(time.Unix(0, o.Start).Add(w.shift))
	}
	return w.voice.owes() && w.state == running
}

// load fetches the share and makes a flood of it. Nothing is opened.
func (w *worker) load(ctx context.Context, p *plan) error {
	cfg, rules, err := p.config()
	if err != nil {
		return err
	}
	if p.Targets > w.room {
		return fmt.Errorf("fleet: a share of %d targets, and descriptors for %d", p.Targets, w.room)
	}
	in := &pieces{targets: p.Targets, fetch: func(from int) ([]byte, error) {
		return w.insist(ctx, shareSubject(w.run), wanted{Worker: w.index, From: from})
	}}
	rules.AllowRemote = w.cfg.AllowRemote
	if cfg.Targets, err = flood.ReadTargets("the share", in, p.Targets, rules); err != nil {
		return err
	}
	if cfg.Targets.Len() != p.Targets {
		return fmt.Errorf("fleet: a share of %d targets, of which %d came", p.Targets, cfg.Targets.Len())
	}
	cfg.Sources, cfg.Engine, cfg.Loops, cfg.Watch, cfg.Log = w.cfg.Sources, w.cfg.Engine, w.cfg.Loops, w.cfg.Watch, w.cfg.Log
	cfg.ClockOffset, cfg.Tally, w.every, w.shift = w.clock.Offset+p.Clock, w.voice.note, p.Every, p.Clock
	if w.flood, err = flood.New(cfg); err != nil {
		return err
	}
	w.cfg.Loaded()
	return nil
}

// begin lets the flood run.
func (w *worker) begin(start time.Time) {
	w.state = running
	w.flood.StartAt(start)
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	go func() {
		w.result, w.err = w.flood.Run(ctx)
		close(w.done)
	}()
}

// stop ends a flood that runs and waits for its result.
func (w *worker) stop() {
	if w.state == running {
		w.cancel()
		<-w.done
	}
}

// rest waits until there is something to say. It returns false where ctx is over and nobody is to be told.
func (w *worker) rest(ctx context.Context, tick <-chan time.Time, interrupted *bool) bool {
	stop, done := ctx.Done(), w.done
	if *interrupted {
		stop = nil
	}
	if w.state == over {
		done = nil
	}
	for {
		select {
		case <-w.wake:
		case <-w.voice.news:
		case <-tick:
			if w.state == running && time.Since(w.said) < 3*w.every/2 {
				continue // its voice comes as often
			}
		case <-done:
			w.state = over
			if *interrupted {
				w.err = errors.Join(errLeft, w.err)
			}
		case <-stop:
			if errors.Is(context.Cause(ctx), ErrGone) {
				return false
			}
			*interrupted, stop = true, nil
			if w.state == running {
				w.cancel()
				continue
			}
			w.state, w.err = over, errLeft
		}
		return true
	}
}

// errLeft is why a worker ends whose own context is over.
var errLeft = errors.New("interrupted")
