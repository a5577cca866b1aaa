package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"

	"cometctl/internal/broker"
	"cometctl/internal/netloop"
	"cometctl/internal/rlimit"
	"cometctl/server"
	"cometctl/server/node"
	"cometctl/server/workers"
)

// serveWorker is the command that is one worker of serve --workers.
const serveWorker = "serve-worker"

// workerGC is the garbage collector's percentage in a worker. Its heap is small and grows with each connection: what is garbage is to be
// found soon, because everything counts as often as there are workers.
const workerGC = 10

// workerJob is what serve tells a worker.
type workerJob struct {
	Name string // of the node
	Log  logOptions

	URLs           []string // of NATS servers
	User, Password string
	Creds          string
	CA, Cert, Key  string // files
	Ours           bool   // the NATS server is embedded in our parent

	Processors int           // that it runs on at once
	Server     server.Config // but for what a process can only have itself
}

// parseWorkers reads --workers. conns is --max-conns, which may ask for more processes than there are processors.
func parseWorkers(text string, conns int) (int, error) {
	if runtime.GOOS != "linux" {
		return 0, fmt.Errorf("--workers %s: only Linux lets several processes share a port so that none is full while another has room; run one process here", text)
	}
	files, err := rlimit.Raise()
	if err != nil {
		return 0, err
	}
	each := int(min(max(files.Hard, rlimit.Reserve+1)-rlimit.Reserve, 1<<27))
	if text == "auto" {
		return min(max(runtime.NumCPU(), (conns+each-1)/each), netloop.MaxGroup), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > netloop.MaxGroup {
		return 0, fmt.Errorf("--workers %q: give auto, or 1 to %d", text, netloop.MaxGroup)
	}
	if conns > 0 && conns < n {
		return 0, fmt.Errorf("--max-conns %d with --workers %d: that is less than one for each", conns, n)
	}
	if conns > n*each {
		return 0, fmt.Errorf("--max-conns %d with --workers %d: a process may hold %d connections here; give --workers %d, or raise the limit (ulimit -Hn)",
			conns, n, each, (conns+each-1)/each)
	}
	return n, nil
}

// share is part i of n of all connections; 0 stays 0, which is as many as the limit allows.
func share(all, n, i int) int {
	if i < all%n {
		return all/n + 1
	}
	return all / n
}

// inWorkers makes the node's front one of n processes.
func inWorkers(ctx context.Context, s streams, cfg *node.Config, n int, nats natsOptions, logs logOptions) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("serve: --workers: which program this is: %w", err)
	}
	of := cfg.Server
	job := workerJob{Log: logs, Creds: nats.creds, CA: nats.ca, Cert: nats.cert, Key: nats.key, User: cfg.NATS.User, Password: cfg.NATS.Password,
		Server: of}
	job.Server.Loops = max(1, of.Loops)
	job.Server.AdminTokenFile = "" // the parent's
	if job.Server.History, err = shareHistory(of.History, n); err != nil {
		return usageError(err)
	}
	if err := checkShares(of, n); err != nil {
		return usageError(err)
	}
	job.Processors = max(job.Server.Loops, runtime.NumCPU()/n)
	if cfg.Embed != nil {
		job.Ours, job.User, job.Password = true, cfg.Embed.User, cfg.Embed.Password
	}
	cfg.Server.MaxConns = 0 // it has none
	cfg.Front = func(urls []string, name string) (server.Family, error) {
		f, err := workers.Start(ctx, workers.Config{N: n, Listen: of.Listen, Command: []string{program, serveWorker}, Drain: of.DrainTimeout,
			Stderr: s.err, Log: of.Log, Job: func(i int) any {
				j := job
				j.URLs, j.Name, j.Server = urls, node.WorkerName(name, i), shareLimits(j.Server, n, i)
				return j
			}})
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	return nil
}

func newServeWorkerCmd(s streams) *cobra.Command {
	return &cobra.Command{
		Use:     serveWorker,
		Short:   "Be one worker of serve --workers, which starts it",
		Example: "  cometctl serve --workers 4",
		Hidden:  true,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.hangups.take() // who signals all processes of this name does not mean an end; the parent passes it on
			collectEarly(workerGC)
			endLog := func() {}
			defer func() { endLog() }()
			err := workers.Serve(cmd.Context(), func(a workers.Assignment) (w workers.Worker, err error) {
				w, endLog, err = startWorker(s, a)
				return w, err
			})
			if errors.Is(err, workers.ErrNoParent) {
				return usageError(err)
			}
			return err
		},
	}
}

// startWorker makes a server of a parent's orders. endLog is not nil, whatever happens.
func startWorker(s streams, a workers.Assignment) (_ workers.Worker, endLog func(), err error) {
	var j workerJob
	if err := json.Unmarshal(a.Config, &j); err != nil {
		return nil, func() {}, fmt.Errorf("the parent's orders: %w", err)
	}
	log, endLog, err := j.Log.open(s.err)
	if err != nil {
		return nil, func() {}, err
	}
	runOn(j.Processors)
	nats, err := natsOptions{user: j.User, password: j.Password, creds: j.Creds, ca: j.CA, cert: j.Cert, key: j.Key}.connect(j.URLs)
	if err != nil {
		return nil, endLog, err
	}
	nats.Name = "cometctl " + serveWorker
	if j.Ours {
		nats.Patience = broker.LocalPatience
	}
	cfg := j.Server
	cfg.NoAdmin, cfg.Inherit, cfg.Page = true, a.Listener, a.Page
	cfg.Log = log.With("worker", a.Index)
	w, err := node.New(node.Config{Name: j.Name, NATS: nats, Ours: j.Ours && nats.TLS != nil, Server: cfg})
	if err != nil {
		return nil, endLog, err
	}
	settleMemory()
	return w, endLog, nil
}
