package memlog

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

var errNamespace = errors.New("the target lives in another network namespace; run memlog inside it")

// countLimit is how long counting may hold up a row. On a machine with nothing to spare, as while a
// million connections are being opened, it takes many times its processor time.
const countLimit = 5 * time.Second

// A family with more than wholeSearch descriptors in all is searched for listening sockets only among
// the lowest of each member: a server listens before it accepts. A look at a descriptor costs 2.5
// microseconds, and leaves the kernel with an entry in its cache of names, which is in slab_kb.
const (
	wholeSearch  = 32 << 10
	lowestSearch = 512
)

// A connCounter counts the established connections on the listening ports of a family.
//
// Which ports these are is found through the inodes of listening sockets: sock_diag tells
// all of the machine's, cheaply and each time, and the members' descriptors are searched
// only for inodes that are new, and only until one of those on the same address is found.
type connCounter struct {
	diag      *sockDiag
	seen      []diagSocket        // all listening sockets, as of the last look
	next      []diagSocket        // the other buffer for it
	members   []*member           // whose descriptors have been searched
	owned     map[endpoint]claim  // where the family listens, and how we know
	strangers map[uint32]endpoint // sockets that none of these members has, by inode
	own       []endpoint          // the keys of owned, sorted by port
	ports     []uint16            // theirs, each once

	snmp   procFile // /proc/net/snmp
	buf    []byte
	last   lastCount
	walks  share // of the socket table
	search share // through descriptors
}

// A claim is the listening socket, and the member that has it, through which we know that an
// endpoint is the family's.
type claim struct {
	inode uint32
	by    *member
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
func (c *connCounter) count(members []*member) (int64, error) {
	n, err := c.tryCount(members)
	if err != nil && err != errShare {
		c.close()
	}
	if err != nil {
		return NA, err
	}
	return n, nil
}

func (c *connCounter) tryCount(members []*member) (int64, error) {
	if err := c.open(members); err != nil {
		return NA, err
	}
	c.next = c.next[:0]
	if err := c.diag.dump(stateListen, nil, func(s diagSocket) { c.next = append(c.next, s) }); err != nil {
		return NA, err
	}
	if !slices.Equal(c.seen, c.next) || !slices.Equal(c.members, members) {
		if err := c.resolve(members); err != nil {
			return NA, err
		}
	}
	if len(c.own) == 0 {
		return NA, errNoListener
	}
	from, began := ownCPU(), time.Now()
	c.diag.until = began.Add(countLimit)
	n, walked, err := c.last.get(c.walks.due(began), c.counters, c.settled, c.countAll)
	c.diag.until = time.Time{}
	switch {
	case err == errLate: // so that the next of these does not hold up the next rows
		c.walks.spent(time.Now(), max(ownCPU()-from, time.Second)) // at most one row in half a minute is held up
	case walked:
		c.walks.spent(time.Now(), ownCPU()-from)
	}
	return n, err
}

// countAll lets the kernel describe all connections and counts them.
func (c *connCounter) countAll() (n int64, err error) {
	err = c.diag.dump(stateEstablished, c.ports, func(s diagSocket) {
		if c.accepted(s.local) {
			n++
		}
	})
	return n, err
}

// accepted reports whether a connection with this local end came in through one of the
// family's listeners. The port alone does not say so: a client that is bound to another
// loopback address may have the same.
func (c *connCounter) accepted(local endpoint) bool {
	i, _ := slices.BinarySearchFunc(c.own, local.port, func(e endpoint, port uint16) int { return cmp.Compare(e.port, port) })
	for ; i < len(c.own) && c.own[i].port == local.port; i++ {
		if e := &c.own[i]; e.family == local.family && (e.addr == local.addr || e.addr == [16]byte{}) {
			return true
		}
	}
	return false
}

func (c *connCounter) open(members []*member) (err error) {
	if c.diag != nil {
		return nil
	}
	for _, m := range members {
		if m.target && otherNamespace(m.dir) {
			return errNamespace
		}
	}
	if c.diag, err = openSockDiag(); err == nil {
		c.snmp = openProc("/proc/net/snmp")
	}
	return err
}

// settled reports whether no socket is on its way into or out of ESTABLISHED.
func (c *connCounter) settled() (settled bool, err error) {
	settled = true
	err = c.diag.dump(stateSynSent|stateSynRecv|stateCloseWait, nil, func(diagSocket) { settled = false })
	return settled, err
}

// ownCPU is the processor time that memlog itself has used.
func ownCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0 // it is there since Linux 2.6.12
	}
	return time.Duration(t.Nano())
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

// resolve makes next the listening sockets that are known, and finds the family's among them. If
// a search through the descriptors is not due yet, what is new has to wait for the next count.
func (c *connCounter) resolve(members []*member) error {
	from := ownCPU()
	news, strange := c.unknown(members)
	if c.search.due(time.Now()) {
		if err := c.searchMembers(members, news, strange); err != nil {
			return err
		}
		c.search.spent(time.Now(), ownCPU()-from)
		maps.Copy(c.strangers, news) // nobody has them
		maps.DeleteFunc(c.owned, func(e endpoint, by claim) bool { return !slices.Contains(members, by.by) || !c.listens(e, by.inode) })
		c.members = append(c.members[:0], members...)
		c.seen, c.next = c.next, c.seen
	}
	own := slices.SortedFunc(maps.Keys(c.owned), func(a, b endpoint) int {
		return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.family, b.family), bytes.Compare(a.addr[:], b.addr[:]))
	})
	if !slices.Equal(own, c.own) {
		c.last.forget()
	}
	c.own, c.ports = own, c.ports[:0]
	for _, e := range own {
		c.ports = append(c.ports, e.port)
	}
	c.ports = slices.Compact(c.ports)
	return nil
}

// listens reports whether a socket listens on an endpoint now.
func (c *connCounter) listens(e endpoint, inode uint32) bool {
	return slices.Contains(c.next, diagSocket{inode, e})
}

// unknown forgets where nobody listens any longer, and returns the sockets of those endpoints that
// are not known to be the family's, by inode: news, which nobody has been searched for, and
// strange, which the members of the last search do not have. An endpoint of ours whose socket, or
// whose member, has gone is among them.
func (c *connCounter) unknown(members []*member) (news, strange map[uint32]endpoint) {
	listening, heard := make(map[uint32]endpoint, len(c.next)), make(map[endpoint]bool, len(c.next))
	for _, l := range c.next {
		listening[l.inode], heard[l.local] = l.local, true
	}
	if c.owned == nil {
		c.owned, c.strangers = map[endpoint]claim{}, map[uint32]endpoint{}
	}
	maps.DeleteFunc(c.owned, func(e endpoint, _ claim) bool { return !heard[e] })
	maps.DeleteFunc(c.strangers, func(inode uint32, e endpoint) bool { return listening[inode] != e })
	news, strange = map[uint32]endpoint{}, map[uint32]endpoint{}
	for inode, e := range listening {
		by, ours := c.owned[e]
		_, known := c.strangers[inode]
		switch {
		case ours && listening[by.inode] == e && slices.Contains(members, by.by):
		case known:
			strange[inode] = e
		default:
			news[inode] = e
		}
	}
	return news, strange
}

// searchMembers looks through the members' descriptors for news, and those of members who are new
// themselves for strange too. With what it finds the endpoint is claimed, and none of its sockets
// are looked for any longer, or known as a stranger's: if the claim falls, they are news.
func (c *connCounter) searchMembers(members []*member, news, strange map[uint32]endpoint) error {
	most := searchDepth(members)
	for i := len(members) - 1; i >= 0; i-- { // what is new is most likely the youngest's
		m := members[i]
		fresh := !slices.Contains(c.members, m)
		left := func() bool { return len(news) > 0 || fresh && len(strange) > 0 }
		if !left() {
			continue
		}
		err := eachSocket(m.dir, most, func(inode uint32) bool {
			e, ok := news[inode]
			if !ok && fresh {
				e, ok = strange[inode]
			}
			if ok {
				c.owned[e] = claim{inode, m}
				same := func(_ uint32, other endpoint) bool { return other == e }
				maps.DeleteFunc(news, same)
				maps.DeleteFunc(strange, same)
				maps.DeleteFunc(c.strangers, same)
			}
			return left()
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) { // these have ended
			return err
		}
	}
	return nil
}

// searchDepth returns how many of each member's descriptors are to be searched.
func searchDepth(members []*member) int {
	all := int64(0)
	for _, m := range members {
		all += max(m.held.FDs, 0)
	}
	if all > wholeSearch {
		return lowestSearch
	}
	return math.MaxInt
}

// eachSocket calls f with the inode of each socket among the lowest so many descriptors of the process
// in dir, until f returns false. It reads the link of every descriptor.
func eachSocket(dir string, most int, f func(inode uint32) bool) error {
	var link [64]byte
	return eachEntry(dir+"/fd", func(d *os.File, name string) bool {
		if most--; most < 0 {
			return false
		}
		n, err := unix.Readlinkat(int(d.Fd()), name, link[:])
		if err != nil {
			return true // closed meanwhile
		}
		inode, ok := socketInode(link[:n])
		return !ok || f(inode)
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
	var only []uint16
	if port != anyPort {
		only = []uint16{uint16(port)}
	}
	portOf := map[uint32]int{}
	err = diag.dump(stateListen, only, func(s diagSocket) { portOf[s.inode] = int(s.local.port) })
	if err != nil {
		return nil, false, err
	}
	on = map[int][]int{}
	if len(portOf) == 0 {
		return on, false, nil
	}
	for _, pid := range pids {
		// It may have ended, or not be ours to look into.
		_ = eachSocket("/proc/"+strconv.Itoa(pid), math.MaxInt, func(inode uint32) bool {
			if port, ok := portOf[inode]; ok {
				on[pid] = append(on[pid], port)
			}
			return only == nil || len(on[pid]) == 0
		})
	}
	return on, true, nil
}
