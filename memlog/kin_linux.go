package memlog

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A kin tells who a process's children are, from /proc/PID/task/TID/children: a child belongs to
// the thread that made it, so all threads are asked, and nobody but the family is looked at. A
// kernel without CONFIG_PROC_CHILDREN has no such files; there all processes of the machine are
// asked for their parents.
type kin struct {
	births  births
	loadavg procFile      // tells the pid that was given out last
	scan    bool          // there are no children files
	of      map[int][]int // with scan: everybody's children, in this walk
	found   []int
	buf     []byte
}

func openKin() kin {
	_, err := os.Stat("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
	return kin{loadavg: openProc("/proc/loadavg"), scan: err != nil, buf: make([]byte, 8<<10)}
}

func (k *kin) close() { k.loadavg.close() }

// unchanged reports whether nobody can have got a child since the last walk through the family. If
// it returns false, that walk is to follow, and a call of walked behind it.
func (k *kin) unchanged() bool {
	k.of = nil
	pid := int64(NA)
	if b, err := k.loadavg.read(&k.buf); err == nil {
		if pid, err = parseLastPID(b); err != nil {
			pid = NA
		}
	}
	return k.births.none(pid)
}

// walked ends a walk; found says whether it found somebody new.
func (k *kin) walked(found bool) { k.births.walked(found) }

// children returns the pids of a process's children. The slice is the kin's, until the next call.
func (k *kin) children(pid int) []int {
	if k.scan {
		if k.of == nil {
			k.of = allChildren()
		}
		return k.of[pid]
	}
	k.found = k.found[:0]
	_ = eachEntry("/proc/"+strconv.Itoa(pid)+"/task", func(d *os.File, tid string) bool { // it has ended if it cannot be opened
		k.found = appendPIDs(k.found, k.readAt(int(d.Fd()), tid+"/children"))
		return true
	})
	return k.found
}

// readAt reads a file below an open directory; nothing if it cannot be read, or no longer. It is
// called for every thread of the family.
func (k *kin) readAt(dir int, path string) []byte {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	for n := 0; ; {
		if n == len(k.buf) {
			k.buf = append(k.buf, make([]byte, n)...)
		}
		m, err := unix.Read(fd, k.buf[n:])
		if err == unix.EINTR {
			continue
		}
		if m <= 0 || err != nil {
			return k.buf[:n]
		}
		n += m
	}
}

// appendPIDs appends the numbers of a children file, "12 345 ". It stops at what is none.
func appendPIDs(pids []int, b []byte) []int {
	for {
		var cell []byte
		cell, b = nextField(b)
		n, err := parseDecimal(cell, 0)
		if err != nil || n > 1<<31-1 {
			return pids
		}
		pids = append(pids, int(n))
	}
}

// allChildren reads who is whose child on the whole machine.
func allChildren() map[int][]int {
	of := make(map[int][]int)
	_ = eachProcess(func(pid int) {
		if st, err := readStat(pid); err == nil {
			of[int(st.ppid)] = append(of[int(st.ppid)], pid)
		}
	})
	return of
}

// births tells whether a process has been born, anywhere on the machine, since the last walk through
// a family, from the pid that was given out last. As long as that stands still there is nothing to
// look for.
//
// A pid is given out a moment before its process is among its parent's children, and a list of
// children that is read while one of them ends may lack another. So a walk is only believed to
// have found everybody if the pid stood still before it already, and nobody new was found.
type births struct {
	last   int64 // the pid before the last walk
	steady bool  // it was the same before the walk before that one
	quiet  bool  // and the last walk found nobody
}

// none reports whether nobody has been born; pid is the one given out last, NA if it is not known.
// If none returns false, a walk and a call of walked are to follow.
func (b *births) none(pid int64) bool {
	same := pid >= 0 && pid == b.last
	if same && b.quiet {
		return true
	}
	b.last, b.steady = pid, same
	return false
}

func (b *births) walked(found bool) { b.quiet = b.steady && !found }
