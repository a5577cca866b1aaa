package memlog

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

var errNamespace = errors.New("the target lives in another network namespace; run memlog inside it")

// A connCounter counts the established connections on the listening ports of one process.
//
// Which ports these are is found through the inodes of listening sockets: sock_diag tells
// all of the machine's, cheaply and each time, and the process's descriptors are searched
// only for inodes that are new.
type connCounter struct {
	dir   string          // /proc/PID
	diag  *sockDiag       // nil before the first count and after an error
	seen  []diagSocket    // all listening sockets, as of the last look
	next  []diagSocket    // the other buffer for it
	owned map[uint32]bool // by inode, for all of seen: is it the target's?
	own   []endpoint      // the target's, sorted by port, each once

	snmp procFile // /proc/net/snmp
	buf  []byte
	last lastCount
}

func (c *connCounter) close() {
	if c.diag != nil {
		c.diag.close()
		c.snmp.close()
		c.diag = nil
	}
	c.last.forget()
}

// count returns the number of established connections.
func (c *connCounter) count() (int64, error) {
	n, err := c.tryCount()
	if err != nil {
		c.close()
		return NA, err
	}
	return n, nil
}

func (c *connCounter) tryCount() (int64, error) {
	if err := c.open(); err != nil {
		return NA, err
	}
	c.next = c.next[:0]
	if err := c.diag.dump(stateListen, 0, func(s diagSocket) { c.next = append(c.next, s) }); err != nil {
		return NA, err
	}
	if !slices.Equal(c.seen, c.next) {
		c.last.forget()
		if err := c.resolve(); err != nil {
			return NA, err
		}
	}
	if len(c.own) == 0 {
		return NA, errNoListener
	}
	return c.last.get(c.counters, c.settled, c.countAll)
}

// countAll lets the kernel describe all connections and counts them.
func (c *connCounter) countAll() (n int64, err error) {
	for i, e := range c.own {
		if i > 0 && e.port == c.own[i-1].port {
			continue // counted with it
		}
		err := c.diag.dump(stateEstablished, e.port, func(s diagSocket) {
			if c.accepted(s.local) {
				n++
			}
		})
		if err != nil {
			return NA, err
		}
	}
	return n, nil
}

// accepted reports whether a connection with this local end came in through one of the
// target's listeners. The port alone does not say so: a client that is bound to another
// loopback address may have the same.
func (c *connCounter) accepted(local endpoint) bool {
	for _, e := range c.own {
		if e.port == local.port && e.family == local.family && (e.addr == local.addr || e.addr == [16]byte{}) {
			return true
		}
	}
	return false
}

func (c *connCounter) open() (err error) {
	if c.diag != nil {
		return nil
	}
	if otherNamespace(c.dir) {
		return errNamespace
	}
	if c.diag, err = openSockDiag(); err == nil {
		c.snmp = openProc("/proc/net/snmp")
	}
	return err
}

// settled reports whether no socket is on its way into or out of ESTABLISHED.
func (c *connCounter) settled() (settled bool, err error) {
	settled = true
	err = c.diag.dump(stateSynSent|stateSynRecv|stateCloseWait, 0, func(diagSocket) { settled = false })
	return settled, err
}

// counters reads the network namespace's.
func (c *connCounter) counters() (tcpCounters, bool) {
	b, err := c.snmp.read(&c.buf)
	if err != nil {
		return tcpCounters{}, false
	}
	counters, err := parseSNMP(b)
	return counters, err == nil
}

// resolve makes next the listening sockets that are known, and finds the target's among them.
func (c *connCounter) resolve() error {
	owned, news := make(map[uint32]bool, len(c.next)), map[uint32]bool{}
	for _, l := range c.next {
		if mine, known := c.owned[l.inode]; known {
			owned[l.inode] = mine
		} else {
			news[l.inode] = false
		}
	}
	if len(news) > 0 {
		if err := ownSockets(c.dir, news); err != nil {
			return err
		}
		maps.Copy(owned, news)
	}
	c.owned = owned
	c.seen, c.next = c.next, c.seen
	c.own = c.own[:0]
	for _, l := range c.seen {
		if owned[l.inode] {
			c.own = append(c.own, l.local)
		}
	}
	slices.SortFunc(c.own, func(a, b endpoint) int {
		return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.family, b.family), bytes.Compare(a.addr[:], b.addr[:]))
	})
	c.own = slices.Compact(c.own)
	return nil
}

// ownSockets says of each inode in of whether the process in dir has a descriptor of that
// socket. It reads the link of every descriptor, which takes some 50 ms for 20,000.
func ownSockets(dir string, of map[uint32]bool) error {
	for inode := range of {
		of[inode] = false
	}
	var link [64]byte
	return eachFD(dir+"/fd", func(d *os.File, name string) {
		n, err := unix.Readlinkat(int(d.Fd()), name, link[:])
		if err != nil {
			return // closed meanwhile
		}
		if inode, ok := socketInode(link[:n]); ok {
			if _, wanted := of[inode]; wanted {
				of[inode] = true
			}
		}
	})
}

// socketInode reads a descriptor's link, "socket:[12345]".
func socketInode(link []byte) (uint32, bool) {
	digits, ok := bytes.CutPrefix(link, []byte("socket:["))
	if !ok {
		return 0, false
	}
	digits, ok = bytes.CutSuffix(digits, []byte("]"))
	n, err := parseDecimal(digits, 0)
	return uint32(n), ok && err == nil && n < 1<<32
}

// otherNamespace reports whether the process in dir has other network interfaces, and so
// other sockets, than we do. If that cannot be seen it is taken to have the same.
func otherNamespace(dir string) bool {
	theirs, err := os.Readlink(dir + "/ns/net")
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	return err == nil && ours != theirs
}

// listening returns which of the processes listen on the TCP port, or on which ports each
// does for anyPort, and whether anybody does: processes of other users cannot be looked into.
func listening(pids []int, port int) (on map[int][]int, anybody bool, err error) {
	diag, err := openSockDiag()
	if err != nil {
		return nil, false, err
	}
	defer diag.close()
	inodes, portOf := map[uint32]bool{}, map[uint32]int{}
	err = diag.dump(stateListen, uint16(max(port, 0)), func(s diagSocket) {
		inodes[s.inode], portOf[s.inode] = false, int(s.local.port)
	})
	if err != nil {
		return nil, false, err
	}
	on = map[int][]int{}
	if len(inodes) == 0 {
		return on, false, nil
	}
	for _, pid := range pids {
		if ownSockets("/proc/"+strconv.Itoa(pid), inodes) != nil {
			continue // ended, or not ours to look into
		}
		for inode, mine := range inodes {
			if mine {
				on[pid] = append(on[pid], portOf[inode])
			}
		}
	}
	return on, true, nil
}
