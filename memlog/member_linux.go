package memlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// maxRollup is the RSS, in KB, up to which a process's PSS is asked for. For smaps_rollup the kernel
// walks every page of the process while it holds the lock of its memory map: 8 ms for each GB. The
// server of a million connections' workers is not above it.
const maxRollup = 2 << 20

var errRollup = errors.New("above 2 GB of RSS it would hold up the target")

// A member is one process of a family, seen through /proc. Its files stay open as long as it
// lives, so that a sample is some ten reads, however many descriptors it has.
type member struct {
	process
	target bool
	dir    string // /proc/PID

	stat, statm, status, rollup procFile
	buf                         []byte
	failed                      []emptyCell // of the sample that is being taken

	held  Sample        // what the last sample found; only what one process has
	spent time.Duration // processor time, as last seen
}

// An emptyCell says what a member does not tell, and why.
type emptyCell struct {
	column string
	err    error
}

// openMember begins to look at p. Its error is errEnded if p has ended.
func openMember(p process) (*member, error) {
	dir := "/proc/" + strconv.Itoa(p.pid)
	m := &member{
		process: p,
		dir:     dir,
		stat:    openProc(dir + "/stat"),
		statm:   openProc(dir + "/statm"),
		status:  openProc(dir + "/status"),
		rollup:  openProc(dir + "/smaps_rollup"),
		buf:     make([]byte, 4<<10),
	}
	st, err := m.readStat()
	if err == nil && st.start != p.start {
		err = errEnded // somebody else's pid by now
	}
	if err != nil {
		m.close()
		return nil, err
	}
	m.take(st)
	return m, nil
}

func (m *member) close() {
	for _, f := range [...]procFile{m.stat, m.statm, m.status, m.rollup} {
		f.close()
	}
}

// look sees whether the process is still there, and what processor time it has used. Its error is
// errEnded or one that no later look will mend. It is much cheaper than a sample.
func (m *member) look() error {
	st, err := m.readStat()
	if err == nil {
		m.take(st)
	}
	return err
}

func (m *member) take(st procStat) {
	m.spent = time.Duration(st.ticks) * (time.Second / clockTick)
	m.held.CPU, m.held.Threads = m.spent, st.threads
}

func (m *member) readStat() (procStat, error) {
	b, err := m.stat.read(&m.buf)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) {
		return procStat{}, errEnded
	}
	if err != nil {
		return procStat{}, fmt.Errorf("memlog: %w", err)
	}
	st, err := parseProcStat(b)
	if err != nil {
		return st, fmt.Errorf("%w of %s/stat", err, m.dir)
	}
	if st.ended() {
		return st, errEnded
	}
	return st, nil
}

// sample fills m.held but for what look has found. Its error is errEnded; whatever else cannot be
// had is NA and a note.
func (m *member) sample(notes *notes) error {
	s := &m.held
	m.failed = m.failed[:0]
	page := int64(os.Getpagesize() / 1024)
	s.RSS = m.value("rss_kb", m.statm, func(b []byte) (int64, error) {
		pages, err := parseStatm(b)
		return pages * page, err
	})
	s.Anon = m.value("anon_kb", m.status, func(b []byte) (int64, error) { return parseKB(b, "RssAnon:") })
	if s.RSS <= maxRollup {
		s.PSS = m.value("pss_kb", m.rollup, func(b []byte) (int64, error) { return parseKB(b, "Pss:") })
	} else {
		s.PSS = m.cell("pss_kb", NA, errRollup)
	}
	n, err := countFDs(m.dir + "/fd")
	s.FDs = m.cell("fds", n, err)

	if _, err := m.readStat(); err == errEnded { // while we looked, and left zeros
		return err
	}
	for _, c := range m.failed {
		notes.empty(c.column, c.err)
	}
	return nil
}

// value reads f and parses it for a cell.
func (m *member) value(column string, f procFile, parse func([]byte) (int64, error)) int64 {
	b, err := f.read(&m.buf)
	if err != nil {
		return m.cell(column, NA, err)
	}
	n, err := parse(b)
	return m.cell(column, n, err)
}

// cell returns n, or remembers why the cell is empty.
func (m *member) cell(column string, n int64, err error) int64 {
	if err == nil {
		return n
	}
	m.failed = append(m.failed, emptyCell{column, err})
	return NA
}

// countFDs returns how many descriptors are open. Since Linux 6.2 the size of /proc/PID/fd
// is their number; before, its entries have to be listed, which takes some 15 ms for 20,000.
func countFDs(dir string) (int64, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return NA, err
	}
	if n := info.Size(); n > 0 {
		return n, nil
	}
	n := int64(0)
	err = eachEntry(dir, func(*os.File, string) bool {
		n++
		return true
	})
	return n, err
}

// eachEntry calls f with the open directory and the name of each entry, in the order of their
// numbers where /proc has numbers, until f returns false.
func eachEntry(dir string, f func(d *os.File, name string) bool) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(256)
		for _, name := range names {
			if !f(d, name) {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
