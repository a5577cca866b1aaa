// Package node makes a server a node of a cluster: it puts together the comet server (package server), the router over many
// processes (server/cluster) and NATS, inside this process or outside (internal/broker). Without any of NATS it is the server alone,
// and nothing is started or paid for.
//
// The order is the point. To begin: the NATS server inside, the connection, the router, and only then the listeners. To end: the
// listeners, the streams, the router (which flushes what it has published), and the NATS server last. A NATS that cannot be reached
// keeps nobody from starting: the node serves its own sessions, says so in its log, and is ready (/readyz) once it has joined.
//
// A Node owns all of these. Its methods may be called from any goroutine.
package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/server"
	"cometctl/server/cluster"
)

// Config says what to start. A zero field means its default.
type Config struct {
	Server server.Config // Join is the node's own; Required holds for both
	Name   string        // of the node; default cluster's
	Embed  *broker.EmbedConfig
	NATS   broker.ConnectConfig // to join; with Embed and no URLs, the embedded server
	// Ours says that NATS is the embedded server of another process with our configuration: it is trusted by its own certificate, which is ours.
	Ours bool
	// Front, if not nil, starts the processes that hold the connections instead of this one (package server/workers). They are nodes, too: join
	// on the servers of urls, worker i by the name of WorkerName(name, i).
	Front func(urls []string, name string) (server.Family, error)
}

// WorkerName is the name of a node's worker i.
func WorkerName(node string, i int) string { return fmt.Sprintf("%s-w%d", node, i) }

// Errors of New beside those of the packages it calls; compare with errors.Is.
var (
	// ErrConfig is what an error is for a Config that cannot work.
	ErrConfig = errors.New("node: bad configuration")
)

// Node is a running server and its part in a cluster. Make it with New.
type Node struct {
	*server.Server
	embedded *broker.Embedded // nil: NATS is outside, or there is none
	router   *cluster.Router  // nil: alone
	watching context.CancelFunc
	done     sync.WaitGroup
}

// New starts what cfg says. Where it fails, nothing is left running.
func New(cfg Config) (*Node, error) {
	n := &Node{watching: func() {}}
	if cfg.Server.Log == nil {
		cfg.Server.Log = slog.New(slog.DiscardHandler)
	}
	log := cfg.Server.Log
	if cfg.Embed != nil {
		if err := n.embed(&cfg); err != nil {
			return nil, err
		}
	}
	if cfg.Ours {
		var err error
		if cfg.NATS.TLS, err = towards(cfg.NATS.TLS); err != nil {
			return nil, err
		}
	}
	if len(cfg.NATS.URLs) > 0 {
		cfg.NATS.Log = log
		if cfg.Front != nil {
			cfg.Server.Family = func() (server.Family, error) { return n.front(&cfg) }
		}
		nc, err := broker.Connect(cfg.NATS)
		if err != nil {
			n.shut()
			return nil, err
		}
		cfg.Server.Join = func(h server.Hooks) (server.Cluster, error) { return n.join(nc, &cfg, h) }
		if n.Server, err = server.New(cfg.Server); err != nil {
			nc.Close()
			n.shut()
			return nil, err
		}
		return n, nil
	}
	if cfg.Front != nil {
		n.shut()
		return nil, fmt.Errorf("%w: a front in other processes, and no NATS to reach them by", ErrConfig)
	}
	if cfg.Server.Required {
		n.shut()
		return nil, fmt.Errorf("%w: NATS is required and none is named", ErrConfig)
	}
	var err error
	n.Server, err = server.New(cfg.Server)
	return n, err
}

// routePatience is how long other servers of the cluster may take before their absence is worth a line in the log.
const routePatience = 5 * time.Second

// embed starts the NATS server of this process, and makes it the one to join.
func (n *Node) embed(cfg *Config) (err error) {
	e := *cfg.Embed
	e.Log = natsLog(cfg.Server.Log)
	if e.MaxPayload == 0 {
		e.MaxPayload = max(broker.DefaultMaxPayload, cfg.Server.MessageMax)
	}
	if n.embedded, err = broker.Embed(e); err != nil {
		return err
	}
	if open(&e) {
		cfg.Server.Log.Warn("NATS takes clients from other machines and asks nobody who they are: whoever reaches it may write to every id; "+
			"give a user (--nats-user) or certificates (--nats-ca)", "address", n.embedded.URL())
	}
	if len(cfg.NATS.URLs) == 0 {
		cfg.NATS.URLs = []string{n.embedded.URL()}
		cfg.NATS.Patience = broker.LocalPatience
		cfg.NATS.User, cfg.NATS.Password = e.User, e.Password
		if cfg.NATS.TLS, err = towards(e.TLS); err != nil {
			n.shut()
			return err
		}
	}
	if len(e.Routes) > 0 {
		var ctx context.Context
		ctx, n.watching = context.WithCancel(context.Background())
		n.done.Go(func() { n.missRoutes(ctx, len(e.Routes), cfg.Server.Log) })
	}
	return nil
}

// open tells whether everybody may use the server, from other machines too.
func open(e *broker.EmbedConfig) bool {
	if e.User != "" || e.TLS != nil && e.TLS.ClientAuth == tls.RequireAndVerifyClientCert {
		return false
	}
	host, _, err := net.SplitHostPort(e.Listen)
	return err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback()
}

// missRoutes says once why there is no route to the servers that were named.
func (n *Node) missRoutes(ctx context.Context, want int, log *slog.Logger) {
	patience, cancel := context.WithTimeout(ctx, routePatience)
	defer cancel()
	if err := n.embedded.Routed(patience, want); err != nil && ctx.Err() == nil {
		log.Warn("this NATS server is not connected to all servers of its cluster that were named; it goes on trying", "error", err)
	}
}

// natsLog lets through what a NATS server has to complain of. It has much to tell besides.
func natsLog(log *slog.Logger) *slog.Logger {
	return slog.New(atLeast{log.Handler(), slog.LevelWarn})
}

type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled implements slog.Handler.
func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

// towards is how to connect to a server with this configuration: by its own certificate's name, trusting it.
func towards(own *tls.Config) (*tls.Config, error) {
	if own == nil {
		return nil, nil
	}
	leaf, err := x509.ParseCertificate(own.Certificates[0].Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("%w: NATS certificate: %w", ErrConfig, err)
	}
	to := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: own.Certificates, RootCAs: x509.NewCertPool()}
	to.RootCAs.AddCert(leaf)
	switch {
	case len(leaf.DNSNames) > 0:
		to.ServerName = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		to.ServerName = leaf.IPAddresses[0].String()
	}
	return to, nil
}

// join makes the router.
func (n *Node) join(nc *nats.Conn, cfg *Config, h server.Hooks) (server.Cluster, error) {
	var err error
	n.router, err = cluster.New(nc, cluster.Config{Name: cfg.Name, Required: cfg.Server.Required, Log: cfg.Server.Log,
		Offline: h.Offline, Arrived: h.Arrived, Unheld: h.Unheld, Idle: h.Idle, Account: h.Account, Asked: h.Asked, Stage: h.Stage, Keeper: h.Keeper, Sessions: h.Sessions}, h.Deliver)
	if err != nil {
		return nil, err
	}
	return member{n.router, n.embedded}, nil
}

// member is the router as the server wants it.
type member struct {
	*cluster.Router
	embedded *broker.Embedded
}

// Status implements server.Cluster.
func (m member) Status() server.ClusterStats {
	st := m.Stats()
	s := server.ClusterStats{Node: m.Name(), Connected: st.Connected, Subscribed: st.Subscribed, Waiting: st.Waiting,
		Published: st.Published, Received: st.Received, Unheld: st.Unheld, Overrun: st.Dropped, Reports: st.Reports, Echoes: st.Echoes,
		Outages: st.Outages, Last: server.Outage(st.Last)}
	if m.embedded != nil {
		s.SlowConsumers, s.Servers = m.embedded.SlowConsumers(), m.embedded.Servers()
	}
	return s
}

// Name is the node's name; empty for a server that is alone.
func (n *Node) Name() string {
	if n.router == nil {
		return ""
	}
	return n.router.Name()
}

// NATS is where clients reach the embedded NATS server, and Routes where other servers of its cluster do; empty without one.
func (n *Node) NATS() (clients, routes string) {
	if n.embedded == nil {
		return "", ""
	}
	return n.embedded.URL(), n.embedded.RouteURL()
}

// Drain is server.Server's, and then ends the embedded NATS server.
func (n *Node) Drain(ctx context.Context) error {
	defer n.shut()
	return n.Server.Drain(ctx)
}

// Close ends everything at once.
func (n *Node) Close() error {
	defer n.shut()
	return n.Server.Close()
}

// shut ends what is not the server's.
func (n *Node) shut() {
	n.watching()
	n.done.Wait()
	if n.embedded != nil {
		n.embedded.Close()
	}
}
