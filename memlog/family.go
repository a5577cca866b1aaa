package memlog

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// A family is the target processes and all their descendants.
//
// Who has once been seen as a descendant is a member until it ends, also when the process
// between it and the target has ended and it is nobody's descendant any longer: what it
// holds, the target has brought about. Members are known by their pid and are there once,
// however many ways lead to them. memlog itself is a member only as a target.
//
// Everything below is portable; what one member holds (member) and who its children are
// (kin) is each system's own file.
type family struct {
	alone   bool      // only the targets
	targets int       // how many there were
	members []*member // targets first, then in the order in which they were found
	byPID   map[int]*member
	kin     kin

	spent time.Duration // processor time of the members that have ended, as last seen
	lost  []process     // targets that have ended, in the order in which that was seen
	begun bool          // the members at the start have been found
	notes notes
}

// maxMemberNotes is how many notes about members one sample makes; further ones are counted. A
// family that builds something has new members all the time.
const maxMemberNotes = 64

// openFamily returns the family of targets, none of which may have ended; if one has, the error
// is errEnded.
func openFamily(targets []process, alone bool) (*family, error) {
	f := &family{alone: alone, targets: len(targets), byPID: make(map[int]*member), kin: openKin()}
	for _, p := range targets {
		m, err := openMember(p)
		if err != nil {
			f.close()
			return nil, err
		}
		m.target = true
		f.admit(m)
	}
	return f, nil
}

func (f *family) close() {
	for _, m := range f.members {
		m.close()
	}
	f.kin.close()
}

// alive reports whether a target is left. It is much cheaper than a sample.
func (f *family) alive() bool {
	left := false
	f.bury(func(m *member) bool {
		if !m.target {
			return true
		}
		alive := m.look() == nil
		left = left || alive
		return alive
	}, nil)
	return left
}

// sample fills into s the sums over all members, among which it first looks for who has ended
// and who is new. Its error is errEnded when no target is left, or one that no later sample
// will mend.
func (f *family) sample(s *Sample) error {
	var said memberNotes
	var broken error
	f.bury(func(m *member) bool {
		err := m.look()
		if err != nil && err != errEnded {
			broken = err
		}
		return err != errEnded
	}, &said)
	if broken != nil {
		return broken
	}
	if !f.hasTarget() {
		return errEnded
	}
	f.gather(&said)
	*s = Sample{Time: s.Time, Conns: NA, Slab: NA, SockBuf: NA}
	f.bury(func(m *member) bool {
		if m.sample(&f.notes) == errEnded {
			return false
		}
		s.add(&m.held)
		return true
	}, &said)
	if s.CPU >= 0 {
		s.CPU += f.spent
	}
	s.Procs = int64(len(f.members))
	f.begun = true
	f.notes.news = append(f.notes.news, said.drain()...)
	if !f.hasTarget() {
		return errEnded
	}
	return nil
}

// hasTarget reports whether a target was alive when last looked at.
func (f *family) hasTarget() bool { return len(f.lost) < f.targets }

// gather admits the descendants that are new.
func (f *family) gather(said *memberNotes) {
	if f.alone || f.kin.unchanged() {
		return
	}
	self := os.Getpid()
	found := false
	for i := 0; i < len(f.members); i++ { // it grows: children's children follow
		parent := f.members[i]
		for _, pid := range f.kin.children(parent.pid) {
			if f.byPID[pid] != nil || pid == self {
				continue
			}
			p, ok := readProcess(pid)
			if !ok || p.ppid != parent.pid {
				continue // it has ended, and the pid may be somebody else's by now
			}
			m, err := openMember(p)
			if err != nil {
				if err != errEnded {
					f.notes.add(fmt.Sprintf("a member of the family is not counted: %v", err))
				}
				continue
			}
			f.admit(m)
			found = true
			if f.begun {
				said.add("member started: " + p.String())
			} else {
				said.add("member: " + p.String())
			}
		}
	}
	f.kin.walked(found)
}

// admit makes m a member.
func (f *family) admit(m *member) {
	f.members = append(f.members, m)
	f.byPID[m.pid] = m
}

// bury goes through the members and lets go of those for which alive is false. Who was no target
// is told to said.
func (f *family) bury(alive func(*member) bool, said *memberNotes) {
	f.members = slices.DeleteFunc(f.members, func(m *member) bool {
		if alive(m) {
			return false
		}
		f.spent += m.spent
		delete(f.byPID, m.pid)
		if m.target {
			f.lost = append(f.lost, m.process)
		} else if said != nil {
			said.add("member ended: " + m.process.String())
		}
		m.close()
		return true
	})
}

// add adds what one member holds. What one of them does not tell, the sum cannot tell.
func (s *Sample) add(m *Sample) {
	for _, f := range [...]struct {
		sum *int64
		n   int64
	}{{&s.RSS, m.RSS}, {&s.Anon, m.Anon}, {&s.PSS, m.PSS}, {&s.FDs, m.FDs}, {&s.Threads, m.Threads}} {
		if *f.sum < 0 || f.n < 0 {
			*f.sum = NA
		} else {
			*f.sum += f.n
		}
	}
	if s.CPU < 0 || m.CPU < 0 {
		s.CPU = NA
	} else {
		s.CPU += m.CPU
	}
}

// memberNotes are one sample's notes about who came and who went.
type memberNotes struct {
	texts []string
	more  int
}

func (n *memberNotes) add(text string) {
	if len(n.texts) < maxMemberNotes {
		n.texts = append(n.texts, text)
	} else {
		n.more++
	}
}

func (n *memberNotes) drain() []string {
	if n.more > 0 {
		return append(n.texts, fmt.Sprintf("members: %d more have started or ended", n.more))
	}
	return n.texts
}
