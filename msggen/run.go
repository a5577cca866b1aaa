package msggen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/pace"
	"cometctl/internal/strain"
	"cometctl/internal/subject"
	"cometctl/internal/timing"
	"cometctl/internal/wire"
)

const (
	defaultGrace = 10 * time.Second
	dialLimit    = 5 * time.Second
)

// run is what the workers of one Run share.
type run struct {
	cfg       Config
	addr      string    // to dial
	head      []byte    // of each request
	template  *template // where each message is a request of HTTP; nil: they go as a stream, or over NATS
	origin    string    // of the messages on NATS; empty: they go over HTTP
	workers   uint64
	total     uint64        // events of all workers; the maximum where only time or a signal ends them
	schedule  pace.Schedule // when events are due; of the goroutine in Run, others have views of it
	unlimited bool          // no rate: an event is due when it is made
	end       time.Duration // when no more fall due, or are made where there is no rate; never: time does not say

	start time.Time     // event 0 is due
	epoch int64         // the same by the clock of the stamps, in ns since the epoch
	took  time.Duration // until the last worker had ended

	soft context.Context         // ends when the run shall stop gently
	stop context.CancelFunc      // ends soft
	hard context.Context         // ends when it is given up: closes every connection
	give context.CancelCauseFunc // ends hard; the cause says why

	generated  atomic.Uint64 // messages written
	late       atomic.Uint64 // of those, the late ones
	accepted   atomic.Uint64 // confirmed by answers
	bad        atomic.Uint64 // refused by answers
	reconnects atomic.Uint64
	resent     atomic.Uint64                   // requests that were written again
	offline    atomic.Uint64                   // messages of which NATS says that nobody wanted them
	status     *[len(Statuses{})]atomic.Uint64 // answers; nil without a template

	mu      sync.Mutex
	lag     timing.Histogram // from due to written
	byDue   *timing.Buckets  // of messages written; nil where nobody asked
	steps   *account         // of the same, by the steps of the schedule; nil where there are none
	ledger  Ledger           // sum of the answers
	unheard uint64           // words of NATS that were thrown away here
	first   error            // that went wrong with a connection or a line
	last    error            // the same
	fatal   error            // what makes going on pointless
}

// Run sends messages as cfg says and returns when they are answered for, or when that can no longer be.
//
// Every connection is opened before the schedule starts: an error with a zero Result means that nothing was sent. A
// connection that breaks later is opened again; what was written to it and not confirmed is not sent again, as that could
// duplicate it. When ctx ends, or a Duration or Count is over, the last requests are ended and their answers awaited for
// up to Grace. An error beside a Result wraps ErrIncomplete and says what is not accounted for.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.Check(); err != nil {
		return Result{}, fmt.Errorf("msggen: %w", err)
	}
	r := newRun(ctx, cfg)
	defer r.give(nil)
	defer r.stop()
	workers, err := r.hire()
	if err != nil {
		return Result{}, err
	}
	r.start = time.Now()
	stamped := r.start.Add(cfg.ClockOffset)
	r.epoch = stamped.UnixNano()

	meter := strain.Start(r.loops())
	var sending, watching sync.WaitGroup
	done := make(chan struct{})
	precise := len(workers) <= maxPrecise
	for i, w := range workers {
		w.compose.tag = wire.NewRunTag(stamped, i)
		if !precise {
			w.wait.wake = make(chan struct{}, 1)
		}
		sending.Go(func() {
			if precise && !r.unlimited {
				w.wait.sleep = r.sleep()
			}
			if w.other != nil {
				w.other.work()
			} else {
				w.work()
			}
		})
	}
	if !precise && !r.unlimited {
		watching.Go(func() { r.metronome(workers, done) })
	}
	var stopped time.Duration
	watching.Go(func() { stopped = r.watch(done) })
	if cfg.HDR != nil {
		watching.Go(func() { r.log(done) })
	}
	sending.Wait()
	r.took = r.elapsed()
	reading := meter.End()
	close(done)
	watching.Wait()
	if r.origin != "" {
		r.leaveNATS(workers)
	}
	res := r.result(workers, stopped)
	res.Client = r.weigh(reading, res)
	return res, r.incomplete(res, workers)
}

func newRun(ctx context.Context, cfg Config) *run {
	r := &run{
		cfg:       cfg,
		workers:   uint64(max(cfg.Workers, 1)),
		total:     cfg.total(),
		schedule:  cfg.schedule(),
		unlimited: cfg.unlimited(),
		end:       cfg.end(),
		lag:       timing.New(),
		steps:     newAccount(cfg.Steps),
	}
	if cfg.ByDue > 0 {
		r.byDue = timing.NewBuckets(cfg.ByDue)
	}
	if r.cfg.Grace <= 0 {
		r.cfg.Grace = defaultGrace
	}
	if r.cfg.Dial == nil {
		r.cfg.Dial = (&net.Dialer{Timeout: dialLimit}).DialContext // TCP_NODELAY is what Go sets by itself
	}
	r.aim()
	r.soft, r.stop = context.WithCancel(ctx)
	r.hard, r.give = context.WithCancelCause(context.Background())
	return r
}

// aim makes of Config.To, which Check has seen, what is dialled and what is written.
func (r *run) aim() {
	if isNATS(r.cfg.To) {
		r.origin = subject.NewOrigin()
		return
	}
	if isTemplate(r.cfg.To) {
		r.template, _ = parseTemplate(&r.cfg)
		r.reach(r.template.url())
		r.status = new([len(Statuses{})]atomic.Uint64)
		return
	}
	target, _ := url.Parse(r.cfg.To)
	if target.Path == "" || target.Path == "/" {
		target.Path = "/send" // no server takes messages at its root
	}
	r.reach(target)
	if target.User != nil {
		r.cfg.Authorization, _ = basic(target.User.String())
	}
	r.head = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: cometctl-msggen\r\n"+
		"Content-Type: text/tab-separated-values\r\n%sTransfer-Encoding: chunked\r\n\r\n", target.RequestURI(), target.Host, authorizationLine(r.cfg.Authorization))
}

// reach makes u's server what is dialled.
func (r *run) reach(u *url.URL) {
	r.addr = address(u)
	if u.Scheme == "https" {
		trust, _ := r.cfg.Trust.Config()
		r.cfg.Dial = overTLS(r.cfg.Dial, trust, u.Hostname())
	}
}

// hire makes the workers, each with its connections. What takes time is done here, before the schedule starts.
func (r *run) hire() ([]*worker, error) {
	workers := make([]*worker, r.workers)
	for i := range workers {
		w := &worker{run: r, index: uint64(i), wait: newWaiter(r), backoff: minBackoff,
			schedule: view(r.schedule), compose: newComposer(uint64(i), &r.cfg)}
		err := w.equip()
		if err != nil {
			for _, w := range workers[:i] {
				w.dismiss()
			}
			return nil, r.unreached(err)
		}
		switch {
		case r.total == math.MaxUint64:
			w.share = r.total
		case r.total > w.index:
			w.share = (r.total-w.index-1)/r.workers + 1
		}
		workers[i] = w
	}
	return workers, nil
}

// unreached says why there is no run.
func (r *run) unreached(err error) error {
	server := "cometctl serve"
	switch {
	case errors.Is(err, broker.ErrCredentials):
		return fmt.Errorf("msggen: %w; give --nats-user and --nats-password-file, or --nats-creds", err)
	case errors.Is(err, broker.ErrDisconnected):
		return fmt.Errorf("msggen: %w; is a NATS server running there, such as that of cometctl serve --nats-listen?", err)
	case errors.Is(err, broker.ErrConfig):
		return fmt.Errorf("msggen: %w", err)
	case r.origin != "":
		return fmt.Errorf("msggen: NATS at %s: %w", broker.Redact(natsURLs(r.cfg.To)), err)
	case r.template != nil:
		server = "the server"
	}
	return fmt.Errorf("msggen: cannot connect to %s: %w; is %s running?", r.addr, dialCause(err), server)
}

// equip connects w, and dismiss ends its connections before they were used.
func (w *worker) equip() (err error) {
	switch {
	case w.run.origin != "":
		w.other, err = newNATSPublisher(w)
	case w.run.template != nil:
		w.other, err = newPublisher(w)
	default:
		w.link, err = w.run.dial(w.run.soft)
	}
	return err
}

func (w *worker) dismiss() {
	if w.other != nil {
		w.other.close()
		return
	}
	w.link.close()
}

// dial opens a connection. ctx ends the attempt; the end of hard ends the connection.
func (r *run) dial(ctx context.Context) (*link, error) {
	conn, err := r.cfg.Dial(ctx, "tcp", r.addr)
	if err != nil {
		return nil, err
	}
	return newLink(r, conn, r.head), nil
}

// dialCause is what the system said, without the address that we name ourselves.
func dialCause(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err
	}
	return err
}

// sleep is the Sleep of the calling goroutine, which may keep its thread from now on.
func (r *run) sleep() func(time.Duration) {
	if r.cfg.Sleep != nil {
		return r.cfg.Sleep
	}
	return preciseSleep()
}

func (r *run) elapsed() time.Duration { return time.Since(r.start) }

func (r *run) stopping() bool { return r.soft.Err() != nil || r.hard.Err() != nil }

// sent counts n messages, w's own events from first on, as written at w.last.
func (r *run) sent(w *worker, first uint64, n int) {
	r.generated.Add(uint64(n))
	if r.unlimited && r.byDue == nil {
		return
	}
	late := uint64(0)
	r.mu.Lock()
	for k := first; k < first+uint64(n); k++ {
		due := w.begun
		if !r.unlimited {
			due = w.due(k)
		}
		if r.left(due, w.last) {
			late++
		}
	}
	r.mu.Unlock()
	r.late.Add(late)
}

// sentRequests counts those of the requests that were not counted before as written at the time at.
func (r *run) sentRequests(requests []request, at time.Duration) {
	late, fresh := uint64(0), uint64(0)
	r.mu.Lock()
	for i := range requests {
		q := &requests[i]
		if q.sent {
			continue
		}
		q.sent = true
		fresh++
		if r.left(q.due, at) {
			late++
		}
	}
	r.mu.Unlock()
	r.generated.Add(fresh)
	r.late.Add(late)
}

// left records when a message was due and when it left, and tells whether that is late. Its caller has the lock.
func (r *run) left(due, at time.Duration) (late bool) {
	if r.byDue != nil {
		r.byDue.Add(r.epoch + int64(due))
	}
	if r.unlimited {
		return false
	}
	if r.steps != nil {
		r.steps.add(due, at)
	}
	r.lag.Record(at - due)
	return at-due > LateAfter
}

// confirm counts what an answer says about a request of so many messages. The ledger takes it as it is; what it accepts
// or refuses beyond what was asked is nobody's message.
func (r *run) confirm(messages uint64, a answer) {
	accepted := min(a.Sent, messages)
	r.accepted.Add(accepted)
	r.bad.Add(min(a.Bad, messages-accepted))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ledger.add(a.Ledger)
	if len(a.Errors) > 0 {
		r.note(fmt.Errorf("the server refused a line: %s", a.Errors[0].Error))
	}
}

// note keeps what went wrong. The first is what cost messages, the last may only be what came of it, such as a refused
// reconnect. Its caller has the lock.
func (r *run) note(err error) {
	r.first, r.last = cmp.Or(r.first, err), err
}

// refused judges an answer that confirms nothing. What the server may do better next time ends the connection only; an
// answer that will be the same each time, such as 404, ends the run.
func (r *run) refused(status int, err error) error {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return err
	}
	if status == http.StatusUnauthorized {
		r.fail(fmt.Errorf("%w; %s", err, wantsToken))
		return err
	}
	if status < 500 {
		r.fail(fmt.Errorf("%w; is %s a server's POST /send?", err, wire.RedactURL(r.cfg.To)))
	}
	return err
}

// fail ends the run for what will not get better.
func (r *run) fail(err error) {
	r.mu.Lock()
	r.fatal = cmp.Or(r.fatal, err)
	r.mu.Unlock()
	r.stop()
}

// broke notes why a connection ended or could not be made.
func (r *run) broke(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(err)
}
