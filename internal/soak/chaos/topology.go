package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// kind is what a node is.
type kind string

const (
	natsKind   kind = "nats"   // a NATS server with a router and no front
	frontKind  kind = "front"  // one process
	parentKind kind = "parent" // several, that share a port
)

// workers is how many processes a parent has, and the flood.
const workers = 2

// node is one of the processes with an admin listener. All its addresses are known before it is started, so that it can be started again
// on them.
type node struct {
	name   string
	kind   kind
	site   int    // from 1
	admin  string // host:port, all of them
	listen string // of connections; not of NATS servers
	client string // of NATS's clients; of NATS servers only
	route  string // of NATS's routes; the same
	from   int    // the ids of its connections
	to     int
}

// topology is all nodes, the NATS servers first.
type topology struct {
	nodes []node
	sites int
	token string // file with the token of all admin listeners; empty: they ask for none
}

// newTopology lays out the sites: in each a NATS server, a front and a parent. The ids are spread over fronts and parents evenly.
func newTopology(sites, conns int, p place) (topology, error) {
	t := topology{sites: sites}
	for site := range sites {
		n, err := p.node(natsKind, site+1)
		if err != nil {
			return topology{}, err
		}
		t.nodes = append(t.nodes, n)
	}
	holders := 2 * sites
	for i := range holders {
		n, err := p.node([]kind{frontKind, parentKind}[i%2], i/2+1)
		if err != nil {
			return topology{}, err
		}
		n.from, n.to = 1+i*conns/holders, (i+1)*conns/holders
		t.nodes = append(t.nodes, n)
	}
	return t, nil
}

// node returns the node of a name.
func (t topology) node(name string) node {
	for _, n := range t.nodes {
		if n.name == name {
			return n
		}
	}
	return node{}
}

// nameOf is the name of the node of that kind at a site. Sites beyond the last begin again at the first.
func (t topology) nameOf(k kind, site int) string { return nodeName(k, (site-1)%t.sites+1) }

func nodeName(k kind, site int) string { return fmt.Sprintf("%s-%d", k, site) }

// The command lines of the pieces, without the program's name.

// serve is how a node is started, the first time and again. A server names all others as routes: those that are not there yet will come by
// themselves.
func (t topology) serve(n node) []string {
	args := []string{"serve", "--json", "--node", n.name, "--admin", n.admin}
	if t.token != "" {
		args = append(args, "--admin-token-file", t.token)
	}
	if n.kind == natsKind {
		var others []string
		for _, o := range t.nodes {
			if o.kind == natsKind && o.site != n.site {
				others = append(others, o.url(true))
			}
		}
		return append(args, "--router-only", "--nats-listen", n.client, "--nats-cluster", "chaos", "--nats-cluster-listen", n.route,
			"--nats-routes", strings.Join(others, ","))
	}
	args = append(args, "--listen", n.listen, "--nats", t.natsURLs(n.site))
	if n.kind == parentKind {
		args = append(args, "--workers", strconv.Itoa(workers))
	}
	return args
}

// url is the URL of a NATS server: for its clients, or for its routes.
func (n node) url(route bool) string {
	if route {
		return "nats://" + n.route
	}
	return "nats://" + n.client
}

// urls are what the flood opens.
func (t topology) urls() (out []string) {
	for _, n := range t.nodes {
		if n.listen != "" && n.to >= n.from {
			out = append(out, fmt.Sprintf("http://%s/test/{%d..%d}", n.listen, n.from, n.to))
		}
	}
	return out
}

func floodArgs(far bool, own int, urls []string) []string {
	args := []string{"flood", "--json", "--stats-every", reportEvery.String(), "--reconnect", redialAfter.String(), "--by-due", step.String()}
	if own > 1 {
		args = append(args, "--workers", strconv.Itoa(own))
	}
	return append(remote(args, far), urls...)
}

// msggenArgs is a generator that goes on until it is interrupted. Its workers are spread over what to names: a server that is cut off still has
// one that publishes to it.
func msggenArgs(cfg Config, far bool, to string, rate float64, own int) []string {
	return remote([]string{"msggen", "--json", "--stats-every", reportEvery.String(), "--by-due", step.String(), "--to", to,
		"--rate", strconv.FormatFloat(rate, 'f', 9, 64), "--ids", strconv.Itoa(cfg.Conns),
		"--workers", strconv.Itoa(own)}, far)
}

// remote says that the addresses are not those of this machine, which they seem not to be in a network of our own.
func remote(args []string, far bool) []string {
	if far {
		args = append(args, "--allow-remote")
	}
	return args
}

// natsURLs are all NATS servers, that of the site first: who is given several tries them in this order.
func (t topology) natsURLs(site int) string {
	var out []string
	for i := range t.sites {
		out = append(out, t.node(t.nameOf(natsKind, site+i)).url(false))
	}
	return strings.Join(out, ",")
}

const (
	step        = 100 * time.Millisecond // of due times
	reportEvery = 200 * time.Millisecond // between two progress lines
	redialAfter = 200 * time.Millisecond // for a connection that ended
)
