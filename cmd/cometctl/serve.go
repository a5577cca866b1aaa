package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"cometctl/internal/broker"
	"cometctl/internal/netloop"
	"cometctl/server"
	"cometctl/server/cluster"
	"cometctl/server/node"
)

func newServeCmd(s streams) *cobra.Command {
	var (
		cfg    server.Config
		among  clusterOptions
		policy string
		many   string
		asJSON bool
		logs   logOptions
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the comet server and its message router",
		Long: `serve holds a stream for everybody who asks for one on the comet listener, and sends them the messages that publishers
hand to the admin listener. On the comet listener, where {id} may be up to 64 ids with commas between them:

  GET  /test/{id}            a stream of chunks, as the article has it; Accept: application/x-ndjson asks for JSON lines
  GET  /events/{id}          server-sent events, as /test/{id} with Accept: text/event-stream
  GET  /ws/{id}              a WebSocket, whose clients may publish with --ws-publish; ?format=json for JSON
  GET  /poll/{id}            a long poll: ?since=N&wait=30s
  GET  /                     a page that shows them

A client that comes back says how far it has read (Last-Event-ID, or since=N) and is told what it missed as far as --history
keeps it, or a gap. On the admin listener:

  POST /send/{id}            the body is the message
  POST /send                 a stream of id<TAB>message lines, or NDJSON {"id":...,"msg":...}
  GET  /who/{id}             the sessions of an id; DELETE ends them
  GET  /stats /metrics /healthz /readyz /clock /debug/pprof/
  POST /gc                   collect garbage and give memory back to the system

One line on stdout says when it is ready. The first SIGINT or SIGTERM drains: no new connections, pending output leaves,
every stream ends with its last chunk, one after the other, at most --drain-timeout long. The second quits.

Several of them are one server where they meet on NATS: each embeds a NATS server (--nats-listen, and --nats-cluster with
--nats-routes for those of other machines) or joins one outside (--nats). A message goes to whoever holds its id, on whatever
node. --router-only is a node without a comet listener, the article's n2. A node that cannot reach NATS says so, its /readyz is
503, and it serves its own sessions meanwhile. Without these flags there is no NATS, and nothing is paid for it.

--workers N serves the connections in N processes that share the port, where the descriptor limit or one process is not enough.
This one keeps the admin listener, embeds NATS (or joins it with them) as the way to them, sums them up in /stats, and starts
again who has died.

--tls-cert and --tls-key make it speak TLS (1.2 and 1.3), on the goroutine engine. SIGHUP reads both files again: new connections get the
new certificate, others go on. One that cannot be used is refused, the old one stays, and the log says why. SIGHUP never ends serve.

Under systemd it says when it is ready, reloads and drains, and feeds the watchdog while every event loop answers. Sockets called comet
and admin that systemd has opened take the place of --listen and --admin; who connects while serve restarts waits in them.

Whoever reaches the admin listener may write to every id. It listens on loopback only, unless --admin-token-file names a file with
the tokens that it asks for then (Authorization: Bearer TOKEN), of all but /healthz, /readyz and /clock; send and msggen have
--token-file. SIGHUP reads that file again, too. Pages of other origins are refused unless --allow-origin names them.

What goes wrong is logged on stderr (--log text or json): ten lines of a kind, then how many more there were each ten seconds.

--history N keeps the last N messages of each id, so that a client that comes back with the number of the last message it has seen
(Last-Event-ID, since=N) is told what it missed. Where that is not known any more it is told so: a gap. Numbers belong to one run of
one process: who comes back after a restart, or to another node or worker, is told a gap and then what is kept there.

Whoever is refused is told when to try again, and counted by cause in /stats and /metrics: --max-conns, --max-handshakes,
--max-conns-per-ip, --max-conns-per-id, --accept-rate. Readers that do not read hold --max-pending each and --max-pending-total
together at most; docs/limits.md has a table of all bounds.

For every flag, 0, or an empty address, means its default. --max-pending should hold several of the largest messages
(--message-max): a reader that is one message behind has that one pending.`,
		Example: `  cometctl serve
  curl -N http://127.0.0.1:8000/test/123         # in another shell: a stream
  cometctl send 123 "Hello World"                # in a third

  cometctl serve --engine goroutine              # a goroutine per connection, for comparison
  cometctl serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --json

  cometctl serve --listen :8443 --tls-cert chain.pem --tls-key key.pem

  # two machines: a router with NATS on n2, a front on n1
  cometctl serve --router-only --nats-listen 10.0.0.2:4222 --admin 127.0.0.1:8001
  cometctl serve --listen 10.0.0.1:8000 --nats nats://10.0.0.2:4222`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, endLog, err := logs.open(s.err)
			if err != nil {
				return usageError(err)
			}
			defer endLog()
			cfg.Log = log
			cfg.SlowPolicy = server.SlowPolicy(policy)
			applyTLS(cmd.Flags(), &cfg)
			if err := inheritSockets(cmd.Flags(), &cfg, many); err != nil {
				return err
			}
			if cfg.NoFront && cmd.Flags().Changed("listen") {
				return usageErrorf("--listen %s with --router-only: that one has no comet listener", cfg.Listen)
			}
			if cfg.NoFront && cfg.History.Messages > 0 {
				return usageErrorf("--history %d with --router-only: that one has no clients to keep it for", cfg.History.Messages)
			}
			processes := 0
			if many != "" {
				if processes, err = parseWorkers(many, cfg.MaxConns); err != nil {
					return usageError(err)
				}
				if cfg.NoFront {
					return usageErrorf("--workers %s with --router-only: workers hold connections, and that one has none", many)
				}
				if !among.asked() {
					among.listen = "127.0.0.1:0" // the way from here to the workers
				}
			}
			whole := node.Config{Server: cfg}
			if err := among.apply(&whole); err != nil {
				return usageError(err)
			}
			if processes > 0 {
				if err := inWorkers(cmd.Context(), s, &whole, processes, among.nats, logs); err != nil {
					return err
				}
			}
			return serve(cmd.Context(), s, whole, processes, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8000", "comet listener `address`; port 0 picks one")
	f.StringVar(&cfg.Admin, "admin", "127.0.0.1:8001", "admin listener `address`; port 0 picks one")
	f.StringVar(&cfg.Engine, "engine", netloop.Engines()[0], fmt.Sprintf("connection `engine`: %v", netloop.Engines()))
	f.IntVar(&cfg.Loops, "loops", 0, "event loops; 0 is one per processor, with --workers one each")
	f.IntVar(&cfg.MaxConns, "max-conns", 0, "connections at once, of all --workers together; more get 503; 0 is what the descriptor limit allows")
	bytesVar(f, &cfg.MaxPending, "max-pending", 64<<10, "pending output of one connection, in `bytes`")
	f.StringVar(&policy, "slow-policy", string(server.SlowDrop), "what a subscriber at --max-pending meets: drop the message, or close the connection")
	f.DurationVar(&cfg.HeadTimeout, "head-timeout", server.DefaultHeadTimeout, "how long a request head may take")
	addDialectFlags(f, &cfg)
	bytesVar(f, &cfg.MessageMax, "message-max", 64<<10, "largest message, in `bytes`")
	f.DurationVar(&cfg.DrainTimeout, "drain-timeout", server.DefaultDrainTimeout, "how long the end may take")
	f.BoolVar(&cfg.NoFront, "router-only", false, "no comet listener: a router and the admin listener")
	f.StringVar(&many, "workers", "", "serve connections in so many processes (Linux): a `number`, or auto for one per processor, and more where --max-conns needs them")
	addTLSFlags(f, &cfg)
	addAdminFlags(f, &cfg)
	addHistoryFlags(f, &cfg)
	addWSFlags(f, &cfg)
	addLimitFlags(f, &cfg)
	among.add(f)
	f.BoolVar(&asJSON, "json", false, "make the ready line a JSON object")
	logs.add(f)
	return cmd
}

// ready is the line that serve prints once it takes connections. Other programs start serve and read it.
type ready struct {
	Listen string `json:"listen,omitempty"` // not with --router-only
	TLS    bool   `json:"tls,omitempty"`    // it is spoken there
	Admin  string `json:"admin"`
	PID    int    `json:"pid"`
	Engine string `json:"engine"`
	Loops  int    `json:"loops"`
	Node   string `json:"node,omitempty"`   // of a cluster
	NATS   string `json:"nats,omitempty"`   // URL of the embedded NATS server
	Routes string `json:"routes,omitempty"` // and where other servers of its cluster connect
	// Workers is the number of processes that hold the connections, if it is not this one.
	Workers int `json:"workers,omitempty"`
}

// String is the line for people.
func (r ready) String() string {
	var b strings.Builder
	b.WriteString("ready: ")
	if r.Listen != "" {
		scheme := "http"
		if r.TLS {
			scheme = "https"
		}
		fmt.Fprintf(&b, "streams at %s://%s/test/{id}, ", scheme, r.Listen)
	}
	fmt.Fprintf(&b, "admin at http://%s, pid %d", r.Admin, r.PID)
	if r.Listen != "" {
		fmt.Fprintf(&b, ", engine %s, %d loops", r.Engine, r.Loops)
	}
	if r.Workers > 0 {
		fmt.Fprintf(&b, " in each of %d workers", r.Workers)
	}
	if r.Node != "" {
		fmt.Fprintf(&b, ", node %s", r.Node)
	}
	if r.NATS != "" {
		fmt.Fprintf(&b, ", NATS at %s", r.NATS)
	}
	if r.Routes != "" {
		fmt.Fprintf(&b, ", its routes at %s", r.Routes)
	}
	return b.String()
}

func readiness(srv *node.Node, cfg *node.Config, processes int) ready {
	r := ready{Admin: srv.Admin().String(), PID: os.Getpid(), Engine: srv.Engine(), Loops: srv.Loops(), Node: srv.Name(), Workers: processes}
	if processes > 0 {
		r.Loops = max(1, cfg.Server.Loops)
	}
	if srv.Comet().IsValid() {
		r.Listen, r.TLS = srv.Comet().String(), cfg.Server.TLSCert != ""
	}
	r.NATS, r.Routes = srv.NATS()
	return r
}

// natsGC is the garbage collector's percentage beside an embedded NATS server, which keeps 0.6 KB for each id: an eighth more than that for
// garbage, and with a million ids a collection each ten seconds or so under 20,000 messages/s.
const natsGC = 12

// serve runs until ctx is done, and then drains. Ending by a signal is how a server ends: exit code 0.
func serve(ctx context.Context, s streams, cfg node.Config, processes int, asJSON bool) error {
	if cfg.Embed != nil {
		collectEarly(natsGC)
	}
	m, err := findManager(cfg.Server.Log)
	if err != nil {
		return err
	}
	hangups := s.hangups.take()
	srv, err := node.New(cfg)
	dropSockets(&cfg.Server)
	if err != nil {
		return serveError(err)
	}
	settleMemory()
	r := readiness(srv, &cfg, processes)
	if asJSON {
		err = json.NewEncoder(s.out).Encode(r)
	} else {
		_, err = fmt.Fprintln(s.out, r)
	}
	if err != nil {
		srv.Close()
		return fmt.Errorf("ready line: %w", err)
	}
	status := strings.TrimPrefix(r.String(), "ready: ")
	m.said(m.Ready(status))
	watching, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	go m.watch(watching, srv)
	for {
		select {
		case <-hangups:
			m.reload(srv, status)
		case <-ctx.Done():
			return m.drain(context.WithoutCancel(ctx), srv)
		}
	}
}

// serveError says what to do about what kept a server from starting.
func serveError(err error) error {
	switch {
	case errors.Is(err, server.ErrConfig), errors.Is(err, node.ErrConfig), errors.Is(err, broker.ErrConfig), errors.Is(err, cluster.ErrConfig):
		return usageError(err)
	case errors.Is(err, broker.ErrEmbed):
		return fmt.Errorf("%w; choose another address with --nats-listen or --nats-cluster-listen, port 0 picks one", err)
	case errors.Is(err, broker.ErrCredentials):
		return fmt.Errorf("%w; see --nats-user, --nats-password-file and --nats-creds", err)
	case errors.Is(err, cluster.ErrName):
		return fmt.Errorf("%w (--node)", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; choose another with --listen or --admin, port 0 picks one", err)
	}
	return err
}
