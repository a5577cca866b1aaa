package memlog

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// errEnded says that the process is there no longer; a zombie is not there either.
var errEnded = errors.New("memlog: the process has ended")

// errNoListener says why there are no connections to count.
var errNoListener = errors.New("the target listens on no TCP port")

// maxMembers is how many members have columns of their own; a row of so many stays far below the
// longest line that a Reader takes.
const maxMembers = 256

// A probe looks at one family, and at what the kernel keeps on its behalf.
type probe struct {
	*family
	machine machine
	shown   []memberSample
}

// openProbe returns a probe of the targets' family, or errEnded.
func openProbe(targets []process, alone bool) (*probe, error) {
	f, err := openFamily(targets, alone)
	if err != nil {
		return nil, err
	}
	return &probe{family: f, machine: openMachine()}, nil
}

func (p *probe) close() {
	p.family.close()
	p.machine.close()
}

// sample fills s but for Time and Elapsed. Its error is errEnded or one that no later
// sample will mend; whatever else cannot be had is NA and a note.
func (p *probe) sample(s *Sample) error {
	s.clear()
	if err := p.family.sample(s); err != nil {
		return err
	}
	p.machine.sample(s, p.family.members, &p.notes)
	if !p.alive() { // meanwhile, and left no connections
		return errEnded
	}
	return nil
}

// A memberSample is what one member held at the last sample.
type memberSample struct {
	pid int
	*Sample
}

// members returns the members that have columns of their own. The slice is the probe's, until the
// next sample.
func (p *probe) members() []memberSample {
	p.shown = p.shown[:0]
	for i, m := range p.family.members {
		if i == maxMembers {
			p.notes.add(fmt.Sprintf("only the first %d members have columns of their own", maxMembers))
			break
		}
		p.shown = append(p.shown, memberSample{m.pid, &m.held})
	}
	return p.shown
}

// ended returns the targets that have ended.
func (p *probe) ended() []process { return p.lost }

// news returns what there is to say about the samples so far, each thing once.
func (p *probe) news() []string { return p.notes.drain() }

// notes collects what a probe has to say: why a cell is empty once, the first time that it occurs,
// and what has happened.
type notes struct {
	said map[string]bool
	news []string
}

// add says text, unless it has been said before.
func (n *notes) add(text string) { n.once(text, text) }

// once says text, unless something has been said under this key.
func (n *notes) once(key, text string) {
	if n.said == nil {
		n.said = make(map[string]bool)
	}
	if !n.said[key] {
		n.said[key] = true
		n.news = append(n.news, text)
	}
}

// empty says why a cell is empty, if there is a reason. Of one that several processes have it names
// the first.
func (n *notes) empty(column string, err error) {
	if err == nil {
		return
	}
	hint, reason := "", err
	if errors.Is(err, fs.ErrPermission) {
		hint = "; run memlog as root to have it"
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		reason = path.Err
	}
	n.once(column+" "+reason.Error(), fmt.Sprintf("%s is empty: %s%s", column, strings.TrimPrefix(err.Error(), "memlog: "), hint))
}

// drain returns what is new since the last call.
func (n *notes) drain() []string {
	news := n.news
	n.news = nil
	return news
}
