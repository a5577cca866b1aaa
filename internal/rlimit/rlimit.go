// Package rlimit knows how many descriptors this process may hold, and explains
// it before anything is opened.
//
// A connection is a descriptor on each side. Who asks for more connections than
// the limit allows must not find out at connection 19,937 of 25,000 with an
// EMFILE in a log: server, flood and soak call Check first, which raises the soft
// limit to the hard one (any process may) and says, where that is not enough, what
// is needed, what there is, and how many would be possible.
//
// Two more limits that a fast ramp meets are only read here: the longest accept
// queue (Somaxconn) and the range of ephemeral ports (Ports). Beyond them nothing
// fails in this process, so that their owners warn or work around.
//
// The limits belong to the process, not to a value: any goroutine may call
// anything here, and the package holds no state.
package rlimit

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Unlimited is the value of a limit that the system does not set.
const Unlimited uint64 = math.MaxUint64

// Reserve is how many descriptors Check sets aside for everything that is not a
// connection: standard streams, logs, listeners, epoll instances, the admin
// listener's clients.
const Reserve = 64

// ErrUnknown is returned by Somaxconn and Ports on systems where we do not know
// where to read them.
var ErrUnknown = errors.New("rlimit: not known on this system")

// Files is the limit of open descriptors of this process. The soft limit is in
// force, the hard limit is how far the process may raise it. Either may be
// Unlimited.
type Files struct {
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}

// Shortage is the error of Check: more was asked for than the hard limit allows.
type Shortage struct {
	What  string // what was asked for, a plural: "connections"
	Asked int    // how many of them
	Need  uint64 // descriptors that takes, Reserve included
	Hard  uint64 // descriptors that the process may have
}

// Possible returns how many would have been possible, which may be none.
func (e *Shortage) Possible() int {
	if e.Hard <= Reserve {
		return 0
	}
	return int(min(e.Hard-Reserve, math.MaxInt))
}

// Error says what is needed, what there is, and the two ways out. The caller puts
// its own name in front.
func (e *Shortage) Error() string {
	return fmt.Sprintf("%d %s need %d file descriptors, the hard limit here is %d; raise it (ulimit -Hn) or ask for at most %d",
		e.Asked, e.What, e.Need, e.Hard, e.Possible())
}

// Check makes sure that this process may hold n descriptors for what (a plural,
// as it stands in the error) and Reserve others. It raises the soft limit where
// that is needed. It returns a *Shortage if the hard limit is too low.
func Check(n int, what string) error {
	limit, err := Raise()
	if err != nil {
		return err
	}
	return limit.check(n, what)
}

func (f Files) check(n int, what string) error {
	need := uint64(max(n, 0)) + Reserve
	if need <= f.Hard {
		return nil
	}
	return &Shortage{What: what, Asked: n, Need: need, Hard: f.Hard}
}

// parsePorts reads the two numbers of /proc/sys/net/ipv4/ip_local_port_range.
func parsePorts(text string) (lo, hi int, err error) {
	fields := strings.Fields(text)
	if len(fields) == 2 {
		lo, err = strconv.Atoi(fields[0])
		if err == nil {
			hi, err = strconv.Atoi(fields[1])
		}
		if err == nil && 0 < lo && lo <= hi && hi <= math.MaxUint16 {
			return lo, hi, nil
		}
	}
	return 0, 0, fmt.Errorf("rlimit: %q is no range of ports", text)
}
