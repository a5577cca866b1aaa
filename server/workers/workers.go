// Package workers is a comet front in many processes: N workers share the listening port, a parent starts them, watches over them and
// sums them up. A process may hold only so many descriptors, and what kills it kills nothing but its own connections.
//
// The parent is a Family. It opens the port once, as a group of one socket per worker (netloop.Group), and keeps copies of them, so
// that nobody who waits to be accepted is reset when a worker dies: the next one is given the same socket. It says which
// worker gets new connections, by the room that each has (steer.go); one that is full, stuck or dead leaves the group without closing
// its socket, and who waits there already is sent on to one that has room (rehome.go). A worker's counters lie in memory that it shares with the parent (server.Page), so that the parent knows exactly what a
// worker had done that was killed; what was pending there counts as gone, and its numbers live on in the sums.
//
// A worker is a process that calls Serve. It has its assignment from the parent over a socket, and answers questions there. It drains when the parent says
// so or is gone; on Linux the kernel kills it should the parent be killed (package nursery).
//
// Who runs where: each worker has one goroutine in the parent that lives its lives one after another (life.go), and for each life one that reads
// what it says and one that reads its stderr. One more goroutine steers. Everything that they share is under Family.mu; any goroutine may call
// a Family's methods.
//
//	workers.go   Config, Family, its beginning and end
//	life.go      a worker's lives: start, ready, watched, dead, again
//	steer.go     who gets new connections
//	rehome.go    connections that wait with a worker which will not take them
//	stats.go     rows and sums
//	protocol.go  what parent and worker say to each other, the parent's end
//	serve.go     Serve, the worker's end
package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/nursery"
	"cometctl/server"
)

// Config says how to run workers.
type Config struct {
	N       int             // how many, 1 to netloop.MaxGroup
	Listen  string          // address that they share; port 0 picks one
	Command []string        // program and arguments of a worker, which calls Serve
	Job     func(i int) any // what worker i is told, as JSON (Assignment.Config); called for each of its lives
	Drain   time.Duration   // how long a worker's Drain may take; it is killed a while later
	Stuck   time.Duration   // how long a worker may owe an answer before it is stuck; default DefaultStuck
	Stderr  io.Writer       // gets what the workers print there, line by line; nil: nobody
	Log     *slog.Logger    // told of deaths, returns and silence; nil: nobody
}

// Family is a parent's workers. Make it with Start.
type Family struct {
	cfg      Config
	group    *netloop.Group
	pages    *os.File
	nursery  *nursery.Nursery
	workers  []*worker
	slots    chan struct{} // held while a worker starts: more at once would all be late
	resteer  chan struct{} // told when a worker has come or gone
	stop     chan struct{} // closed when nobody is to be started any more
	lives    sync.WaitGroup
	steering sync.WaitGroup
	end      sync.Once
	endErr   error
	say      sync.Mutex // of Config.Stderr
	stray    []int      // connections that were accepted here and not sent on yet; of the goroutine that steers

	mu      sync.Mutex               // guards what worker says it does
	origins map[string]server.Ledger // what those did with an origin's messages that have ended
}

// The parent's patience.
const (
	DefaultStuck = 2 * time.Second // of Config.Stuck; twice in that time it is asked how it is
	startLimit   = time.Minute     // until a worker says that it is ready: on a busy machine fifty start at once
	killAfter    = 3 * time.Second // beyond Config.Drain
)

// Start listens and starts all workers. It returns when all are ready, or with the reason why one could not start, after ending the others. An error of
// a worker's configuration is a server.ErrConfig.
func Start(ctx context.Context, cfg Config) (*Family, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Stderr == nil {
		cfg.Stderr = io.Discard
	}
	if cfg.Stuck <= 0 {
		cfg.Stuck = DefaultStuck
	}
	f := &Family{cfg: cfg, slots: make(chan struct{}, 2*runtime.NumCPU()), resteer: make(chan struct{}, 1), stop: make(chan struct{})}
	var err error
	if f.group, err = netloop.ListenGroup(cfg.Listen, cfg.N); err != nil {
		return nil, fmt.Errorf("server: comet listener: %w", err)
	}
	if err := f.prepare(); err != nil {
		f.group.Close()
		return nil, err
	}
	f.nursery = nursery.New()
	f.nursery.Follow() // all of them wait for us
	first := make(chan error, cfg.N)
	for _, w := range f.workers {
		f.lives.Go(func() { w.live(first) })
	}
	f.steering.Go(f.steer)
	for range f.workers {
		select {
		case err = <-first:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// prepare makes the pages of counters.
func (f *Family) prepare() (err error) {
	if f.pages, err = createPages(f.cfg.N); err != nil {
		return fmt.Errorf("workers: pages of counters: %w", err)
	}
	for i := range f.cfg.N {
		w := &worker{f: f, index: i, at: int64(i) * pageBytes(), state: starting}
		if w.page, err = mapPage(f.pages, w.at); err != nil {
			f.pages.Close()
			return fmt.Errorf("workers: pages of counters: %w", err)
		}
		f.workers = append(f.workers, w)
	}
	return nil
}

var _ server.Family = (*Family)(nil)

// Comet implements server.Family.
func (f *Family) Comet() netip.AddrPort { return f.group.Addr() }

// Ready implements server.Family.
func (f *Family) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.ContainsFunc(f.workers, func(w *worker) bool { return w.state == running }) {
		return errors.New("no worker is ready")
	}
	return nil
}

// Reload implements server.Family. A worker that starts later reads everything anew.
func (f *Family) Reload() {
	for _, l := range f.links() {
		go l.tell(order{Reload: true})
	}
}

// Drain implements server.Family. All workers drain together: each streams its last chunks. It returns when they have ended, and with an error that
// says how many connections had to be cut. When ctx is done first, and a while after Config.Drain, they are killed. Calling it again, or after
// Close, answers the same.
func (f *Family) Drain(ctx context.Context) error {
	f.end.Do(func() { f.endErr = f.drain(ctx) })
	return f.endErr
}

func (f *Family) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Drain+killAfter)
	defer cancel()
	close(f.stop)
	f.steering.Wait()
	cut := f.cut()
	for _, fd := range f.stray {
		shut(fd)
	}
	f.group.Close() // each worker's socket is its own now, and closes when its queue is empty
	for _, l := range f.links() {
		go l.tell(order{Drain: true})
	}
	killed := context.AfterFunc(ctx, f.nursery.KillAll)
	f.lives.Wait()
	late := !killed()
	f.nursery.Close()
	f.pages.Close()
	switch cut = f.cut() - cut; {
	case late:
		return fmt.Errorf("workers: %w before all workers had ended; they were killed", context.Cause(ctx))
	case cut > 0:
		return fmt.Errorf("workers: %d connections did not end within %v and were cut", cut, f.cfg.Drain)
	}
	return nil
}

// Close implements server.Family: it kills all workers.
func (f *Family) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Drain(ctx)
	return nil
}

// ending tells whether nobody is to be started any more.
func (f *Family) ending() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

func (f *Family) wakeSteering() {
	select {
	case f.resteer <- struct{}{}:
	default:
	}
}

// encode is what worker i is told for its next life.
func (f *Family) encode(w *worker) (*job, error) {
	b, err := json.Marshal(f.cfg.Job(w.index))
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	return &job{Index: w.index, Config: b, Page: w.at}, nil
}
