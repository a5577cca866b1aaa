package fleet

import (
	"fmt"
	"math"
	"strings"
	"time"

	"cometctl/flood"
	"cometctl/internal/strain"
	"cometctl/internal/wire"
)

// member is what the coordinator knows of one worker.
type member struct {
	index  int
	hello  hello
	local  *local // nil: it came from elsewhere
	joined bool
	heard  time.Time // its last sign of life

	share flood.Share
	plan  *plan
	state state
	phase flood.Phase
	gone  bool   // it has no part in the run any more: over, or dead
	tally []byte // its last
	seq   uint64 // of the last piece by due time
	row   Worker

	reading *strain.Reading // of its process; nil: it has not ended, or not in order
}

// name is what people call it.
func (m *member) name() string {
	if m.local != nil {
		return m.local.name
	}
	return m.hello.Name
}

func (m *member) String() string {
	if m.local == nil {
		return fmt.Sprintf("worker %s (%s)", m.hello.Name, m.hello.Host)
	}
	return fmt.Sprintf("worker %s (pid %d)", m.local.name, m.local.pid())
}

// settled reports whether every target of its share was open or has failed, or that is not to be waited for.
func (m *member) settled() bool { return m.gone || m.phase == flood.Hold }

// give makes a share the member's.
func (m *member) give(t *flood.Targets, s flood.Share, p plan) {
	p.Targets, p.Rotation, p.Turns = s.To-s.From, s.Rotation, s.Turns
	if p.Manners.Any() {
		p.Manners.First, p.Manners.Whole = s.From, t.Len()
	}
	p.Ask.First += s.From
	m.share, m.plan = s, &p
	ms := func(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }
	m.row = Worker{Name: m.name(), Host: m.hello.Host, PID: m.hello.PID, Asked: p.Targets,
		ClockOffset: ms(m.hello.Offset), ClockError: ms(m.hello.Error)}
	if text, next := t.AppendText(nil, s.From, s.To, maxShare); next == s.To {
		m.row.Share = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		for i, url := range m.row.Share {
			m.row.Share[i] = wire.RedactURL(url)
		}
	}
}

// take replaces the member's tally by a newer one. scratch is for reading it.
func (m *member) take(tally []byte, scratch *flood.Tally) error {
	scratch.Reset()
	if err := scratch.AddBinary(tally); err != nil {
		return err
	}
	m.tally = tally
	m.look(scratch)
	return nil
}

// look makes the row show what t has counted.
func (m *member) look(t *flood.Tally) {
	p := t.Counts(m.row.Asked, m.phase)
	m.row.Open, m.row.Failed, m.row.ClosedEarly = p.Open, p.Failed, p.ClosedEarly
	m.row.Reconnects, m.row.Messages = p.Reconnects, p.Messages
}

// lose notes that the member ended as it should not have: what it held is lost. It returns how many that were.
func (m *member) lose(why string, scratch *flood.Tally) (lost int) {
	m.gone, m.row.Ended = true, why
	scratch.Reset()
	_ = scratch.AddBinary(m.tally) // was read before; where there is none, nothing was counted
	lost = scratch.Open()
	scratch.Lose(m.row.Asked, Died)
	m.tally = scratch.AppendBinary(nil)
	m.look(scratch)
	return lost
}
