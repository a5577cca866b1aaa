package server

import (
	"encoding/json"
	"sync/atomic"
)

// This file counts connections by what they are, for Stats: what they speak and how far they are now, why they have ended, why they were refused. It is counted when it
// changes, so nobody ever walks over connections.

// phaseNames are the phases as /stats and /metrics have them. What has one name is counted together, and what has none is not shown.
var phaseNames = [phases]string{"", "head", "head", "stream", "waiting", "ending"}

// census is how many connections are in which phase of which dialect.
type census [dialects][phases]atomic.Int64

// become puts a client into another phase, and speak lets it speak another dialect.
func (f *front) become(cl *client, p phase)  { f.s.counts.by.move(cl, cl.dialect, p) }
func (f *front) speak(cl *client, d dialect) { f.s.counts.by.move(cl, d, cl.phase) }

func (n *census) move(cl *client, d dialect, p phase) {
	n[cl.dialect][cl.phase].Add(-1)
	n[d][p].Add(1)
	cl.dialect, cl.phase = d, p
}

func (n *census) look() (all Census) {
	for d := range n {
		for p := range n[d] {
			if phase(p) != phaseNone {
				all[d][p] = n[d][p].Load()
			}
		}
	}
	return all
}

// Census counts connections by what they speak and how far they are. In JSON it is an object of objects, such as {"sse": {"stream": 7, ...}, ...}.
type Census [dialects][phases]int64

// Add adds what o counts.
func (c *Census) Add(o Census) {
	for d := range c {
		for p := range c[d] {
			c[d][p] += o[d][p]
		}
	}
}

// names are the sums by name.
func (c Census) names() map[string]map[string]int64 {
	sums := map[string]map[string]int64{}
	for d, dialect := range dialectNames {
		if sums[dialect] == nil {
			sums[dialect] = map[string]int64{}
		}
		for p, phase := range phaseNames {
			if phase != "" {
				sums[dialect][phase] += c[d][p]
			}
		}
	}
	return sums
}

// MarshalJSON implements json.Marshaler.
func (c Census) MarshalJSON() ([]byte, error) { return json.Marshal(c.names()) }

// UnmarshalJSON implements json.Unmarshaler. What is counted together stands with the first of its name.
func (c *Census) UnmarshalJSON(b []byte) error {
	var sums map[string]map[string]int64
	if err := json.Unmarshal(b, &sums); err != nil {
		return err
	}
	*c = Census{}
	for d, dialect := range dialectNames {
		for p, phase := range phaseNames {
			c[d][p] = sums[dialect][phase]
			delete(sums[dialect], phase)
		}
	}
	return nil
}

// Causes counts by cause. In JSON it is an object, such as {"peer": 7, ...}.
type Causes [causes]int64

func lookAll(n *[causes]atomic.Int64) (all Causes) {
	for i := range n {
		all[i] = n[i].Load()
	}
	return all
}

// Add adds what o counts.
func (c *Causes) Add(o Causes) {
	for i := range c {
		c[i] += o[i]
	}
}

// MarshalJSON implements json.Marshaler.
func (c Causes) MarshalJSON() ([]byte, error) {
	byName := map[string]int64{}
	for i, name := range causeNames {
		byName[name] = c[i]
	}
	return json.Marshal(byName)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Causes) UnmarshalJSON(b []byte) error {
	var byName map[string]int64
	if err := json.Unmarshal(b, &byName); err != nil {
		return err
	}
	for i, name := range causeNames {
		c[i] = byName[name]
	}
	return nil
}
