package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Defaults of EmbedConfig.
const (
	DefaultMaxPayload    = 1 << 20
	DefaultMaxPending    = 32 << 20         // half of NATS's own: with fifty processes on a machine it is to be paid fifty times
	DefaultWriteDeadline = 30 * time.Second // three times NATS's own: a process that is stopped for less is not cut off
)

// authTimeout is how long a client may take to say who it is: ten times NATS's own, for a machine on which fifty of them begin at once.
const authTimeout = 20 * time.Second

// EmbedConfig says how to run a NATS server in this process. A zero field means its default.
type EmbedConfig struct {
	Listen   string      // for clients, host:port; default 127.0.0.1:4222, port 0 takes any
	Name     string      // of the server, unique in its cluster; default something random
	Cluster  string      // name of the cluster; servers of different names refuse each other. Default: no cluster
	Routes   []string    // other servers of the cluster, nats://host:port of their ClusterListen
	RouteOn  string      // listen address for routes, host:port; default, with Cluster: 127.0.0.1:6222
	User     string      // with Password, asked of clients and of other servers alike; default: nobody is asked
	Password string      // see User
	TLS      *tls.Config // for clients, and for routes in both directions; nil is none

	MaxPayload int // largest message in bytes; default DefaultMaxPayload
	// MaxPending and WriteDeadline are the slow consumer limits of the server's side: a client for which so many bytes wait, or that
	// takes nothing for so long, is cut off (it may come back) and counted.
	MaxPending    int64
	WriteDeadline time.Duration
	Log           *slog.Logger // NATS's log; default: nobody is told
}

// Embedded is a NATS server in this process.
type Embedded struct {
	srv      *server.Server
	log      *serverLog
	url      string
	routeURL string
}

// startTimeout is for listening on two addresses.
const startTimeout = 5 * time.Second

// Embed starts a NATS server. When it returns, clients can connect; routes to other servers come by and by (Routed). It fails
// with ErrConfig, or with ErrEmbed if an address is taken.
func Embed(cfg EmbedConfig) (*Embedded, error) {
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	log := &serverLog{to: cfg.Log}
	if log.to == nil {
		log.to = slog.New(slog.DiscardHandler)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	srv.SetLoggerV2(log, log.to.Enabled(context.Background(), slog.LevelDebug), false, false)
	srv.Start()
	e := &Embedded{srv: srv, log: log}
	for end := time.Now().Add(startTimeout); !srv.ReadyForConnections(100 * time.Millisecond); {
		fatal, last := log.said()
		if fatal == "" && time.Now().Before(end) {
			continue
		}
		e.Close()
		return nil, fmt.Errorf("%w does not start: %s", ErrEmbed, cmp.Or(fatal, last))
	}
	scheme := "nats://"
	if cfg.TLS != nil {
		scheme = "tls://"
	}
	e.url = scheme + srv.Addr().String()
	if a := srv.ClusterAddr(); a != nil {
		e.routeURL = "nats://" + a.String()
	}
	return e, nil
}

func (cfg *EmbedConfig) options() (*server.Options, error) {
	def(&cfg.Listen, "127.0.0.1:4222")
	def(&cfg.MaxPayload, DefaultMaxPayload)
	def(&cfg.MaxPending, DefaultMaxPending)
	def(&cfg.WriteDeadline, DefaultWriteDeadline)
	if cfg.Cluster == "" && (cfg.RouteOn != "" || len(cfg.Routes) > 0) {
		return nil, fmt.Errorf("%w: routes without a cluster name; give one", ErrConfig)
	}
	if (cfg.User == "") != (cfg.Password == "") {
		return nil, fmt.Errorf("%w: NATS user %q: give both user and password, or neither", ErrConfig, cfg.User)
	}
	if cfg.MaxPayload < 0 || cfg.MaxPayload > 64<<20 || cfg.MaxPending < int64(cfg.MaxPayload) || cfg.WriteDeadline < 0 {
		return nil, fmt.Errorf("%w: max payload %d, max pending %d, write deadline %v; payload is at most 64 MiB, and pending",
			ErrConfig, cfg.MaxPayload, cfg.MaxPending, cfg.WriteDeadline)
	}
	opts := &server.Options{
		ServerName: cfg.Name, Username: cfg.User, Password: cfg.Password,
		MaxPayload: int32(cfg.MaxPayload), MaxPending: cfg.MaxPending, WriteDeadline: cfg.WriteDeadline,
		AuthTimeout:    authTimeout.Seconds(),
		NoSigs:         true, // signals are the program's
		NoSublistCache: true, // it keeps the latest thousand subjects; ours are a million, in no order
	}
	var err error
	if opts.Host, opts.Port, err = hostPort("listen", cfg.Listen); err != nil {
		return nil, err
	}
	if cfg.TLS != nil {
		opts.TLS, opts.TLSConfig, opts.TLSTimeout = true, cfg.TLS, dialTimeout.Seconds()
	}
	if cfg.Cluster != "" {
		return opts, cfg.cluster(opts)
	}
	return opts, nil
}

// cluster sets what concerns routes. Dead ones are found in three to four seconds instead of NATS's minutes.
func (cfg *EmbedConfig) cluster(opts *server.Options) (err error) {
	def(&cfg.RouteOn, "127.0.0.1:6222")
	c := &opts.Cluster
	c.Name, c.Username, c.Password = cfg.Cluster, cfg.User, cfg.Password
	c.PingInterval, c.MaxPingsOut = time.Second, 3
	if c.Host, c.Port, err = hostPort("route listen", cfg.RouteOn); err != nil {
		return err
	}
	if cfg.TLS != nil {
		c.TLSConfig, c.TLSTimeout = cfg.TLS, dialTimeout.Seconds()
	}
	for _, text := range cfg.Routes {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Port() == "" {
			return fmt.Errorf("%w: route %q; give nats://host:port", ErrConfig, text)
		}
		if u.User == nil && cfg.User != "" {
			u.User = url.UserPassword(cfg.User, cfg.Password)
		}
		opts.Routes = append(opts.Routes, u)
	}
	return nil
}

func def[T comparable](v *T, d T) {
	if zero := *new(T); *v == zero {
		*v = d
	}
}

func hostPort(what, addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%w: NATS %s address %q, want host:port", ErrConfig, what, addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// URL is where clients connect, without credentials.
func (e *Embedded) URL() string { return e.url }

// RouteURL is where other servers of the cluster connect, without credentials; empty without a cluster.
func (e *Embedded) RouteURL() string { return e.routeURL }

// Servers is the number of other servers of the cluster that this one has a route to.
func (e *Embedded) Servers() int { return e.srv.NumRemotes() }

// SlowConsumers is how often a client (or another server) was cut off for EmbedConfig's slow consumer limits. What waited for it is lost, and
// NATS does not count it.
func (e *Embedded) SlowConsumers() int64 { return e.srv.NumSlowConsumers() }

// Routed returns nil once there are routes to at least n other servers. When ctx is over first, it returns ErrEmbed with the last complaint of
// NATS, such as that of another cluster's name. Of two servers of one name, the one that was there first knows why.
func (e *Embedded) Routed(ctx context.Context, n int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for e.Servers() < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			_, last := e.log.said()
			return fmt.Errorf("%w: %d of %d routes: %w; NATS says: %s", ErrEmbed, e.Servers(), n, context.Cause(ctx), cmp.Or(last, "nothing"))
		}
	}
	return nil
}

// Close ends the server; it has let go of its addresses when it returns.
func (e *Embedded) Close() {
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
}

// serverLog is NATS's server.Logger on slog. Fatalf is no reason to end the process: Embed returns it.
type serverLog struct {
	to *slog.Logger

	mu    sync.Mutex
	fatal string
	last  string // complaint
}

func (l *serverLog) text(format string, v []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, v...))
}

// Warnf, Errorf, Fatalf, Debugf and Tracef implement server.Logger.
func (l *serverLog) Warnf(format string, v ...any) {
	text := l.text(format, v)
	if strings.Contains(text, "Readloop processing time") { // a busy machine: it is told of each connection, for minutes
		l.to.Debug("nats: " + text)
		return
	}
	l.to.Warn("nats: " + text)
}
func (l *serverLog) Debugf(format string, v ...any) { l.to.Debug("nats: " + l.text(format, v)) }
func (l *serverLog) Tracef(format string, v ...any) {}
func (l *serverLog) Errorf(format string, v ...any) { l.note(&l.last, l.text(format, v)) }
func (l *serverLog) Fatalf(format string, v ...any) { l.note(&l.fatal, l.text(format, v)) }

// Noticef implements server.Logger too. That the other end of a route hung up is a notice only, and why is in its log.
func (l *serverLog) Noticef(format string, v ...any) {
	text := l.text(format, v)
	l.to.Info("nats: " + text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" && strings.Contains(text, "Router connection closed") {
		l.last = text
	}
}

func (l *serverLog) note(where *string, text string) {
	l.to.Error("nats: " + text)
	l.mu.Lock()
	defer l.mu.Unlock()
	*where = text
}

func (l *serverLog) said() (fatal, last string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal, l.last
}

// Subscriptions is the number of subjects with this prefix that clients of this server (not of others) are subscribed to.
// It reads all of the server's subscriptions: seconds for a million.
func (e *Embedded) Subscriptions(prefix string) (n int, err error) {
	all, err := e.srv.Subsz(&server.SubszOptions{Subscriptions: true, Limit: 1 << 22})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrEmbed, err)
	}
	for _, sub := range all.Subs {
		if strings.HasPrefix(sub.Subject, prefix) {
			n++
		}
	}
	return n, nil
}
