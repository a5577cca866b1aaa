package server

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"time"

	"cometctl/internal/netloop"
	"cometctl/server/router"
)

const (
	// whoMost is how many sessions of an id a node describes. It counts all.
	whoMost = 100
	// whoPatience is how long a node waits for its loops before it answers. It is well below the time that others wait for it.
	whoPatience = 200 * time.Millisecond
	// kickBatch is how many sessions end in one turn of a loop: about a millisecond of system calls.
	kickBatch = 100
)

// whoQuestion is what a node asks itself and all others, as JSON.
type whoQuestion struct {
	ID  string `json:"id"`
	End bool   `json:"end,omitempty"` // end the sessions
}

// whoAnswer is what GET and DELETE /who/{id} answer.
type whoAnswer struct {
	ID       string    `json:"id"`
	Sessions int       `json:"sessions"`        // of all nodes; those that were there when it was asked
	Ended    *int      `json:"ended,omitempty"` // of DELETE: those of them that were told to end
	Nodes    []whoNode `json:"nodes"`           // this one first, then those that have answered in time, by name
	Error    string    `json:"error,omitempty"` // why others could not be asked
}

// whoNode is a node's answer.
type whoNode struct {
	Node     string       `json:"node,omitempty"` // empty for a server that is alone
	Sessions int          `json:"sessions"`
	Ended    int          `json:"ended,omitempty"`
	Late     bool         `json:"late,omitempty"` // a loop was too busy to say its part in time
	List     []whoSession `json:"list,omitempty"` // of the sessions, the first whoMost
}

// whoSession is a session as its loop sees it.
type whoSession struct {
	Peer     string    `json:"peer"`  // host:port
	Since    time.Time `json:"since"` // its login; seconds are known
	Dialect  string    `json:"dialect"`
	Messages *uint32   `json:"messages,omitempty"` // written to it; absent where nobody counts them
	Pending  int       `json:"pending"`            // bytes that its kernel has not taken
}

// serveWho is GET /who/{id}, and DELETE, which ends the sessions. That there are none is an answer like others.
func (s *Server) serveWho(w http.ResponseWriter, r *http.Request) {
	q := whoQuestion{ID: r.PathValue("id"), End: r.Method == http.MethodDelete}
	if err := router.ValidID([]byte(q.ID)); err != nil {
		http.Error(w, plain(err), http.StatusBadRequest)
		return
	}
	a := whoAnswer{ID: q.ID}
	others := make(chan []whoNode, 1)
	go func() {
		var all []whoNode
		if s.cluster != nil {
			text, err := json.Marshal(q)
			if err == nil {
				err = s.cluster.AskAll(r.Context(), text, func(answer []byte) {
					var n whoNode
					if json.Unmarshal(answer, &n) == nil {
						all = append(all, n)
					}
				})
			}
			if err != nil {
				a.Error = plain(err)
			}
		}
		others <- all
	}()
	here := s.who(q)
	all := <-others
	slices.SortFunc(all, func(a, b whoNode) int { return cmp.Compare(a.Node, b.Node) })
	a.Nodes = append([]whoNode{here}, all...)
	ended := 0
	for _, n := range a.Nodes {
		a.Sessions += n.Sessions
		ended += n.Ended
	}
	if q.End {
		a.Ended = &ended
		s.cfg.Log.Info("sessions were ended by DELETE /who", "id", q.ID, "sessions", ended)
	}
	writeJSON(w, a)
}

// asked answers another node's question.
func (s *Server) asked(question []byte) []byte {
	var q whoQuestion
	if json.Unmarshal(question, &q) != nil || router.ValidID([]byte(q.ID)) != nil {
		return nil
	}
	text, err := json.Marshal(s.who(q))
	if err != nil {
		return nil // strings, numbers and times of our own: it cannot be
	}
	return text
}

// who answers for the sessions of this process. What is known of a session only its loop can tell, in its turn: the sessions are
// taken from the router, and each loop is asked for its own.
func (s *Server) who(q whoQuestion) whoNode {
	var n whoNode
	most := whoMost
	if q.End {
		most = math.MaxInt
	}
	var sessions []router.Session
	if s.cluster != nil {
		n.Node = s.cluster.Status().Node
		sessions, n.Sessions, _ = s.cluster.Sessions(nil, []byte(q.ID), most) // the id is a good one
	} else {
		sessions, n.Sessions, _ = s.local.Sessions(nil, []byte(q.ID), most)
	}
	by := map[int][]netloop.Conn{}
	for _, session := range sessions {
		c := netloop.Conn(session)
		by[c.Loop()] = append(by[c.Loop()], c)
	}
	parts := make(chan whoNode, len(by)) // nobody waits to tell
	for loop, conns := range by {
		if q.End {
			go s.kick(loop, conns, parts)
		} else {
			s.engine.Do(loop, func(l netloop.Loop) { parts <- whoNode{List: s.describe(l, conns)} })
		}
	}
	timer := time.NewTimer(whoPatience)
	defer timer.Stop()
	for range by {
		select {
		case p := <-parts:
			n.Ended += p.Ended
			n.List = append(n.List, p.List...)
		case <-timer.C:
			n.Late = true
			return n
		}
	}
	return n
}

// session is a connection of the loop that is logged in; nil if it has ended, and its slot may be another's by now.
func (s *Server) session(l netloop.Loop, c netloop.Conn) (*client, string) {
	peer := l.Peer(c)
	if !peer.IsValid() {
		return nil, ""
	}
	cl := s.loops[l.Index()].clients.At(c.Slot())
	if !cl.has(flagLogged) {
		return nil, ""
	}
	return cl, peer.String()
}

// describe is what a loop knows of its sessions.
func (s *Server) describe(l netloop.Loop, conns []netloop.Conn) (all []whoSession) {
	for _, c := range conns {
		if cl, peer := s.session(l, c); cl != nil {
			since := s.born.Add(time.Duration(cl.since) * time.Second)
			w := whoSession{Peer: peer, Since: since.UTC().Truncate(time.Second), Dialect: cl.dialect.String(), Pending: l.Pending(c)}
			if cl.dialect.counted() {
				w.Messages = new(cl.n)
			}
			all = append(all, w)
		}
	}
	return all
}

// kick ends the sessions of one loop in order, a batch a turn: a million of one id must not keep the others waiting.
func (s *Server) kick(loop int, conns []netloop.Conn, done chan<- whoNode) {
	f := &front{s: s}
	ended := 0
	for batch := range slices.Chunk(conns, kickBatch) {
		turn := make(chan struct{})
		s.engine.Do(loop, func(l netloop.Loop) {
			defer close(turn)
			for _, c := range batch {
				if cl, _ := s.session(l, c); cl != nil {
					f.goodbye(l, c, causeKicked)
					ended++
				}
			}
		})
		select {
		case <-turn:
		case <-s.pubs.Done(): // the server ends them all; a loop that has ended has no turn
			return
		}
	}
	done <- whoNode{Ended: ended}
}
