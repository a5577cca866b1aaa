package workers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"

	"cometctl/server"
)

// Assignment is what a worker has from its parent.
type Assignment struct {
	Index    int             // of the worker, from 0
	Config   json.RawMessage // of Config.Job
	Listener *os.File        // for server.Config.Inherit
	Page     *server.Page    // for server.Config.Page
}

// Worker is what Serve needs of a server.
type Worker interface {
	Stats() server.Stats
	Take(fd int) error // a connection that the parent has accepted
	Reload() error     // logged already
	Drain(ctx context.Context) error
	Close() error
}

// ErrNoParent is returned by Serve in a process that no Family has started.
var ErrNoParent = errors.New("workers: this process was not started by a parent with workers")

// Serve is a worker's life: it takes its assignment from the parent that started this process, hands it to start, and serves until the
// parent orders it to drain, is gone, or ctx is done; then it drains. What start fails with, the parent tells.
func Serve(ctx context.Context, start func(Assignment) (Worker, error)) error {
	conn, err := inherit(fdControl, "control")
	if err != nil {
		return err
	}
	defer conn.Close()
	handed, err := inherit(fdConns, "connections")
	if err != nil {
		return err
	}
	defer handed.Close()
	s := &session{orders: json.NewDecoder(bufio.NewReaderSize(conn, 2<<10)), out: json.NewEncoder(conn)}
	var first order
	if err := s.orders.Decode(&first); err != nil || first.Job == nil {
		return fmt.Errorf("%w: no assignment came: %v", ErrNoParent, err)
	}
	w, err := s.begin(first.Job, start)
	if err != nil {
		return errors.Join(err, s.say(news{Failed: err.Error(), Usage: errors.Is(err, server.ErrConfig)}))
	}
	defer w.Close()
	if err := s.say(news{Ready: true}); err != nil {
		return fmt.Errorf("workers: the parent is gone: %w", err)
	}
	go take(handed, w)
	ordered := make(chan error, 1)
	go func() { ordered <- s.obey(w) }()
	select {
	case <-ctx.Done():
	case err = <-ordered:
	}
	return errors.Join(err, w.Drain(context.WithoutCancel(ctx)))
}

// session is the worker's end of the conversation.
type session struct {
	orders *json.Decoder
	mu     sync.Mutex // of out
	out    *json.Encoder
}

func (s *session) say(n news) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Encode(n)
}

func (s *session) begin(j *job, start func(Assignment) (Worker, error)) (Worker, error) {
	pages := os.NewFile(fdPages, "pages")
	page, err := mapPage(pages, j.Page)
	pages.Close()
	if err != nil {
		return nil, fmt.Errorf("workers: the page of counters: %w", err)
	}
	listener := os.NewFile(fdListener, "listener")
	defer listener.Close()
	return start(Assignment{j.Index, j.Config, listener, page})
}

// obey does what the parent orders until it orders to drain, or is gone, which is no error: the end of the one is that of the other.
func (s *session) obey(w Worker) error {
	for {
		var o order
		if err := s.orders.Decode(&o); err != nil || o.Drain {
			return nil
		}
		if o.Collect {
			debug.FreeOSMemory()
		}
		if o.Reload {
			_ = w.Reload()
		}
		if o.Ask != 0 {
			st := w.Stats()
			if err := s.say(news{Answer: o.Ask, Stats: &st}); err != nil {
				return nil
			}
		}
	}
}

// take takes the connections that the parent found waiting for somebody else, until there is no parent.
func take(from *net.UnixConn, w Worker) {
	for {
		fds, err := receive(from)
		for _, fd := range fds {
			_ = w.Take(fd) // it ends; the client sees that
		}
		if err != nil {
			return
		}
	}
}

// inherit is a socket that the parent left open for us.
func inherit(fd uintptr, name string) (*net.UnixConn, error) {
	f := os.NewFile(fd, name)
	conn, err := net.FileConn(f)
	if err != nil { // f is not closed: without a parent its number is something else's, such as the runtime's
		return nil, fmt.Errorf("%w (%v); serve --workers does", ErrNoParent, err)
	}
	f.Close()
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%w (%s is no socket of a parent's)", ErrNoParent, name)
	}
	return unix, nil
}
