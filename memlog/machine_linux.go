package memlog

import "os"

// A machine is what a sample takes from the kernel as a whole, and the count of connections.
type machine struct {
	page               int64 // KB
	slabinfo, sockstat procFile
	conns              connCounter
	buf                []byte
}

func openMachine() machine {
	return machine{
		page:     int64(os.Getpagesize() / 1024),
		slabinfo: openProc("/proc/slabinfo"),
		sockstat: openProc("/proc/net/sockstat"),
		buf:      make([]byte, 32<<10),
	}
}

func (m *machine) close() {
	m.slabinfo.close()
	m.sockstat.close()
	m.conns.close()
}

// sample fills s.Slab, s.SockBuf and s.Conns; what cannot be had is NA and a note.
func (m *machine) sample(s *Sample, members []*member, notes *notes) {
	s.Slab = m.value("slab_kb", m.slabinfo, notes, parseSlabinfo)
	s.SockBuf = m.value("sockbuf_kb", m.sockstat, notes, func(b []byte) (int64, error) { return parseCounter(b, "TCP:", "mem") })
	var err error
	if s.Conns, err = m.conns.count(members); err != nil {
		notes.empty("conns", err)
	}
}

// value reads f and parses the number of pages in it for a cell.
func (m *machine) value(column string, f procFile, notes *notes, parse func([]byte) (int64, error)) int64 {
	b, err := f.read(&m.buf)
	var pages int64
	if err == nil {
		pages, err = parse(b)
	}
	if err != nil {
		notes.empty(column, err)
		return NA
	}
	return pages * m.page
}
