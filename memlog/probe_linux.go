package memlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxRollup is the RSS, in KB, up to which PSS is asked for. For smaps_rollup the kernel walks
// every page of the process while it holds the lock of its memory map: 8 ms for each GB.
const maxRollup = 512 << 10

var errRollup = errors.New("above 512 MB of RSS it would hold up the target")

// A probe looks at one process through /proc and sock_diag. It keeps its files open and its
// buffer, so that a sample is some ten reads, however many descriptors the process has.
type probe struct {
	pid  int
	dir  string // /proc/PID
	page int64  // KB

	stat, statm, status, rollup procFile // the process
	slabinfo, sockstat          procFile // the machine

	conns connCounter
	buf   []byte
	notes notes
}

// openProbe returns a probe of p, or errEnded.
func openProbe(p process) (*probe, error) {
	dir := "/proc/" + strconv.Itoa(p.pid)
	pr := &probe{
		pid:      p.pid,
		dir:      dir,
		page:     int64(os.Getpagesize() / 1024),
		stat:     openProc(dir + "/stat"),
		statm:    openProc(dir + "/statm"),
		status:   openProc(dir + "/status"),
		rollup:   openProc(dir + "/smaps_rollup"),
		slabinfo: openProc("/proc/slabinfo"),
		sockstat: openProc("/proc/net/sockstat"),
		buf:      make([]byte, 32<<10),
	}
	pr.conns.dir = dir
	st, err := pr.readStat()
	if err == nil && st.start != p.start {
		err = errEnded // somebody else's pid by now
	}
	if err != nil {
		pr.close()
		return nil, err
	}
	return pr, nil
}

func (p *probe) close() {
	for _, f := range [...]procFile{p.stat, p.statm, p.status, p.rollup, p.slabinfo, p.sockstat} {
		f.close()
	}
	p.conns.close()
}

// news returns why cells are empty, each reason once.
func (p *probe) news() []string { return p.notes.drain() }

// alive reports whether the process is still there; it is much cheaper than a sample.
func (p *probe) alive() bool {
	_, err := p.readStat()
	return err == nil
}

func (p *probe) readStat() (procStat, error) {
	b, err := p.stat.read(&p.buf)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) {
		return procStat{}, errEnded
	}
	if err != nil {
		return procStat{}, fmt.Errorf("memlog: %w", err)
	}
	st, err := parseProcStat(b)
	if err != nil {
		return st, fmt.Errorf("%w of %s/stat", err, p.dir)
	}
	if st.ended() {
		return st, errEnded
	}
	return st, nil
}

// sample fills s but for Time and Elapsed. Its error is errEnded or one that no later
// sample will mend; whatever else cannot be had is NA and a note.
func (p *probe) sample(s *Sample) error {
	s.clear()
	st, err := p.readStat()
	if err != nil {
		return err
	}
	s.Threads = st.threads
	s.CPU = time.Duration(st.ticks) * (time.Second / clockTick)

	s.RSS = p.value("rss_kb", p.statm, func(b []byte) (int64, error) {
		pages, err := parseStatm(b)
		return pages * p.page, err
	})
	s.Anon = p.value("anon_kb", p.status, func(b []byte) (int64, error) { return parseKB(b, "RssAnon:") })
	if s.RSS <= maxRollup {
		s.PSS = p.value("pss_kb", p.rollup, func(b []byte) (int64, error) { return parseKB(b, "Pss:") })
	} else {
		p.cell("pss_kb", NA, errRollup)
	}
	s.Slab = p.value("slab_kb", p.slabinfo, func(b []byte) (int64, error) {
		pages, err := parseSlabinfo(b)
		return pages * p.page, err
	})
	s.SockBuf = p.value("sockbuf_kb", p.sockstat, func(b []byte) (int64, error) {
		pages, err := parseCounter(b, "TCP:", "mem")
		return pages * p.page, err
	})
	n, err := countFDs(p.dir + "/fd")
	s.FDs = p.cell("fds", n, err)
	n, err = p.conns.count()
	s.Conns = p.cell("conns", n, err)

	if _, err := p.readStat(); err != nil { // it may have ended while we looked, and left zeros
		return err
	}
	return nil
}

// value reads f and parses it for a cell.
func (p *probe) value(column string, f procFile, parse func([]byte) (int64, error)) int64 {
	b, err := f.read(&p.buf)
	if err != nil {
		return p.cell(column, NA, err)
	}
	n, err := parse(b)
	return p.cell(column, n, err)
}

// cell returns n, or says why the cell is empty.
func (p *probe) cell(column string, n int64, err error) int64 {
	if err == nil {
		return n
	}
	hint := ""
	if errors.Is(err, fs.ErrPermission) {
		hint = "; run memlog as root to have it"
	}
	p.notes.add(fmt.Sprintf("%s is empty: %s%s", column, strings.TrimPrefix(err.Error(), "memlog: "), hint))
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
	err = eachFD(dir, func(*os.File, string) { n++ })
	return n, err
}

// eachFD calls f with the open directory and the name of each descriptor in it.
func eachFD(dir string, f func(d *os.File, name string)) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			f(d, name)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
