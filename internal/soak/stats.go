package soak

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"cometctl/report"
)

// nodeStats is what soak reads of a node's /stats.
type nodeStats struct {
	Ledger  report.Ledger `json:"ledger"`
	Cluster *struct {     // nil: not on NATS
		Connected bool  `json:"connected"`
		Waiting   int64 `json:"waiting"` // logins and logouts that NATS is still to hear of
		Servers   int   `json:"servers"` // that its NATS server has routes to
	} `json:"cluster"`
	Workers []workerStats `json:"workers"`
}

// workerStats is one worker of `serve --workers`.
type workerStats struct {
	Restarts int    `json:"restarts"`
	Why      string `json:"why"` // it ended by itself, and which it is; empty if it never did
}

// answer is what a node said, or why it said nothing, when it was asked for its /stats.
type answer struct {
	from  *piece
	asked time.Time
	text  []byte
	err   error
}

// ask asks every node that lives for its /stats, unless it is being asked already, and
// waits for none: a node that is stopped must not stop the conductor. The answers come
// to await. There is room for all of them, so that none waits for somebody to take it.
func (c *conductor) ask() {
	for _, p := range c.nodes {
		if p.ended || p.asking || p.ready.Admin == "" {
			continue
		}
		p.asking = true
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), statsLimit)
			defer cancel()
			now := time.Now()
			text, err := c.ledger(ctx, p.ready.Admin)
			c.answers <- answer{p, now, text, err}
		}()
	}
}

// hear takes an answer into the state. One that failed leaves what was known; a node's
// end, if that is why, is noticed elsewhere.
func (c *conductor) hear(a answer) {
	a.from.asking = false
	var s nodeStats
	if a.err == nil && json.Unmarshal(a.text, &s) == nil {
		a.from.stats, a.from.statsText, a.from.statsAsked = s, a.text, a.asked
	}
}

// asking reports whether a node is still to answer.
func (c *conductor) asking() bool {
	return slices.ContainsFunc(c.nodes, func(p *piece) bool { return p.asking })
}

// told reports whether every node that lives has answered a question of since or later.
func (c *conductor) told(since time.Time) bool {
	return !slices.ContainsFunc(c.nodes, func(p *piece) bool { return !p.ended && p.statsAsked.Before(since) })
}

// inquire asks the nodes until all have answered and done is content with what they
// said, and returns early as await does.
func (c *conductor) inquire(ctx context.Context, limit time.Duration, done func() bool) error {
	for began := time.Now(); ; {
		asked := time.Now()
		c.ask()
		if err := c.await(ctx, statsLimit+limit, func() bool { return !c.asking() }); err != nil {
			return err
		}
		if c.told(asked) && done() {
			return nil
		}
		if time.Since(began) > limit {
			return errLimit
		}
		if err := c.pass(ctx, inquireEvery); err != nil {
			return err
		}
	}
}

// settled reports whether every node that lives is on NATS, and NATS has heard of all
// its ids.
func (c *conductor) settled() bool { return c.unsettled() == "" }

// unsettled names the nodes of which that is not so.
func (c *conductor) unsettled() string {
	var names []string
	for _, p := range c.nodes {
		switch k := p.stats.Cluster; {
		case p.ended:
		case k == nil || !k.Connected:
			names = append(names, p.record.Name+" is not connected")
		case k.Waiting > 0:
			names = append(names, fmt.Sprintf("%s has %d waiting", p.record.Name, k.Waiting))
		}
	}
	return strings.Join(names, ", ")
}

// account is what became of the messages, as the nodes told it last, those that have
// ended included, and a generator that published on NATS. It reports false while
// somebody's part is not known.
func (c *conductor) account(since time.Time) (report.Ledger, bool) {
	var gen report.MsggenResult
	known := decode(c.kept[msggen+".json"], &gen)
	if c.cfg.Foreign != nil { // keeps no ledger: all that was sent may still come
		return report.Ledger{Sent: gen.Sent}, known
	}
	var sum report.Ledger
	for _, p := range c.nodes {
		sum = sum.Plus(p.stats.Ledger)
	}
	if len(c.servers) == 0 {
		return sum, c.told(since)
	}
	return sum.Plus(published(gen)), known && c.told(since)
}

// published is the account of a generator that published on NATS itself. Its result has
// the nodes' answers to it in its ledger too; what it forwarded is its own alone, for
// nodes forward nothing that they received.
func published(gen report.MsggenResult) report.Ledger {
	forwarded := gen.Sent
	if gen.Ledger != nil {
		forwarded = gen.Ledger.Forwarded
	}
	return report.Ledger{Sent: gen.Sent, Forwarded: forwarded, Offline: gen.Sent - forwarded}
}

// sumStats is stats.json where there are several nodes.
type sumStats struct {
	Ledger report.Ledger `json:"ledger"` // of all nodes together
	Nodes  []string      `json:"nodes"`
	Fallen []string      `json:"fallen,omitempty"` // nodes that ended by themselves: of these, what they had told last
}

// keepStats keeps the ledgers as evidence: each node's, and their sum.
func (c *conductor) keepStats() {
	keep := func(name string, text []byte) {
		c.kept[name] = text
		if err := c.folder.write(name, text); err != nil {
			c.unkept = cmp.Or(c.unkept, err)
		}
	}
	if c.cfg.Foreign != nil {
		return
	}
	if len(c.nodes) == 1 {
		if text := c.nodes[0].statsText; text != nil {
			keep(statsFile, text)
		}
		return
	}
	var sum sumStats
	for _, p := range c.nodes {
		if p.statsText != nil {
			keep("stats-"+p.record.Name+".json", p.statsText)
		}
		sum.Ledger = sum.Ledger.Plus(p.stats.Ledger)
		sum.Nodes = append(sum.Nodes, p.record.Name)
		if p.ended {
			sum.Fallen = append(sum.Fallen, p.record.Name)
		}
	}
	text, err := json.MarshalIndent(sum, "", "  ")
	if err == nil {
		keep(statsFile, append(text, '\n'))
	}
}

// getStats reads a node's /stats. authorization is empty where nobody asks for it.
func getStats(ctx context.Context, admin, authorization string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/stats", nil)
	if err != nil {
		return nil, err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("soak: GET /stats: %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
