// Package server is the comet server: clients log in under an id with a request that never ends, and whoever holds the
// admin listener sends them messages. It is the mochiweb application of the article, on internal/netloop.
//
//   - The front (front.go, answer.go) speaks HTTP on the comet listener. It is a netloop.Handler: its state per connection
//     is 8 bytes in a slab, its state per loop is touched in that loop's turn only.
//   - The router (package server/router) knows which session holds which id. A session is a netloop.Conn. In a node of a
//     cluster (join.go) it reaches the sessions of other nodes as well.
//   - The admin listener (admin.go, send.go, stats.go) is plain net/http: publishers, counters, profiles.
//   - The ledger (ledger.go) accounts for every message. An account belongs to one publishing request while that lasts;
//     whoever learns the outcome of a message writes it into the account that the message came from, and every number
//     that is shown anywhere is read from the accounts.
//
// A message goes: publisher's request → router.Send → netloop Post (bounded: this is what slows a publisher down) → the
// front's Posted, which numbers, escapes and frames it → netloop Write → Wrote or Unsent, which settles it.
package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cometctl/internal/bearer"
	"cometctl/internal/netloop"
	"cometctl/server/history"
	"cometctl/server/router"
	"cometctl/server/ui"
)

// SlowPolicy says what happens to a message for a subscriber whose pending output is at its bound.
type SlowPolicy string

// The slow policies. Either way the message counts as dropped.
const (
	SlowDrop  SlowPolicy = "drop"  // the message is dropped, the connection stays
	SlowClose SlowPolicy = "close" // the connection ends as well; what was queued for it is gone
)

// Defaults of Config's durations.
const (
	DefaultHeadTimeout  = 10 * time.Second
	DefaultHeartbeat    = 30 * time.Second
	DefaultRetry        = 2 * time.Second
	DefaultPollWait     = 60 * time.Second
	DefaultKeepAlive    = 30 * time.Second
	DefaultDrainTimeout = 10 * time.Second
)

// Config says how to serve. A zero field means its default. What a process can only have itself is left out of its JSON, in which a parent
// tells its workers all else.
type Config struct {
	Listen       string        // comet listener; default 127.0.0.1:8000
	Admin        string        // admin listener; default 127.0.0.1:8001
	Engine       string        // netloop engine: "epoll" or "goroutine"; default netloop's
	Loops        int           // event loops; default one per processor
	MaxConns     int           // connections at once; more are answered with 503. Default: what the descriptor limit allows
	MaxPending   int           // pending output of one connection in bytes; default 64 KiB
	SlowPolicy   SlowPolicy    // default SlowDrop
	HeadTimeout  time.Duration // how long a request head may take from the connection's beginning; default DefaultHeadTimeout
	MessageMax   int           // largest message in bytes; default 64 KiB
	Heartbeat    time.Duration // how often a stream shows that it lives, but for the seed's; default DefaultHeartbeat, less than 0 is never
	Retry        time.Duration // after which clients of event streams are to come back; default DefaultRetry
	PollWait     time.Duration // the most that a long poll may wait; default DefaultPollWait
	KeepAlive    time.Duration // how long a connection may wait for its next request; default DefaultKeepAlive
	DrainTimeout time.Duration // how long Drain waits for output to leave; default DefaultDrainTimeout
	// MaxPendingTotal bounds the memory of all connections' pending output in bytes; default DefaultMaxPendingTotal.
	MaxPendingTotal int64
	// MaxHandshakes is how many connections may be without a whole request; for one more, the one that has waited longest is cut. Each loop has
	// its share. Default: handshakesPerLoop for each loop.
	MaxHandshakes int
	// MaxConnsPerIP is how many connections an address may have (of IPv6, a /64), MaxConnsPerID how many sessions of this process an id may have;
	// default: as many as come.
	MaxConnsPerIP, MaxConnsPerID int
	// AcceptRate is how many connections a second are accepted in the long run, and how many may come at once; the others are answered with 503.
	// Default: as many as come.
	AcceptRate float64
	// TLSCert and TLSKey are files in PEM form, by which the comet listener speaks TLS, on the goroutine engine. Reload reads them again. Default:
	// it does not speak TLS.
	TLSCert, TLSKey string
	// WSPublish makes a text from a WebSocket client a message for the ids that it is logged in under. Without it who says one is cut off.
	WSPublish bool
	FrameMax  int // largest message from a WebSocket client in bytes; default MessageMax
	// History says what is kept of messages for clients that come back. Its zero value keeps nothing.
	History history.Config
	NoFront bool // no comet listener: a router and the admin listener only, the article's node n2

	// Join makes this server a node of a cluster, with a router that tells Hooks what it hears. Nil: it is alone.
	Join func(Hooks) (Cluster, error) `json:"-"`
	// Required refuses messages while the other nodes cannot be reached; Join's router knows of it too.
	Required bool

	// Family starts other processes that hold the connections, instead of a front of this one; it is called when the router stands. Nil:
	// there are none.
	Family func() (Family, error) `json:"-"`

	// AdminTokenFile is a file with bearer tokens (package internal/bearer), one of which the admin listener asks for then. Without it, Admin must
	// be a loopback address.
	AdminTokenFile string
	// AllowOrigin are the origins, as "https://example.com", whose pages may use the admin listener and read what the comet listener answers; "*"
	// is all of them, and needs AdminTokenFile.
	AllowOrigin []string

	tokens     bearer.Tokens // what AdminTokenFile held at the start
	adminTimes adminTimes    // tests have less patience

	NoAdmin bool     // no admin listener: messages come from other nodes only
	Inherit *os.File `json:"-"` // a listening socket that another process has opened and keeps, instead of Listen; it is the caller's to close
	// InheritAdmin is one instead of Admin.
	InheritAdmin *os.File `json:"-"`
	Page         *Page    `json:"-"` // where everything is counted, for another process to see; default: nobody else sees it

	Log *slog.Logger `json:"-"` // default: nobody is told
}

// Errors that New returns; compare with errors.Is.
var (
	// ErrConfig is what an error is for a Config that cannot be served. Its text names the field as serve's flag, its
	// value, and what is possible.
	ErrConfig = errors.New("server: bad configuration")
)

// Server is a running comet server. Its methods may be called from any goroutine.
type Server struct {
	cfg      Config
	engine   netloop.Engine
	router   router.Router
	local    *router.Local // the router of a server that is alone
	cluster  Cluster       // the router of a node; nil for one that is alone
	origins  origins       // accounts of publishers elsewhere
	history  *history.Store
	sweeping sync.Once      // begins the sweeper
	torn     atomic.Int64   // who has logged in later (client.since) knows what it has missed of other nodes' messages
	sweeper  sync.WaitGroup // of the history
	talk     talk           // what WebSocket clients publish
	family   Family         // processes that hold the connections; nil: this one does
	ledger   ledger
	counts   *counts
	most     int64        // descriptors that connections may hold, beside adminPlaces
	rate     bucket       // accepts a second
	hosts    *hosts       // connections by address; nil: nobody asks
	loops    []*frontLoop // by loop; each belongs to its loop's turn
	meters   []*netloop.Meter
	files    map[string]ui.File // the page at /, by path
	comet    netip.AddrPort
	admin    net.Addr
	http     *http.Server
	guard    *guard // of http; nil with Config.NoAdmin
	httpDone chan error
	born     time.Time
	tsv      sync.Pool // *bufio.Reader of publishers' streams: a new request comes every second, a buffer need not
	json     sync.Pool // the same for NDJSON, whose lines may be longer

	certs              *certs    // nil: the comet listener does not speak TLS
	toldPlain, toldTLS sync.Once // said in the log what mismatch.go is about

	draining atomic.Bool
	drain    sync.Once
	drainErr error              // what the one Drain found
	stopPub  context.CancelFunc // ends the publishers' streams
	pubs     context.Context
	idle     chan struct{} // a connection or a publisher has ended while draining
	senders  atomic.Int64  // publishers that are here
}

// New listens on both addresses and serves until Close. Connections are taken when it returns.
func New(cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	most, err := cfg.limitConns()
	if err != nil {
		return nil, err
	}
	certs, err := cfg.openCerts()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, certs: certs, counts: new(counts), most: int64(most), born: time.Now(), httpDone: make(chan error, 1), idle: make(chan struct{}, 1)}
	if cfg.Page != nil {
		s.counts, s.ledger.fresh = &cfg.Page.counts, cfg.Page.fresh
		cfg.Page.max.Store(int64(cfg.MaxConns))
	}
	s.pubs, s.stopPub = context.WithCancel(context.Background())
	s.tsv.New = func() any { return bufio.NewReaderSize(nil, cfg.lineMax(parseTSV)) }
	s.json.New = func() any { return bufio.NewReaderSize(nil, cfg.lineMax(parseJSON)) }
	if err := s.start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("server: %w", err)
	}
	return s, nil
}

// start takes the addresses and begins to serve; the last thing is to take connections. Where it fails, Close tidies up.
func (s *Server) start() (err error) {
	var admin net.Listener
	if !s.cfg.NoAdmin {
		if admin, err = s.listenAdmin(); err != nil {
			return fmt.Errorf("admin listener: %w", err)
		}
		s.admin = admin.Addr()
		defer func() {
			if s.http == nil {
				admin.Close()
			}
		}()
	}
	s.files = ui.Files(s.adminForPage())
	front := &front{s: s}
	s.engine, err = netloop.New(netloop.Config{Engine: s.cfg.Engine, Loops: s.cfg.Loops, MaxPending: s.cfg.MaxPending,
		MaxPendingTotal: s.cfg.MaxPendingTotal, Pending: &s.counts.pending, Linger: s.cfg.DrainTimeout, Full: s.full, Meter: s.loopMeter,
		TLS: s.certs.config(), NotTLS: front.notTLS, Log: func(msg string) { s.cfg.Log.Warn(msg) }}, front)
	if err != nil {
		return err
	}
	front.ready(s.engine.Loops())
	s.remember()
	if err := s.join(); err != nil {
		return err
	}
	s.startTalk()
	if s.cfg.Family != nil {
		if s.family, err = s.cfg.Family(); err != nil {
			return err
		}
	}
	if admin != nil {
		s.serveAdmin(admin)
	}
	return s.listen()
}

// listen takes connections, unless that is the business of others.
func (s *Server) listen() (err error) {
	switch {
	case s.family != nil:
		s.comet = s.family.Comet()
		return nil
	case s.cfg.NoFront:
		return nil
	case s.cfg.Inherit != nil:
		s.comet, err = s.engine.Inherit(s.cfg.Inherit)
	default:
		s.comet, err = s.engine.Listen(s.cfg.Listen)
	}
	if err != nil {
		return fmt.Errorf("comet listener: %w", err)
	}
	return nil
}

func (s *Server) linePool(parse lineParser) *sync.Pool {
	if parse.spell > 1 {
		return &s.json
	}
	return &s.tsv
}

// Take makes a connection that another process has accepted on Config.Inherit's address one of this server's. fd is the server's from
// here on, whatever Take returns.
func (s *Server) Take(fd int) error {
	err := s.engine.Take(fd)
	if s.cfg.Page != nil {
		s.cfg.Page.taken.Add(1)
	}
	return err
}

// lend lets the admin listener have a descriptor that the comet listener does not use just now (n is 1), or takes it back
// (n is -1).
func (s *Server) lend(n int64) bool {
	if s.counts.lent.Add(n)+s.counts.held.Load() > s.most && n > 0 {
		s.counts.lent.Add(-n)
		return false
	}
	return true
}

// post hands a message of the publisher with that account to a session. It blocks while the session's loop has too much
// to do: that is a publisher's back-pressure.
func (s *Server) post(to router.Session, msg []byte, tag uint64) {
	account := uint32(tag)
	s.ledger.at(account).queued()
	if !s.engine.Post(netloop.Conn(to), msg, tag) {
		s.ledger.settle(account, gone)
	}
}

// Comet is the address of the comet listener, this process's or its family's; the zero AddrPort with Config.NoFront.
func (s *Server) Comet() netip.AddrPort { return s.comet }

// Admin is the address of the admin listener; nil with Config.NoAdmin.
func (s *Server) Admin() net.Addr { return s.admin }

// Engine is the name of the engine in use.
func (s *Server) Engine() string { return s.cfg.Engine }

// Loops is the number of event loops.
func (s *Server) Loops() int { return s.engine.Loops() }

// Reload reads again what may be replaced while the server runs: the admin listener's tokens, and the certificate, its workers' too. Connections go
// on with what they began with. What cannot be used is refused, with an error that the log has as well, and the old goes on in its place.
func (s *Server) Reload() error {
	err := s.reloadTokens()
	if s.certs == nil {
		return err
	}
	if certErr := s.certs.reload(); certErr != nil {
		return errors.Join(err, certErr)
	}
	if s.family != nil {
		s.family.Reload()
	}
	return err
}

// Close ends everything at once: connections are cut, what was queued for them counts as gone.
func (s *Server) Close() (err error) {
	s.draining.Store(true)
	s.stopPub()
	if s.family != nil {
		s.family.Close()
	}
	if s.cluster != nil {
		s.cluster.Close()
	}
	if s.engine != nil {
		err = s.engine.Close()
	}
	s.stopTalk()
	s.sweeper.Wait()
	if s.http != nil {
		s.http.Close()
		<-s.httpDone
		s.httpDone <- nil // for another Close
	}
	return err
}
