package memlog

import (
	"bytes"
	"errors"
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
	seen  []listener      // all listening sockets, as of the last look
	next  []listener      // the other buffer for it
	owned map[uint32]bool // by inode, for all of seen: is it the target's?
	ports []listener      // the target's, each family and port once
}

func (c *connCounter) close() {
	if c.diag != nil {
		c.diag.close()
		c.diag = nil
	}
}

// count returns the number of established connections.
func (c *connCounter) count() (int64, error) {
	n, err := c.tryCount()
	if err != nil {
		c.close() // the socket may hold the rest of a dump
		return NA, err
	}
	return n, nil
}

func (c *connCounter) tryCount() (n int64, err error) {
	if c.diag == nil {
		if otherNamespace(c.dir) {
			return NA, errNamespace
		}
		if c.diag, err = openSockDiag(); err != nil {
			return NA, err
		}
	}
	if c.next, err = c.diag.listeners(c.next[:0]); err != nil {
		return NA, err
	}
	if !slices.Equal(c.seen, c.next) {
		if err := c.resolve(); err != nil {
			return NA, err
		}
	}
	if len(c.ports) == 0 {
		return NA, errNoListener
	}
	for _, p := range c.ports {
		k, err := c.diag.count(p.family, stateEstablished, p.port)
		if err != nil {
			return NA, err
		}
		n += k
	}
	return n, nil
}

// resolve makes next the listening sockets that are known, and finds the target's among them.
func (c *connCounter) resolve() error {
	owned, news := make(map[uint32]bool, len(c.next)), 0
	for _, l := range c.next {
		mine, known := c.owned[l.inode]
		owned[l.inode] = mine
		if !known {
			news++
		}
	}
	if news > 0 {
		if err := ownSockets(c.dir, owned); err != nil {
			return err
		}
	}
	c.owned = owned
	c.seen, c.next = c.next, c.seen
	c.ports = c.ports[:0]
	for _, l := range c.seen {
		if owned[l.inode] {
			c.ports = append(c.ports, listener{family: l.family, port: l.port})
		}
	}
	slices.SortFunc(c.ports, func(a, b listener) int {
		return int(a.port)<<8 + int(a.family) - int(b.port)<<8 - int(b.family)
	})
	c.ports = slices.Compact(c.ports)
	return nil
}

// ownSockets sets in of[inode], for the inodes that are there, whether the process in dir
// has a descriptor of that socket. It reads the link of every descriptor: some 40 ms for 20,000.
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

// listening returns the pids of the processes that listen on the TCP port, in no order, and
// whether anybody does: processes of other users cannot be looked into.
func listening(pids []int, port int) (on map[int]bool, anybody bool, err error) {
	diag, err := openSockDiag()
	if err != nil {
		return nil, false, err
	}
	defer diag.close()
	all, err := diag.listeners(nil)
	if err != nil {
		return nil, false, err
	}
	inodes := map[uint32]bool{}
	for _, l := range all {
		if int(l.port) == port {
			inodes[l.inode] = false
		}
	}
	on = map[int]bool{}
	if len(inodes) == 0 {
		return on, false, nil
	}
	for _, pid := range pids {
		if ownSockets("/proc/"+strconv.Itoa(pid), inodes) != nil {
			continue // ended, or not ours to look into
		}
		for _, mine := range inodes {
			if mine {
				on[pid] = true
			}
		}
	}
	return on, true, nil
}
