package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"cometctl/internal/netloop"
	"cometctl/server"
	"github.com/spf13/cobra"
)

func newServeCmd(s streams) *cobra.Command {
	var (
		cfg     server.Config
		policy  string
		asJSON  bool
		verbose bool
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the comet server and its message router",
		Long: `serve holds a stream for everybody who asks for GET /test/{id} on the comet listener, and sends them the messages that
publishers hand to the admin listener:

  POST /send/{id}            the body is the message
  POST /send                 a stream of id<TAB>message lines, or NDJSON {"id":...,"msg":...}
  GET  /stats /metrics /healthz /readyz /debug/pprof/
  POST /gc                   collect garbage and give memory back to the system

One line on stdout says when it is ready. The first SIGINT or SIGTERM drains: no new connections, pending output leaves,
every stream ends with its last chunk, at most --drain-timeout long. The second quits.

For every flag, 0, or an empty address, means its default. --max-pending should hold several of the largest messages
(--message-max): a reader that is one message behind has that one pending.`,
		Example: `  cometctl serve
  curl -N http://127.0.0.1:8000/test/123         # in another shell: a stream
  cometctl send 123 "Hello World"                # in a third

  cometctl serve --engine goroutine              # a goroutine per connection, for comparison
  cometctl serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			cfg.Log = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
			cfg.SlowPolicy = server.SlowPolicy(policy)
			return serve(cmd.Context(), s, cfg, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8000", "comet listener `address`; port 0 picks one")
	f.StringVar(&cfg.Admin, "admin", "127.0.0.1:8001", "admin listener `address`; port 0 picks one")
	f.StringVar(&cfg.Engine, "engine", netloop.Engines()[0], fmt.Sprintf("connection `engine`: %v", netloop.Engines()))
	f.IntVar(&cfg.Loops, "loops", 0, "event loops; 0 is one per processor")
	f.IntVar(&cfg.MaxConns, "max-conns", 0, "connections at once, more get 503; 0 is what the descriptor limit allows")
	f.IntVar(&cfg.MaxPending, "max-pending", 64<<10, "pending output of one connection, in `bytes`")
	f.StringVar(&policy, "slow-policy", string(server.SlowDrop), "what a subscriber at --max-pending meets: drop the message, or close the connection")
	f.DurationVar(&cfg.HeadTimeout, "head-timeout", server.DefaultHeadTimeout, "how long a request head may take")
	f.IntVar(&cfg.MessageMax, "message-max", 64<<10, "largest message, in `bytes`")
	f.DurationVar(&cfg.DrainTimeout, "drain-timeout", server.DefaultDrainTimeout, "how long the end may take")
	f.BoolVar(&asJSON, "json", false, "make the ready line a JSON object")
	f.BoolVarP(&verbose, "verbose", "v", false, "log why each connection ended")
	return cmd
}

// ready is the line that serve prints once it takes connections. Other programs start serve and read it.
type ready struct {
	Listen string `json:"listen"`
	Admin  string `json:"admin"`
	PID    int    `json:"pid"`
	Engine string `json:"engine"`
	Loops  int    `json:"loops"`
}

// serve runs until ctx is done, and then drains. Ending by a signal is how a server ends: exit code 0.
func serve(ctx context.Context, s streams, cfg server.Config, asJSON bool) error {
	srv, err := server.New(cfg)
	if errors.Is(err, server.ErrConfig) {
		return usageError(err)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; choose another with --listen or --admin, port 0 picks one", err)
	}
	if err != nil {
		return err
	}
	settleMemory()
	r := ready{srv.Comet().String(), srv.Admin().String(), os.Getpid(), srv.Engine(), srv.Loops()}
	if asJSON {
		err = json.NewEncoder(s.out).Encode(r)
	} else {
		_, err = fmt.Fprintf(s.out, "ready: streams at http://%s/test/{id}, admin at http://%s, pid %d, engine %s, %d loops\n",
			r.Listen, r.Admin, r.PID, r.Engine, r.Loops)
	}
	if err != nil {
		srv.Close()
		return fmt.Errorf("ready line: %w", err)
	}
	<-ctx.Done()
	return srv.Drain(context.WithoutCancel(ctx))
}
