package node

import (
	"context"
	"sync"

	"cometctl/server"
	"cometctl/server/cluster"
)

// front is the processes that hold the connections.
type front struct {
	server.Family
	router *cluster.Router
}

func (n *Node) front(cfg *Config) (server.Family, error) {
	f, err := cfg.Front(cfg.NATS.URLs, n.router.Name())
	if err != nil {
		return nil, err
	}
	return front{f, n.router}, nil
}

// Drain lets every worker handle what this node has sent before it is told to end: its answer to a ping comes behind that. Those who do not
// answer are not waited for.
func (f front) Drain(ctx context.Context) error {
	var st server.Stats
	f.Report(&st)
	var pings sync.WaitGroup
	for _, w := range st.Workers {
		pings.Go(func() { _ = f.router.Ping(ctx, WorkerName(f.router.Name(), w.Index)) })
	}
	pings.Wait()
	return f.Family.Drain(ctx)
}
