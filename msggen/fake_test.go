package msggen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"cometctl/internal/wire"
)

// pipes is a network of net.Pipe with one address: what a synctest bubble needs, as a goroutine that waits for a pipe is
// one that the bubble knows about. Bytes go nowhere until they are read, like a socket without buffers.
type pipes struct {
	mu    sync.Mutex
	accep chan net.Conn // nil while nobody listens
	dials []time.Time
}

func (p *pipes) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials = append(p.dials, time.Now())
	if p.accep == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	select {
	case p.accep <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) listen() net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accep = make(chan net.Conn, MaxWorkers)
	return &pipeListener{p: p, conns: p.accep, done: make(chan struct{})}
}

type pipeListener struct {
	p     *pipes
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		l.p.mu.Lock()
		l.p.accep = nil
		l.p.mu.Unlock()
		close(l.done)
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// message is one line as a server has read it.
type message struct {
	id   string
	text string
	num  uint64
	run  wire.RunTag
	seq  uint64
	due  time.Time
	lag  time.Duration
	at   time.Time // when it was read
	addr string    // the connection
}

func parseMessage(line []byte) (message, error) {
	id, text, ok := bytes.Cut(line, []byte("\t"))
	if !ok {
		return message{}, fmt.Errorf("line %q has no tab", line)
	}
	s, n, ok := wire.NextStamp(text)
	if !ok || n != len(text) || string(s.ID) != string(id) || s.Lag == wire.NoLag {
		return message{}, fmt.Errorf("line %q has no good stamp at its end", line)
	}
	m := message{id: string(id), text: string(text), run: s.Run, seq: s.Seq, due: time.Unix(0, s.Due), lag: s.Lag, at: time.Now()}
	number, ok := bytes.CutPrefix(text, []byte("Fake message Num = "))
	number, _, _ = bytes.Cut(number, []byte(" "))
	var err error
	m.num, err = strconv.ParseUint(string(number), 10, 64)
	if !ok || err != nil {
		return message{}, fmt.Errorf("line %q has no number", line)
	}
	return m, nil
}

// fake is a server of POST /send on net/http.
type fake struct {
	t   *testing.T
	net *pipes
	srv *http.Server

	// handle may replace what a request gets; it is given the rest to call.
	handle func(w http.ResponseWriter, r *http.Request, rest http.HandlerFunc)
	// pace is called after each line and says how long the server takes for it.
	pace func() time.Duration

	quit     chan struct{}  // closed when the server stops
	handlers sync.WaitGroup // of requests

	mu       sync.Mutex
	got      []message
	requests int
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, net: &pipes{}}
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fake) start() {
	f.srv = &http.Server{Handler: f}
	f.quit = make(chan struct{})
	l := f.net.listen()
	go f.srv.Serve(l)
}

// stop is a server that dies: its connections break. It returns when no goroutine of a request is left.
func (f *fake) stop() {
	f.mu.Lock()
	if !f.stopped() {
		close(f.quit)
	}
	f.mu.Unlock()
	f.srv.Close()
	f.handlers.Wait()
}

func (f *fake) stopped() bool {
	select {
	case <-f.quit:
		return true
	default:
		return false
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if f.stopped() {
		f.mu.Unlock()
		return
	}
	f.handlers.Add(1)
	defer f.handlers.Done()
	f.requests++
	f.mu.Unlock()
	if f.handle != nil {
		f.handle(w, r, f.read)
		return
	}
	f.read(w, r)
}

// read takes a request's lines and answers with their number.
func (f *fake) read(w http.ResponseWriter, r *http.Request) {
	if r.Method != "POST" || r.URL.Path != "/send" || r.Header.Get("Content-Type") != "text/tab-separated-values" {
		f.t.Errorf("request %s %s with %v", r.Method, r.URL, r.Header)
	}
	var ledger Ledger
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 2*MaxSize)
	for lines.Scan() {
		m, err := parseMessage(lines.Bytes())
		if err != nil {
			if r.Context().Err() == nil {
				f.t.Error(err)
			}
			continue
		}
		m.addr = r.RemoteAddr
		f.mu.Lock()
		f.got = append(f.got, m)
		f.mu.Unlock()
		ledger.Sent++
		ledger.Offline++
		if f.pace != nil {
			select {
			case <-time.After(f.pace()):
			case <-f.quit:
			}
		}
	}
	if lines.Err() != nil {
		return // cut in the middle: nobody is there to answer
	}
	json.NewEncoder(w).Encode(map[string]any{"sent": ledger.Sent, "offline": ledger.Offline, "unknown": "ignored"})
}

// messages are what was read so far. They fail the test where a message came twice, or out of its sequence.
func (f *fake) messages() []message {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	nums := map[uint64]bool{}
	seqs := map[string]uint64{}
	for _, m := range f.got {
		if nums[m.num] {
			f.t.Errorf("message %d was read twice", m.num)
		}
		nums[m.num] = true
		key := fmt.Sprint(m.run, " ", m.id)
		if m.seq <= seqs[key] {
			f.t.Errorf("message %d to %s of %d has sequence number %d after %d", m.num, m.id, m.run, m.seq, seqs[key])
		}
		seqs[key] = m.seq
	}
	return f.got
}

// config is a run against f on the bubble's clock.
func (f *fake) config() Config {
	return Config{To: "http://127.0.0.1:8001/send", IDs: 10, Dial: f.net.Dial, Sleep: time.Sleep}
}

// balanced fails the test unless every message of res is accounted for.
func balanced(t *testing.T, res Result) {
	t.Helper()
	if res.Sent != res.Accepted+res.Bad+res.Unconfirmed {
		t.Errorf("sent %d is not accepted %d + bad %d + unconfirmed %d", res.Sent, res.Accepted, res.Bad, res.Unconfirmed)
	}
}
