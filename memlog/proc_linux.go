package memlog

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// The parsers of /proc. All take the file's bytes and allocate nothing; a file that does
// not look as its kernel documentation says yields errProc, never a wrong number.

var errProc = errors.New("memlog: unexpected contents")

// procStat is what memlog takes from /proc/PID/stat (Documentation/filesystems/proc.rst, table 1-4).
type procStat struct {
	state   byte // 'Z' and 'X' are processes that have ended
	ppid    int64
	ticks   int64 // utime + stime, in clockTick
	threads int64
	start   int64 // ticks after boot: together with the pid it names a process for good
}

// clockTick is USER_HZ, which is 100 on every architecture that Go runs on.
const clockTick = 100

func (s procStat) ended() bool { return s.state == 'Z' || s.state == 'X' || s.state == 'x' }

func parseProcStat(b []byte) (procStat, error) {
	var s procStat
	end := bytes.LastIndexByte(b, ')') // the name before it may hold spaces and parentheses
	if end < 0 {
		return s, errProc
	}
	rest := b[end+1:]
	for field := 3; field <= 22; field++ {
		var cell []byte
		if cell, rest = nextField(rest); len(cell) == 0 {
			return s, errProc
		}
		if field == 3 {
			s.state = cell[0]
			continue
		}
		var into *int64
		switch field {
		case 4:
			into = &s.ppid
		case 14, 15:
			into = &s.ticks
		case 20:
			into = &s.threads
		case 22:
			into = &s.start
		default:
			continue
		}
		n, err := parseDecimal(cell, 0)
		if err != nil {
			return s, errProc
		}
		*into += n
	}
	return s, nil
}

// parseStatm returns the resident pages, the second number of /proc/PID/statm.
func parseStatm(b []byte) (pages int64, err error) {
	_, b = nextField(b)
	cell, _ := nextField(b)
	if pages, err = parseDecimal(cell, 0); err != nil {
		return NA, errProc
	}
	return pages, nil
}

// parseKB returns the number of the line "KEY:  123 kB", as in /proc/PID/status and
// /proc/PID/smaps_rollup. key includes the colon.
func parseKB(b []byte, key string) (int64, error) {
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			cell, unit := nextField(rest)
			n, err := parseDecimal(cell, 0)
			if err != nil || string(bytes.TrimSpace(unit)) != "kB" {
				return NA, errProc
			}
			return n, nil
		}
	}
	return NA, errProc
}

// slabCaches are the kernel's object caches that a TCP connection of an epoll server
// takes from. A kernel that merges caches of one size (slab_merge) may show the small
// ones under another name; they are then left out.
var slabCaches = [...]string{
	"TCP", "TCPv6", // struct tcp_sock
	"request_sock_TCP", "request_sock_TCPv6", // handshakes
	"tw_sock_TCP", "tw_sock_TCPv6", // TIME_WAIT
	"sock_inode_cache", "filp", "dentry", // what makes a socket a descriptor
	"eventpoll_epi", "eventpoll_pwq", "ep_head", // what epoll keeps of it
}

// parseSlabinfo returns the pages of the slabs of slabCaches, from /proc/slabinfo (slabinfo(5)):
// num_slabs * pagesperslab, which is the memory taken, not only the objects in use.
func parseSlabinfo(b []byte) (pages int64, err error) {
	if !bytes.HasPrefix(b, []byte("slabinfo - version: 2")) {
		return NA, errProc
	}
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		name, rest := nextField(line)
		if !isSlabCache(name) {
			continue
		}
		product := int64(1)
		for field := 2; field <= 15; field++ {
			var cell []byte
			cell, rest = nextField(rest)
			if field != 6 && field != 15 { // pagesperslab, num_slabs
				continue
			}
			n, err := parseDecimal(cell, 0)
			if err != nil || n > 1<<31 {
				return NA, errProc
			}
			product *= n
		}
		pages += product
	}
	return pages, nil
}

func isSlabCache(name []byte) bool {
	for _, c := range slabCaches {
		if string(name) == c {
			return true
		}
	}
	return false
}

// parseCounter returns the number behind the word key in the line that starts with
// head, as in "TCP: inuse 9 orphan 0 tw 0 alloc 9 mem 3" of /proc/net/sockstat.
func parseCounter(b []byte, head, key string) (int64, error) {
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		rest, ok := bytes.CutPrefix(line, []byte(head))
		for ok && len(rest) > 0 {
			var name, cell []byte
			name, rest = nextField(rest)
			cell, rest = nextField(rest)
			if string(name) == key {
				n, err := parseDecimal(cell, 0)
				if err != nil {
					return NA, errProc
				}
				return n, nil
			}
		}
	}
	return NA, errProc
}

// parseLastPID returns the pid that was given out last, the fifth field of /proc/loadavg. Threads
// get pids too.
func parseLastPID(b []byte) (int64, error) {
	var cell []byte
	for range 5 {
		cell, b = nextField(b)
	}
	pid, err := parseDecimal(cell, 0)
	if err != nil {
		return NA, errProc
	}
	return pid, nil
}

// tcpCounters are those of /proc/net/snmp that tell whether TCP connections of this network
// namespace have come or gone: RFC 4022's tcpActiveOpens, tcpPassiveOpens, tcpCurrEstab and tcpInSegs.
type tcpCounters struct {
	activeOpens, passiveOpens, currEstab, inSegs int64
}

// opened returns c without the traffic.
func (c tcpCounters) opened() tcpCounters {
	c.inSegs = 0
	return c
}

// parseSNMP reads the two lines that start with "Tcp:", of names and of numbers.
func parseSNMP(b []byte) (c tcpCounters, err error) {
	at := bytes.Index(b, []byte("Tcp:"))
	if at < 0 {
		return c, errProc
	}
	names, b, _ := bytes.Cut(b[at:], []byte("\n"))
	values, _, _ := bytes.Cut(b, []byte("\n"))
	found := 0
	for len(names) > 0 {
		var name, value []byte
		name, names = nextField(names)
		value, values = nextField(values)
		var into *int64
		switch string(name) {
		case "ActiveOpens":
			into = &c.activeOpens
		case "PassiveOpens":
			into = &c.passiveOpens
		case "CurrEstab":
			into = &c.currEstab
		case "InSegs":
			into = &c.inSegs
		default:
			continue
		}
		if *into, err = parseDecimal(value, 0); err != nil {
			return tcpCounters{}, errProc
		}
		found++
	}
	if found != 4 {
		return tcpCounters{}, errProc
	}
	return c, nil
}

// nextField cuts the first field off b; fields are separated by spaces, tabs and newlines.
func nextField(b []byte) (field, rest []byte) {
	i := 0
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	j := i
	for j < len(b) && !isSpace(b[j]) {
		j++
	}
	return b[i:j], b[j:]
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// A procFile is a file of /proc that is opened once and read again for each sample. An
// open file of /proc/PID belongs to that process for good: when it has ended, reading
// fails, whoever has its pid by then.
type procFile struct {
	f   *os.File
	err error // why it could not be opened
}

func openProc(path string) procFile {
	f, err := os.Open(path)
	return procFile{f, err}
}

// read reads the whole file into *buf, which it grows as needed.
func (p procFile) read(buf *[]byte) ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	n := 0
	for {
		if n == len(*buf) {
			*buf = append(*buf, make([]byte, max(4096, n))...)
		}
		k, err := p.f.ReadAt((*buf)[n:], int64(n))
		n += k
		if err == io.EOF {
			return (*buf)[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p procFile) close() {
	if p.f != nil {
		p.f.Close()
	}
}
