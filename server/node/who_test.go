package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/netloop"
	"cometctl/server"
)

// who is what a node answers about the sessions of an id.
type who struct {
	Sessions int
	Ended    *int
	Error    string
	Nodes    []struct {
		Node     string
		Sessions int
		Ended    int
		Late     bool
		List     []struct{ Peer, Dialect string }
	}
}

func askWho(t *testing.T, n *Node, method, id string) (w who) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.Admin().String()+"/who/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&w); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s /who/%s: %s, %v", method, id, resp.Status, err)
	}
	return w
}

// rows are the sessions by node, and those that are described.
func (w who) rows() (text string) {
	for _, n := range w.Nodes {
		text += fmt.Sprintf("%s: %d, %d told, %d ended; ", n.Node, n.Sessions, len(n.List), n.Ended)
	}
	return text
}

// TestWho asks one node for the sessions of all, and ends them.
func TestWho(t *testing.T) {
	for _, engine := range netloop.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel() // it waits most of the time
			e := brokertest.Embed(t, broker.EmbedConfig{})
			var nodes []*Node
			for _, name := range []string{"b", "a", "router"} {
				nodes = append(nodes, start(t, Config{Name: name, NATS: broker.ConnectConfig{URLs: []string{e.URL()}},
					Server: server.Config{Engine: engine, NoFront: name == "router"}}))
			}
			brokertest.Until(t, "all are one cluster", func() bool { return len(askWho(t, nodes[0], "GET", "1").Nodes) == 3 })
			for i, ids := range []string{"1", "1,2", "2"} {
				stream(t, nodes[i%2], ids)
			}
			stream(t, nodes[1], "1")
			for _, c := range []struct {
				from *Node
				want string
			}{
				{nodes[0], "b: 1, 1 told, 0 ended; a: 2, 2 told, 0 ended; router: 0, 0 told, 0 ended; "},
				{nodes[2], "router: 0, 0 told, 0 ended; a: 2, 2 told, 0 ended; b: 1, 1 told, 0 ended; "},
			} {
				if w := askWho(t, c.from, "GET", "1"); w.rows() != c.want || w.Sessions != 3 || w.Ended != nil || w.Error != "" {
					t.Errorf("%+v, want %s", w, c.want)
				}
			}
			w := askWho(t, nodes[2], "DELETE", "1")
			if w.rows() != "router: 0, 0 told, 0 ended; a: 2, 0 told, 2 ended; b: 1, 0 told, 1 ended; " || w.Sessions != 3 || w.Ended == nil || *w.Ended != 3 {
				t.Errorf("%+v", w)
			}
			for _, n := range nodes[:2] {
				brokertest.Until(t, "they have ended", func() bool { return n.Stats().Conns.Open == map[string]int64{"a": 0, "b": 1}[n.Name()] })
			}
			if w := askWho(t, nodes[1], "GET", "2"); w.Sessions != 1 {
				t.Errorf("of the other id: %+v", w)
			}
		})
	}
}

// Without NATS a node answers for itself, and says so.
func TestWhoDisconnected(t *testing.T) {
	n := start(t, Config{NATS: broker.ConnectConfig{URLs: []string{"nats://" + brokertest.FreeAddress(t)}}})
	stream(t, n, "1")
	if w := askWho(t, n, "GET", "1"); w.Sessions != 1 || len(w.Nodes) != 1 || w.Error == "" {
		t.Errorf("%+v", w)
	}
	if w := askWho(t, n, "DELETE", "1"); w.Ended == nil || *w.Ended != 1 || w.Error == "" {
		t.Errorf("%+v", w)
	}
}
