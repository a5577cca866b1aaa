// Package cluster is the router over many processes. A Router is a router.Local, which knows the sessions of this process,
// and a connection to NATS, whose interest graph knows which processes hold an id: what global:whereis_name was to the
// router.erl of the article. The connection is of package internal/broker, which joins a NATS outside or runs one inside.
//
//   - An id is the subject comet.id.<token>. Its first login here subscribes, its last logout unsubscribes. All these
//     subscriptions share one channel, because a goroutine and a queue for each id would cost four times as much.
//   - Send hands a message to the sessions here first and then publishes it for the other nodes (NoEcho). Whether anybody
//     else holds the id it cannot know yet. When nobody does, NATS says so later ("no responders"), and Config.Offline hears.
//   - SendConfirmed waits for that word, or for the answers of the nodes that hold the id.
//
// Nothing is stored and nothing is sent again: a message arrives at most once. What was on its way when a connection broke is
// lost, and Stats says when that was. docs/design/cluster.md in the project has the subjects, the accounting and the figures.
//
// Who runs where: any goroutine may call a Router's methods. One goroutine (interest.go) owns the table of subscriptions
// and is the only one that subscribes. One goroutine (receive.go) takes what other nodes sent from the channel and calls
// Deliver, one message after the other, which keeps each publisher's order. Answers and reports come on two further
// goroutines, so that SendConfirmed may be called within Deliver.
//
//	cluster.go   Config, Router, its beginning and end
//	subject.go   subjects, tokens, the text of an answer
//	send.go      Send
//	ahead.go     what was published and not confirmed yet
//	confirm.go   SendConfirmed, Ping, AskAll: requests and the collecting of answers
//	interest.go  which ids are subscribed
//	receive.go   what comes from other nodes
//	watch.go     connection events, names, Stats
package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/subject"
	"cometctl/server/router"
)

// Errors of this package; compare with errors.Is.
var (
	// ErrConfig is returned by New for what cannot work; the text names the field and its value.
	ErrConfig = errors.New("cluster: bad configuration")
	// ErrDisconnected is returned by Ready, Settle, SendConfirmed and Ping without a connection to NATS; by Send only with
	// Config.Required. It is a router.ErrDisconnected.
	ErrDisconnected = fmt.Errorf("cluster: not connected to NATS%w", silent{router.ErrDisconnected})
	// ErrTooLarge is returned by Send and SendConfirmed for a message over NATS's maximum payload. Nobody got it. It is a
	// router.ErrTooLarge.
	ErrTooLarge = fmt.Errorf("cluster: message is too large for NATS%w", silent{router.ErrTooLarge})
	// ErrUnconfirmed is returned by SendConfirmed and Ping when no node answered in time: somebody is interested, says NATS,
	// but it may just have left or be stuck. It is a router.ErrUnconfirmed.
	ErrUnconfirmed = fmt.Errorf("cluster: no answer%w", silent{router.ErrUnconfirmed})
	// ErrNode is returned by Ping for a node that is not there.
	ErrNode = errors.New("cluster: no such node")
	// ErrName is returned by New and Ready when another node goes by the same name.
	ErrName = errors.New("cluster: the node's name is taken")
)

// silent is an error that is there without saying so.
type silent struct{ error }

func (silent) Error() string { return "" }

// Unwrap returns what it is.
func (e silent) Unwrap() error { return e.error }

// Defaults of Config.
const (
	DefaultPending = 16384                 // messages; 128 KiB for the channel, at 100,000 messages/s a sixth of a second
	DefaultGather  = 20 * time.Millisecond // several times a round trip between machines of one place
	DefaultConfirm = 2 * time.Second
	DefaultAnswers = 400 * time.Millisecond
)

// Config says how a Router works. A zero field means its default.
type Config struct {
	// Name is the node's, unique among nodes: 1 to 128 bytes as of an id. Default: host, process id and something random.
	Name string
	// Arrived hears of each message from elsewhere before it is handed to sessions, and returns the tag for Deliver. origin tells
	// the publishers apart, each with one of its own, and is empty for who does not speak as a node does. sole says that the
	// message had no session where it was published, so that it is a message to account for and not the copy of one. It is called
	// on one goroutine. Nil tags with 0.
	Arrived func(origin string, sole bool) (tag uint64)
	// Unheld, if not nil, hears after Arrived that the message found no session here.
	Unheld func(tag uint64, sole bool)
	// Idle, if not nil, is called after the last message that has come, before more are waited for.
	Idle func()
	// Account, if not nil, answers who asks all nodes for their accounts (Ledgers): JSON of what became here of the messages of an
	// origin, or of all messages for an empty one.
	Account func(origin string) []byte
	// Asked, if not nil, answers what another node asks all (AskAll); an empty answer is not sent. It is called on one goroutine, for one question
	// after the other, and should not take longer than half of DefaultAnswers.
	Asked func(question []byte) (answer []byte)
	// Offline, if not nil, hears of each message that Send had published with Receipt.Sessions 0 and that nobody else holds
	// the id of: tag is Send's. It is called on a goroutine of the Router and must not block.
	Offline func(tag uint64)
	// Stage, if not nil, is what messages pass on their way to sessions of this node, wherever they come from.
	Stage router.Stage
	// Keeper, if not nil, remembers ids that nobody here holds any more: this node stays interested in them while it does.
	Keeper router.Keeper
	// Sessions is how many sessions of this node an id may have (router.Local's Limit); 0: as many as come.
	Sessions int
	// Required refuses Send with ErrDisconnected while there is no NATS, instead of reaching local sessions only.
	Required bool
	// Pending is the slow consumer limit of this node: so many messages from other nodes may wait for Deliver. Further ones
	// are dropped and counted (Stats.Dropped).
	Pending int
	// Gather is how long SendConfirmed waits for further nodes after each answer: an id may be held on several, and NATS
	// does not say on how many. Negative: the first answer is enough.
	Gather time.Duration
	// Confirm bounds the wait of SendConfirmed and Ping, whatever their context says.
	Confirm time.Duration
	// Answers is how long AskAll waits for further nodes after each answer.
	Answers time.Duration
	// Log is told of losses and repairs; default: nobody is.
	Log *slog.Logger
}

// Router is the router.Router of one node among many. Make it with New.
type Router struct {
	cfg    Config
	local  *router.Local
	nc     *nats.Conn
	nonce  string         // this Router among all that ever were
	prefix string         // of the subjects on which it gets answers
	in     chan *nats.Msg // what other nodes sent

	max     atomic.Int64 // NATS's maximum payload, 0 while unknown
	changes changes      // ids whose interest is to be looked at
	waiting waiting      // requests without all their answers
	marks   marks        // calls of Settle
	ahead   ahead        // of what NATS has read
	watch   watch        // connection, name, outages
	counts  counts
	drops   drops
	answers [3]*nats.Subscription // to requests, of each kind
	reports *nats.Subscription    // of messages that nobody wanted
	closing chan struct{}
	done    sync.WaitGroup
	close   sync.Once
}

var _ router.Router = (*Router)(nil)

// New makes a Router on nc, which must be of broker.Connect; New takes its event handlers, and Close closes it. With a
// connection, New fails with ErrName if another node has the name; without one yet, the Router works for local sessions, and
// Ready says when all is well. Messages for a session, from here or from elsewhere, go to deliver.
func New(nc *nats.Conn, cfg Config, deliver router.Deliver) (*Router, error) {
	nonce := subject.NewOrigin()
	if cfg.Name == "" {
		cfg.Name = defaultName(nonce)
	}
	if cfg.Pending == 0 {
		cfg.Pending = DefaultPending
	}
	if cfg.Gather == 0 {
		cfg.Gather = DefaultGather
	}
	if cfg.Confirm == 0 {
		cfg.Confirm = DefaultConfirm
	}
	if cfg.Answers == 0 {
		cfg.Answers = DefaultAnswers
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := router.ValidID([]byte(cfg.Name)); err != nil {
		return nil, fmt.Errorf("%w: node name: %w", ErrConfig, err)
	}
	if cfg.Pending < 0 || cfg.Confirm < 0 {
		return nil, fmt.Errorf("%w: pending %d, confirm %v; neither may be negative", ErrConfig, cfg.Pending, cfg.Confirm)
	}
	if !nc.Opts.NoEcho || nc.Opts.ReconnectBufSize >= 0 {
		return nil, fmt.Errorf("%w: the NATS connection echoes or buffers; make it with broker.Connect", ErrConfig)
	}
	r := &Router{cfg: cfg, nc: nc, nonce: nonce, prefix: answerPrefix + nonce + ".",
		in: make(chan *nats.Msg, cfg.Pending), closing: make(chan struct{})}
	r.changes.wake, r.changes.mark = make(chan struct{}, 1), make(chan struct{}, 1)
	r.ahead.init()
	r.waiting.by = map[uint64]chan<- answer{}
	r.drops.slow = map[*nats.Subscription]bool{}
	r.local = router.NewWatched(deliver, r.changes.add)
	if cfg.Stage != nil {
		r.local.Through(cfg.Stage)
	}
	if cfg.Sessions > 0 {
		r.local.Limit(cfg.Sessions)
	}
	if cfg.Keeper != nil {
		cfg.Keeper.OnForget(r.changes.add)
	}
	if err := r.start(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// start subscribes to what is not an id's, and only then listens to events: a claim of the name needs both.
func (r *Router) start() error {
	r.done.Go(r.receive)
	r.done.Go(r.tend)
	r.done.Go(func() { r.ahead.confirm(r.nc, r.cfg.Confirm, r.closing) })
	if err := r.subscribe(); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return r.observe()
}

func (r *Router) subscribe() (err error) {
	for i, kind := range []string{kindConfirm, kindBeside, kindAnswer} {
		if r.answers[i], err = r.nc.Subscribe(r.prefix+kind+".*", r.answered); err != nil {
			return err
		}
	}
	if r.reports, err = r.nc.Subscribe(r.prefix+kindVoid+".*", r.reported); err != nil {
		return err
	}
	if _, err = r.nc.Subscribe(ledgerSubject, r.account); err != nil {
		return err
	}
	if _, err = r.nc.Subscribe(subject.Ask, r.asked); err != nil {
		return err
	}
	_, err = r.nc.ChanSubscribe(nodeSubject(r.cfg.Name), r.in)
	return err
}

func defaultName(nonce string) string {
	host, err := os.Hostname()
	if err != nil || router.ValidID([]byte(host)) != nil || len(host) > 64 {
		host = "node"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), nonce[:4])
}

// Name is the node's name.
func (r *Router) Name() string { return r.cfg.Name }

// Holds tells whether any session of this node holds id.
func (r *Router) Holds(id []byte) bool { return r.local.Holds(id) }

// Local counts the sessions of this node.
func (r *Router) Local() router.Stats { return r.local.Stats() }

// Sessions lists those of this node that hold id, as router.Local does.
func (r *Router) Sessions(dst []router.Session, id []byte, most int) (some []router.Session, all int, err error) {
	return r.local.Sessions(dst, id, most)
}

// Login implements router.Router for the sessions of this node. When it returns, Sends on this node reach s; those of other
// nodes do as soon as NATS knows, see Flush.
func (r *Router) Login(id []byte, s router.Session) error { return r.local.Login(id, s) }

// Logout implements router.Router. When it returns, no later Send of any node reaches s.
func (r *Router) Logout(s router.Session) { r.local.Logout(s) }

// Close ends the connection to NATS. Messages that had arrived are handed over before it returns; sessions here can still be
// reached, as by a router.Local. It must not be called within Deliver.
func (r *Router) Close() {
	r.close.Do(func() {
		if r.nc.IsConnected() {
			_ = r.nc.FlushTimeout(time.Second) // what was published is on its way
		}
		r.nc.Close()
		close(r.closing)
	})
	r.done.Wait()
}
