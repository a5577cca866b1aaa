package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cometctl/report"
)

// stats is what is read of a node's /stats.
type stats struct {
	PID   int `json:"pid"`
	Conns struct {
		Open int64 `json:"open"`
	} `json:"conns"`
	Router struct {
		Sessions int64 `json:"sessions"`
		IDs      int64 `json:"ids"`
	} `json:"router"`
	Ledger  report.Ledger `json:"ledger"`
	Cluster *member       `json:"cluster"`
	Workers []worker      `json:"workers"`
}

// member is what a node says of its place among the others.
type member struct {
	Connected  bool   `json:"connected"`
	Subscribed int64  `json:"subscribed"`
	Waiting    int64  `json:"waiting"`
	Servers    int    `json:"servers"` // routes of its own NATS server
	Outages    uint64 `json:"outages"`
	Last       *struct {
		From  time.Time `json:"from"`
		To    time.Time `json:"to"`
		Cause string    `json:"cause"`
	} `json:"last"`
}

// worker is a row of a parent's /stats.
type worker struct {
	Index    int    `json:"index"`
	PID      int    `json:"pid"`
	State    string `json:"state"`
	Restarts int    `json:"restarts"`
}

const running = "running" // worker.State

// view is what was last seen of a node.
type view struct {
	stats
	ready    bool      // /readyz said so
	answered time.Time // when the last answer was asked for
	asked    time.Time // when it was asked last
	mute     bool      // it did not answer then within patience
	down     bool      // nobody was there
}

// clients is what the floods say together.
type clients struct {
	open, closed, messages, duplicated int64
	ended                              int // workers that died
	at                                 time.Time
}

// world is everything that is seen in one moment.
type world struct {
	nodes   map[string]view
	clients clients
}

// patience is how long a node may owe an answer.
const patience = time.Second

// sign returns the first sign, in now, that the system knows of what happened to target since before; nothing while there is none. That the
// target itself does not answer is none, unless it stays mute for so long that others would call it dead.
func sign(before, now world, nodes []node, target string) string {
	for _, n := range nodes {
		was, is := before.nodes[n.name], now.nodes[n.name]
		if is.PID != was.PID || was.Cluster == nil || is.Cluster == nil {
			continue // another process
		}
		switch {
		case is.Cluster.Outages > was.Cluster.Outages, was.Cluster.Connected && !is.Cluster.Connected:
			return n.name + " lost its NATS server"
		case is.Cluster.Servers < was.Cluster.Servers:
			return n.name + " lost a route"
		}
		for _, w := range is.Workers {
			i := slices.IndexFunc(was.Workers, func(o worker) bool { return o.Index == w.Index })
			if i >= 0 && (w.State != running && was.Workers[i].State == running || w.Restarts > was.Workers[i].Restarts) {
				return fmt.Sprintf("%s says worker %d is %s", n.name, w.Index, w.State)
			}
		}
	}
	switch {
	case now.clients.ended > before.clients.ended:
		return "flood says a worker died"
	case now.clients.closed > before.clients.closed:
		return fmt.Sprintf("flood: %d connections ended", now.clients.closed-before.clients.closed)
	case now.nodes[target].mute:
		return fmt.Sprintf("%s owes an answer for %s", target, patience)
	}
	return ""
}

// unwhole tells why w is not whole: all connections open, every node ready and with its subscriptions, and every session where its
// connection is, all of it seen after since. It returns nothing if w is. conns is how many connections there are to be.
func unwhole(w world, t topology, conns int64, since time.Time) string {
	var sessions, ids int64
	for _, n := range t.nodes {
		v := w.nodes[n.name]
		switch {
		case v.down, v.answered.IsZero():
			return n.name + " does not answer"
		case v.mute:
			return n.name + " owes an answer"
		case v.answered.Before(since):
			return n.name + " was not seen again yet"
		}
		if why := v.unsettled(n, t.sites-1); why != "" {
			return n.name + " " + why
		}
		sessions += v.Router.Sessions
		ids += v.Router.IDs
	}
	switch {
	case w.clients.at.Before(since):
		return "the flood has not said again yet what it has open"
	case w.clients.open != conns:
		return fmt.Sprintf("%d of %d connections are open", w.clients.open, conns)
	case sessions != conns:
		return fmt.Sprintf("%d sessions are logged in for %d connections", sessions, conns)
	case ids != conns:
		return fmt.Sprintf("%d ids are held, not %d", ids, conns)
	}
	return ""
}

// unsettled tells what a node that answers still lacks.
func (v view) unsettled(n node, routes int) string {
	c := v.Cluster
	switch {
	case !v.ready:
		return "is not ready"
	case c == nil || !c.Connected:
		return "is not connected to NATS"
	case n.kind == natsKind && c.Servers < routes:
		return fmt.Sprintf("has routes to %d of %d servers", c.Servers, routes)
	case c.Waiting != 0:
		return fmt.Sprintf("has %d subscriptions to make", c.Waiting)
	case c.Subscribed != v.Router.IDs:
		return fmt.Sprintf("is subscribed to %d of its %d ids", c.Subscribed, v.Router.IDs)
	case v.Router.Sessions != v.Conns.Open:
		return fmt.Sprintf("has %d sessions and %d connections", v.Router.Sessions, v.Conns.Open)
	}
	for _, k := range v.Workers {
		if k.State != running {
			return fmt.Sprintf("has a worker %d that is %s", k.Index, k.State)
		}
	}
	return ""
}

// checkWhole judges the state after a fault, and how long it took to get there.
func checkWhole(why string, recovered time.Duration, seen bool) []report.Check {
	sessions := check("sessions", why == "", "Every session lives where its connection is, every id is subscribed there and nowhere else.",
		"At the end, %s.", why)
	if !seen {
		return []report.Check{sessions}
	}
	return []report.Check{sessions, check("whole", recovered <= wholeWithin,
		fmt.Sprintf("Everything was whole again %s after the repair.", recovered.Round(time.Millisecond)),
		"It took %s after the repair until everything was whole again, more than %s.", recovered.Round(time.Millisecond), wholeWithin)}
}

// wholeWithin is how long after the repair everything must be whole again.
const wholeWithin = 5 * time.Second

// checkMemory compares the memory of what lived through a fault. It may have grown by a tenth, or by 4 MB where that is more.
func checkMemory(levels []report.Level) report.Check {
	const name, tenth, least = "memory", 10, 4 << 20
	var grown []string
	for _, l := range levels {
		if l.After > l.Before+max(l.Before/tenth, least) {
			grown = append(grown, fmt.Sprintf("%s from %s to %s", l.Piece, report.Bytes(float64(l.Before)), report.Bytes(float64(l.After))))
		}
	}
	return check(name, len(grown) == 0, "The memory of what lived through it is what it was.", "Memory did not return: %s.", list(grown))
}

// list writes names for people: "a, b and c".
func list(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}
