//go:build !linux

package memlog

import (
	"time"

	gops "github.com/shirou/gopsutil/v3/process"
)

// A member is one process of a family, seen through gopsutil.
type member struct {
	process
	target bool
	p      *gops.Process

	held  Sample        // what the last sample found; only what one process has
	spent time.Duration // processor time, as last seen
}

// openMember begins to look at p. Its error is errEnded if p has ended.
func openMember(p process) (*member, error) {
	gp, err := gops.NewProcess(int32(p.pid))
	if err != nil {
		return nil, errEnded
	}
	m := &member{process: p, p: gp}
	m.held.clear()
	return m, m.look()
}

func (m *member) close() {}

// look sees whether the process is still there, and not another one with its pid, and what
// processor time it has used. Its error is errEnded.
func (m *member) look() error {
	gp, err := gops.NewProcess(m.p.Pid)
	if err != nil {
		return errEnded
	}
	if start, err := gp.CreateTime(); err == nil && start != m.start {
		return errEnded
	}
	m.held.CPU = NA
	if t, err := m.p.Times(); err == nil {
		m.spent = time.Duration((t.User + t.System) * float64(time.Second))
		m.held.CPU = m.spent
	}
	return nil
}

// sample fills m.held but for what look has found. Its error is errEnded; whatever cannot be had
// is NA and a note.
func (m *member) sample(notes *notes) error {
	s := &m.held
	s.RSS, s.Threads, s.FDs = NA, NA, NA
	mem, memErr := m.p.MemoryInfo()
	if memErr == nil {
		s.RSS = int64(mem.RSS / 1024)
	}
	threads, threadsErr := m.p.NumThreads()
	if threadsErr == nil {
		s.Threads = int64(threads)
	}
	fds, fdsErr := m.p.NumFDs()
	if fdsErr == nil {
		s.FDs = int64(fds)
	}
	if m.look() == errEnded { // while we looked
		return errEnded
	}
	notes.empty("rss_kb", memErr)
	notes.empty("threads", threadsErr)
	notes.empty("fds", fdsErr)
	if s.CPU < 0 {
		_, err := m.p.Times()
		notes.empty("cpu_s", err)
	}
	return nil
}

// A kin tells who a process's children are.
type kin struct{}

func openKin() kin            { return kin{} }
func (kin) close()            {}
func (kin) unchanged() bool   { return false }
func (kin) walked(found bool) {}

// children returns the pids of a process's children.
func (kin) children(pid int) []int {
	gp, err := gops.NewProcess(int32(pid))
	if err != nil {
		return nil
	}
	children, err := gp.Children()
	if err != nil {
		return nil // it has none, or has ended
	}
	var pids []int
	for _, c := range children {
		pids = append(pids, int(c.Pid))
	}
	return pids
}
