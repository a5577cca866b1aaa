package workers

import (
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"cometctl/server"
)

// Parent and worker speak JSON values over a socket that the worker inherits: order by order, news by news. The first order is the
// job, the first news is ready or failed. When the socket ends, the parent wants, or can do, no more: the worker drains and ends.

// order is what the parent tells a worker: one of its fields is set.
type order struct {
	Job     *job `json:"job,omitempty"`
	Ask     int  `json:"ask,omitempty"` // number of a question; the answer carries it
	Collect bool `json:"collect,omitempty"`
	Reload  bool `json:"reload,omitempty"`
	Drain   bool `json:"drain,omitempty"`
}

// job is the first order.
type job struct {
	Index  int             `json:"index"`
	Config json.RawMessage `json:"config"`
	Page   int64           `json:"page"` // where the worker's page begins in the file of pages
}

// news is what a worker tells the parent: one of its first three fields is set.
type news struct {
	Ready  bool          `json:"ready,omitempty"`
	Failed string        `json:"failed,omitempty"` // why it could not start
	Answer int           `json:"answer,omitempty"` // number of the question
	Usage  bool          `json:"usage,omitempty"`  // with Failed: the configuration is to blame
	Stats  *server.Stats `json:"stats,omitempty"`  // with Answer
}

// Descriptors that a worker inherits.
const (
	fdControl  = 3
	fdListener = 4
	fdPages    = 5
	fdConns    = 6
)

// link is the parent's end of a worker's socket.
type link struct {
	conn  net.Conn
	limit time.Duration // how long an answer may be owed: Config.Stuck

	mu      sync.Mutex
	enc     *json.Encoder
	asked   int               // number of the last question
	waiting map[int]chan news // by number of the question
	oldest  time.Time         // when the oldest question that has no answer was asked; zero if all have
	closed  bool
}

var errSilent = errors.New("workers: no answer")

func newLink(conn net.Conn, limit time.Duration) *link {
	return &link{conn: conn, limit: limit, enc: json.NewEncoder(conn), waiting: map[int]chan news{}}
}

// tell gives an order. A worker that reads nothing for so long is stuck, and its socket's buffer full.
func (l *link) tell(o order) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.say(o)
}

func (l *link) say(o order) error {
	l.conn.SetWriteDeadline(time.Now().Add(time.Second))
	return l.enc.Encode(o)
}

// ask asks for the worker's numbers and waits for them, at most for patience. Who is stuck is not asked anything more.
func (l *link) ask(collect bool, patience time.Duration) (server.Stats, error) {
	l.mu.Lock()
	if l.closed || l.owing() {
		l.mu.Unlock()
		return server.Stats{}, errSilent
	}
	l.asked++
	n, answer := l.asked, make(chan news, 1)
	l.waiting[n] = answer
	if l.oldest.IsZero() {
		l.oldest = time.Now()
	}
	err := l.say(order{Ask: n, Collect: collect})
	l.mu.Unlock()
	if err != nil {
		return server.Stats{}, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a, ok := <-answer:
		if ok && a.Stats != nil {
			return *a.Stats, nil
		}
	case <-timer.C:
	}
	return server.Stats{}, errSilent
}

// silent tells whether the worker has owed an answer for too long.
func (l *link) silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owing()
}

func (l *link) owing() bool { return !l.oldest.IsZero() && time.Since(l.oldest) >= l.limit }

// listen reads the worker's news until the socket ends. The first one goes to first.
func (l *link) listen(first chan<- news) {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closed = true
		for _, answer := range l.waiting {
			close(answer)
		}
		l.waiting = nil
		l.oldest = time.Time{}
		close(first)
	}()
	dec := json.NewDecoder(l.conn)
	for {
		var n news
		if err := dec.Decode(&n); err != nil {
			return
		}
		if n.Answer == 0 {
			select {
			case first <- n:
			default:
			}
			continue
		}
		l.mu.Lock()
		if answer := l.waiting[n.Answer]; answer != nil {
			delete(l.waiting, n.Answer)
			answer <- n
		}
		l.oldest = time.Time{}
		if len(l.waiting) > 0 {
			l.oldest = time.Now() // it reacts again; the rest is on its way
		}
		l.mu.Unlock()
	}
}
