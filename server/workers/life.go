package workers

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"cometctl/internal/nursery"
	"cometctl/server"
)

// state of a worker, as its row says it.
type state string

const (
	starting state = "starting" // its process is not ready yet
	running  state = "running"
	stuck    state = "stuck"   // it does not answer; it gets no connections until it does, and is not killed
	waiting  state = "waiting" // it has died and is started again soon
	over     state = "over"    // it has ended and is not started again
)

// worker is one place in the family, and the process that fills it.
type worker struct {
	f     *Family
	index int
	at    int64        // of page in the file of pages
	page  *server.Page // counters of this life: the process writes, we read, and clear them when it has ended

	// Under Family.mu.
	state    state
	restarts int
	pid      int           // 0: there is no process
	why      error         // how the last life ended
	past     sums          // of lives that have ended
	link     *link         // nil: there is no process
	conns    *net.UnixConn // takes connections
	handed   int64         // connections that were sent there
	last     server.Stats
	weight   int // by which it gets new connections
}

// process is one life of a worker.
type process struct {
	cmd   *exec.Cmd
	link  *link
	conns *net.UnixConn
	first chan news     // the first that it says; closed when it says nothing more
	ended chan struct{} // closed when it has ended and been waited for
	words nursery.Tail  // of its stderr; to be read when it has ended
}

// errStopped is why a worker ended that was to end.
var errStopped = errors.New("workers: told to end")

// Rests before a worker that died is started again.
const (
	firstRest   = 100 * time.Millisecond
	longestRest = 10 * time.Second // also the life after which the first one is enough again
)

// restAfter is the rest after a life that lasted for ran, when the last one was rest.
func restAfter(rest, ran time.Duration) time.Duration {
	if rest == 0 || ran >= longestRest {
		return firstRest
	}
	return min(2*rest, longestRest)
}

// live lives the worker's lives, one after another, until the family ends. first is told once: nil when the worker is ready for the first time,
// or why it will never be.
func (w *worker) live(first chan<- error) {
	born := false
	for rest := time.Duration(0); ; {
		began := time.Now()
		err := w.life(func() {
			if !born {
				born = true
				first <- nil
			}
		})
		if !born || w.f.ending() {
			w.enter(over, err)
			if !born {
				first <- err
			}
			return
		}
		rest = restAfter(rest, time.Since(began))
		w.enter(waiting, err)
		w.f.cfg.Log.Warn("workers: a worker has died and is started again", "worker", w.index, "in", rest, "why", err)
		select {
		case <-time.After(rest):
		case <-w.f.stop:
		}
		w.f.mu.Lock()
		w.restarts++
		w.f.mu.Unlock()
	}
}

// life starts a process, tells when it is ready, watches over it, and returns how it ended.
func (w *worker) life(ready func()) error {
	select {
	case w.f.slots <- struct{}{}:
	case <-w.f.stop:
		return errStopped
	}
	p, err := w.begin()
	<-w.f.slots
	if p == nil {
		return err
	}
	if err == nil {
		ready()
		w.watch(p)
	}
	<-p.ended
	return w.bury(p, err)
}

// begin starts a process and waits until it is ready. With an error there may be a process, which will end.
func (w *worker) begin() (*process, error) {
	p, err := w.birth()
	if err != nil {
		return nil, fmt.Errorf("workers: starting worker %d: %w", w.index, err)
	}
	w.f.mu.Lock()
	w.state, w.pid, w.link, w.last = starting, p.cmd.Process.Pid, p.link, server.Stats{}
	w.conns, w.handed = p.conns, 0
	w.f.mu.Unlock()
	if w.f.ending() { // whoever told the others may have done so before
		p.cmd.Process.Kill()
		return p, errStopped
	}
	j, err := w.f.encode(w)
	if err == nil {
		err = p.link.tell(order{Job: j})
	}
	if err != nil {
		p.cmd.Process.Kill()
		return p, err
	}
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case n, ok := <-p.first:
		if ok && n.Failed != "" {
			return p, &failure{n.Failed, n.Usage}
		}
		if !ok {
			return p, errors.New("it ended before it was ready")
		}
		w.enter(running, nil)
		return p, nil
	case <-timer.C:
		p.cmd.Process.Kill()
		return p, fmt.Errorf("it was not ready within %v", startLimit)
	}
}

// birth starts a process. It inherits two sockets to us, its listening socket, and the pages of counters.
func (w *worker) birth() (*process, error) {
	words, conns, theirs, err := sockets()
	if err != nil {
		return nil, err
	}
	defer theirs[0].Close()
	defer theirs[1].Close()
	quit := func(err error) (*process, error) {
		words.Close()
		conns.Close()
		return nil, err
	}
	listener, err := w.f.group.File(w.index)
	if err != nil {
		return quit(err)
	}
	defer listener.Close()
	cmd := exec.Command(w.f.cfg.Command[0], w.f.cfg.Command[1:]...)
	cmd.ExtraFiles = []*os.File{fdControl - 3: theirs[0], fdListener - 3: listener, fdPages - 3: w.f.pages, fdConns - 3: theirs[1]}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = w.f.nursery.Start(cmd)
	}
	if err != nil {
		return quit(err)
	}
	p := &process{cmd: cmd, link: newLink(words, w.f.cfg.Stuck), conns: conns, first: make(chan news, 1), ended: make(chan struct{})}
	go p.link.listen(p.first)
	go func() {
		defer close(p.ended)
		w.f.pump(bufio.NewReader(stderr), &p.words) // before Wait, which closes the pipe
		w.f.nursery.Wait(cmd)
		quit(nil)
	}()
	return p, nil
}

// sockets makes our ends of the sockets to a worker, and its.
func sockets() (words, conns *net.UnixConn, theirs [2]*os.File, err error) {
	var ours [2]*net.UnixConn
	for i, kind := range []int{forWords, forConns} {
		f, their, err := pair(kind)
		if err == nil {
			theirs[i] = their
			var conn net.Conn
			conn, err = net.FileConn(f)
			f.Close()
			ours[i], _ = conn.(*net.UnixConn)
		}
		if err != nil {
			for k := range i + 1 {
				ours[k].Close()
				theirs[k].Close()
			}
			return nil, nil, theirs, err
		}
	}
	return ours[0], ours[1], theirs, nil
}

// pump passes on what a worker prints, whole lines, until it has ended.
func (f *Family) pump(r *bufio.Reader, words *nursery.Tail) {
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			f.say.Lock()
			f.cfg.Stderr.Write(line)
			f.say.Unlock()
			words.Add([]byte(strings.TrimRight(string(line), "\r\n")))
		}
		if err != nil {
			return
		}
	}
}

// watch asks the process how it is until it has ended.
func (w *worker) watch(p *process) {
	tick := time.NewTicker(w.f.cfg.Stuck / 2)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-tick.C:
			w.check(p.link)
		}
	}
}

// check asks a worker for its numbers, and notes whether it answers.
func (w *worker) check(l *link) {
	w.tells(l, false, w.f.cfg.Stuck)
	if w.f.ending() { // who drains hears no questions any more
		return
	}
	now := running
	if l.silent() {
		now = stuck
	}
	w.f.mu.Lock()
	was := w.state
	w.state = now
	w.f.mu.Unlock()
	switch {
	case was == now:
		return
	case now == stuck:
		w.f.cfg.Log.Warn("workers: a worker does not answer; it gets no new connections until it does", "worker", w.index, "pid", w.pid)
	default:
		w.f.cfg.Log.Info("workers: a worker answers again", "worker", w.index, "pid", w.pid)
	}
	w.f.wakeSteering()
}

// bury takes the numbers of a process that has ended into the past, and says how it ended.
func (w *worker) bury(p *process, err error) error {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	w.inter()
	w.pid, w.link, w.conns, w.last = 0, nil, nil, server.Stats{}
	if fail := new(failure); errors.As(err, &fail) {
		return fmt.Errorf("worker %d did not start: %w", w.index, err)
	}
	how := p.cmd.ProcessState.String()
	if err != nil {
		how = fmt.Sprintf("%v (%s)", err, how)
	}
	if words := p.words.Lines(); len(words) > 0 {
		how += "; its last words: " + strings.Join(words, "\n")
	}
	return fmt.Errorf("worker %d, pid %d: %s", w.index, p.cmd.Process.Pid, how)
}

// enter notes what became of the worker.
func (w *worker) enter(s state, why error) {
	w.f.mu.Lock()
	w.state = s
	if why != nil {
		w.why = why
	}
	w.f.mu.Unlock()
	w.f.wakeSteering()
}

// failure is why a worker could not start, in its own words.
type failure struct {
	text  string
	usage bool
}

func (e *failure) Error() string { return e.text }

// Is makes an error of the configuration one here too.
func (e *failure) Is(target error) bool { return e.usage && target == server.ErrConfig }
