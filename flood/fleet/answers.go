package fleet

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/flood"
	"cometctl/internal/strain"
)

// answer answers a worker's request. What is none of ours gets no answer, or the error of it.
func (c *coordinator) answer(msg *nats.Msg) {
	switch msg.Subject {
	case helloSubject:
		h, err := parseHello(msg.Data)
		w := welcome{Version: version, Run: c.run}
		if err == nil {
			err = c.admit(h, &w)
		}
		if err != nil {
			w.Error = err.Error()
		}
		c.respond(msg, w)
	case shareSubject(c.run):
		var w wanted
		if err := json.Unmarshal(msg.Data, &w); err != nil {
			return
		}
		if m := c.member(w.Worker); m != nil && m.plan != nil && w.From >= 0 && w.From < m.plan.Targets {
			m.heard = time.Now()
			_ = msg.Respond(appendPiece(nil, c.cfg.Flood.Targets, m.share, w.From, int(c.nc.MaxPayload())/2))
		}
	case beatSubject(c.run):
		if b, err := parseBeat(msg.Data); err == nil {
			c.respond(msg, c.heed(b))
		}
	}
}

func (c *coordinator) member(index int) *member {
	if index < 0 || index >= len(c.members) || c.members[index] == nil || !c.members[index].joined {
		return nil
	}
	return c.members[index]
}

// admit finds a place for who says hello. One who says it again, because the answer was lost, gets the same.
func (c *coordinator) admit(h hello, w *welcome) error {
	if h.Version != version {
		return fmt.Errorf("the coordinator speaks version %d of the protocol, the worker version %d; use one cometctl everywhere", version, h.Version)
	}
	free := -1
	for i, m := range c.members {
		switch {
		case m == nil:
			if free < 0 && i >= c.cfg.Workers {
				free = i
			}
		case m.joined && m.hello.Host == h.Host && m.hello.PID == h.PID && m.hello.Token == h.Token && m.state == waiting:
			w.Worker, w.Name = i, m.name()
			return nil
		case m.local != nil && m.local.token == h.Token && !m.joined && !m.gone:
			free = i
		}
	}
	switch {
	case c.stage != gathering:
		return fmt.Errorf("the run has begun; join the next one before it does")
	case h.Token != "" && (free < 0 || c.members[free] == nil):
		return fmt.Errorf("the invitation is not for this run")
	case free < 0:
		return fmt.Errorf("it has all %d workers that it waits for; give it a higher --machines", c.cfg.Machines)
	}
	m := c.members[free]
	if m == nil {
		m = &member{index: free}
		c.members[free] = m
	}
	m.hello, m.joined, m.state, m.heard = h, true, waiting, time.Now()
	w.Worker, w.Name = free, m.name()
	if m.local == nil {
		c.cfg.Log(fmt.Sprintf("%s has joined, with room for %d connections", m, h.Room))
	}
	return nil
}

// heed takes in what a worker reports, and returns what it is to do.
func (c *coordinator) heed(b beat) orders {
	m := c.member(b.Worker)
	if m == nil || m.gone && (m.row.Ended != "" || b.State != over) {
		return orders{Error: "it has no part in the run (any more); nothing was heard of it for too long"}
	}
	m.heard, m.state, m.phase = time.Now(), b.State, b.Phase
	if len(b.Tally) > 0 {
		if err := m.take(b.Tally, c.scratch); err != nil {
			return orders{Error: err.Error()}
		}
	}
	if b.Due != nil && c.due != nil && b.Due.Seq > m.seq {
		m.seq = b.Due.Seq
		b.Due.addTo(c.due)
	}
	if b.Strain != nil {
		b.Strain.Name, b.Strain.Host = m.name(), m.hello.Host
		m.reading = b.Strain
	}
	switch {
	case b.State == over && b.Error != "" && !c.begun:
		m.gone = true
		c.fail(notStarted("%s: %s", m, b.Error))
	case b.State == over && b.Error != "" && c.stage == flooding:
		c.lost(m, b.Error)
	case b.State == over && !b.More:
		m.gone = true
	}
	o := orders{Stop: c.stage == stopping}
	switch m.state {
	case waiting:
		o.Plan = m.plan
	case ready:
		o.Start = c.start
	}
	return o
}

// lost says that a worker has ended as it should not have.
func (c *coordinator) lost(m *member, why string) {
	if m.gone {
		return
	}
	n := m.lose(why, c.scratch)
	c.cfg.Log(fmt.Sprintf("%s has died, and %d open connections with it: %s", m, n, why))
}

// exited is told that a local worker's process has ended.
func (c *coordinator) exited(e exit) {
	e.m.local.ended = true
	switch {
	case e.m.gone:
	case !c.begun:
		e.m.gone = true
		c.fail(fmt.Errorf("fleet: %s has ended before the run began: %s", e.m, e.how))
	default:
		c.lost(e.m, e.how)
	}
}

// listen looks for workers elsewhere of whom nothing is heard any more. Those here have a process that can be asked.
func (c *coordinator) listen(now time.Time) {
	for i, m := range c.members {
		if m == nil || m.local != nil || m.gone || now.Sub(m.heard) <= Silence {
			continue
		}
		why := fmt.Sprintf("nothing was heard of it for %v", Silence)
		switch {
		case c.begun:
			c.lost(m, why)
		case c.stage == gathering:
			c.members[i] = nil
			c.cfg.Log(fmt.Sprintf("%s: %s; waiting for another one", m, why))
		default:
			m.gone = true
			c.fail(fmt.Errorf("fleet: %s: %s, and the run has not begun", m, why))
		}
	}
}

// giveUp ends those who were told to stop and did not.
func (c *coordinator) giveUp() {
	for _, m := range c.members {
		if m == nil || m.gone {
			continue
		}
		if m.local != nil {
			_ = m.local.cmd.Process.Kill() // it may have ended just now
		}
		if c.begun {
			c.lost(m, fmt.Sprintf("it did not stop within %v", stopPatience+c.cfg.Flood.Drain))
		}
		m.gone = true
	}
}

// dismiss waits for the end of the local workers, who have nothing left to do. Who cannot find it is killed.
func (c *coordinator) dismiss() {
	left := 0
	for _, m := range c.members {
		if m != nil && m.local != nil && m.local.pid() != 0 && !m.local.ended {
			m.local.stdin.Close()
			left++
		}
	}
	for patience := time.After(requestTimeout); left > 0; {
		select {
		case <-c.said: // whatever it is, the run is over
		case <-c.exits:
			left--
		case <-patience:
			c.nursery.KillAll()
		}
	}
}

// enter begins a phase.
func (c *coordinator) enter(p flood.Phase) {
	c.phase = p
	switch {
	case p == flood.Hold:
		c.holding = time.Now()
	case p == flood.Drain && c.held == 0 && !c.holding.IsZero():
		c.held = time.Since(c.holding)
	}
	c.show()
}

// add makes c.sum what all have counted.
func (c *coordinator) add() (asked int, rows []Worker) {
	c.sum.Reset()
	for _, m := range c.members {
		if len(m.tally) > 0 {
			_ = c.sum.AddBinary(m.tally) // was read before
		}
		asked += m.row.Asked
		rows = append(rows, m.row)
	}
	return asked, rows
}

func (c *coordinator) show() {
	asked, rows := c.add()
	c.cfg.Watch(Progress{c.sum.Progress(asked, c.phase), rows})
}

// log ends an interval of the log: what was heard of in it is what it has.
func (c *coordinator) log(now time.Time) {
	c.add()
	c.cfg.Flood.HDR.Add(now, c.sum)
}

func (c *coordinator) result() Result {
	asked, rows := c.add()
	c.cfg.Flood.HDR.Add(time.Now(), c.sum)
	r := Result{c.sum.Result(asked), rows}
	r.ByDue = c.due
	var readings []strain.Reading
	for _, m := range c.members {
		if m.reading != nil {
			readings = append(readings, *m.reading)
		}
	}
	r.Weigh(readings, c.cfg.Flood.Pace)
	r.HoldAsked, r.Hold = c.cfg.Flood.Hold.Seconds(), c.held.Seconds()
	return r
}
