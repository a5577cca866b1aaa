package soak

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Topology is a server of many nodes: NATS servers, each within a node that has no
// front (nats-1, nats-2, ...), and fronts (front-1-1, front-1-2, front-2-1, ...) that
// join theirs, and another one while theirs is gone. The zero Topology is none: one
// process, without NATS.
type Topology struct {
	Servers int // NATS servers
	Fronts  int // of each of them
}

// maxNodes is how many processes a topology may have. It guards against a slip.
const maxNodes = 200

// ParseTopology reads "3x2": three servers with two fronts each.
func ParseTopology(text string) (Topology, error) {
	servers, fronts, _ := strings.Cut(text, "x")
	s, err := strconv.Atoi(servers)
	f, err2 := strconv.Atoi(fronts)
	if err != nil || err2 != nil || s < 1 || f < 1 || s > maxNodes || f > maxNodes || (Topology{s, f}).nodes() > maxNodes {
		return Topology{}, fmt.Errorf("%q is no topology: give the number of NATS servers and that of the fronts of each, such as 3x2, of at most %d processes in all",
			text, maxNodes)
	}
	return Topology{s, f}, nil
}

// String is what ParseTopology reads; nothing for the zero Topology.
func (t Topology) String() string {
	if t == (Topology{}) {
		return ""
	}
	return fmt.Sprintf("%dx%d", t.Servers, t.Fronts)
}

// nodes is how many processes it has.
func (t Topology) nodes() int { return t.Servers * (1 + t.Fronts) }

// cluster is the name under which a topology's NATS servers know each other.
const cluster = "soak"

// anyPort is where everything listens; the ready line says which port it is.
const anyPort = "127.0.0.1:0"

// ready is what serve says once it is ready.
type ready struct {
	Listen  string `json:"listen"` // comet listener; empty without a front
	Admin   string `json:"admin"`
	PID     int    `json:"pid"`
	NATS    string `json:"nats"`   // where clients reach its NATS server
	Routes  string `json:"routes"` // where other NATS servers reach it
	Workers int    `json:"workers"`
}

func natsName(server int) string         { return fmt.Sprintf("nats-%d", server+1) }
func frontName(server, front int) string { return fmt.Sprintf("front-%d-%d", server+1, front+1) }

// natsArgs is the command line of a node with a NATS server and without a front.
// routes are those of the servers that started before it: of each pair one knows the
// other, and goes on trying to reach it.
func natsArgs(cfg Config, name string, routes []string) []string {
	args := []string{serve, "--router-only", "--node", name, "--json", "--admin", anyPort,
		"--nats-listen", anyPort, "--nats-cluster", cluster, "--nats-cluster-listen", anyPort}
	if len(routes) > 0 {
		args = append(args, "--nats-routes", strings.Join(routes, ","))
	}
	return append(args, tokenArgs("--admin-token-file", cfg)...)
}

// frontArgs is the command line of a front. servers are the client URLs of all NATS
// servers, its own the one with that index.
func frontArgs(cfg Config, name string, servers []string, own int) []string {
	others := slices.Delete(slices.Clone(servers), own, own+1)
	args := []string{serve, "--node", name, "--json", "--listen", anyPort, "--admin", anyPort,
		"--nats", strings.Join(append([]string{servers[own]}, others...), ",")}
	if cfg.Engine != "" {
		args = append(args, "--engine", cfg.Engine)
	}
	return append(args, tokenArgs("--admin-token-file", cfg)...)
}

// up starts the server, if it is one that must be, and returns the processes whose memory is its own.
func (c *conductor) up(ctx context.Context) ([]int, error) {
	if c.cfg.Foreign != nil {
		return c.upForeign(ctx)
	}
	if err := c.upNodes(ctx); err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range c.nodes {
		pids = append(pids, cmp.Or(p.ready.PID, p.pid()))
	}
	return pids, nil
}

// upNodes starts our own server: one process, or a topology's nodes in an order in which each
// finds those that it must know.
func (c *conductor) upNodes(ctx context.Context) error {
	t := c.cfg.Topology
	if t == (Topology{}) {
		_, err := c.node(ctx, serve, serveArgs(c.cfg))
		return err
	}
	var routes []string
	for i := range t.Servers {
		p, err := c.node(ctx, natsName(i), natsArgs(c.cfg, natsName(i), routes))
		if err != nil {
			return err
		}
		routes, c.servers = append(routes, p.ready.Routes), append(c.servers, p.ready.NATS)
	}
	for i := range t.Servers * t.Fronts {
		name := frontName(i/t.Fronts, i%t.Fronts)
		if _, err := c.startNode(name, frontArgs(c.cfg, name, c.servers, i/t.Fronts)); err != nil {
			return err
		}
	}
	for _, p := range c.nodes {
		if err := c.awaitReady(ctx, p); err != nil {
			return err
		}
	}
	return c.inquire(ctx, readyLimit, c.routed)
}

// node starts a node and waits until it is ready.
func (c *conductor) node(ctx context.Context, name string, args []string) (*piece, error) {
	p, err := c.startNode(name, args)
	if err != nil {
		return nil, err
	}
	return p, c.awaitReady(ctx, p)
}

// startNode starts a node.
func (c *conductor) startNode(name string, args []string) (*piece, error) {
	p, err := c.start(name, args)
	if p != nil {
		c.nodes = append(c.nodes, p)
	}
	return p, err
}

// awaitReady waits until a node has said that it is ready.
func (c *conductor) awaitReady(ctx context.Context, p *piece) error {
	limit := readyLimit + time.Duration(c.cfg.Workers)*workerReady
	if err := c.await(ctx, limit, func() bool { return p.ready.Admin != "" }); err != nil {
		return err
	}
	p.record.Listen, p.record.Admin, p.record.NATS = p.ready.Listen, p.ready.Admin, p.ready.NATS
	return nil
}

// listening returns the comet listeners of all nodes that have one, in their order.
func (c *conductor) listening() []string {
	var fronts []string
	for _, p := range c.nodes {
		if p.ready.Listen != "" {
			fronts = append(fronts, p.ready.Listen)
		}
	}
	return fronts
}

// routed reports whether every NATS server of the topology has a route to every other.
func (c *conductor) routed() bool {
	for _, p := range c.nodes[:c.cfg.Topology.Servers] {
		if k := p.stats.Cluster; k == nil || k.Servers < c.cfg.Topology.Servers-1 {
			return false
		}
	}
	return true
}
