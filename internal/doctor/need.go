package doctor

import (
	"math"

	"cometctl/internal/rlimit"
)

// What things cost, on x86-64 with Linux 6.18; docs/limits.md and docs/benchmarks.md have the measurements. They are rounded
// up: a machine that is found to be large enough should be.
const (
	kernelPerEnd  = 4200     // bytes of the kernel's for one end of an idle connection that epoll watches
	servedAlone   = 200      // bytes of a server's own for each, in one process
	servedAmong   = 1300     // the same where it is one of many on NATS, which know of each id
	heldPerConn   = 300      // bytes of a flood's own for each
	perProcess    = 16 << 20 // an empty process of either side
	filesEach     = rlimit.Reserve
	tasksEach     = 16    // threads of a process of ours
	handshakes    = 64    // that a flood has under way; the workers of a server have a queue each
	headroom      = 1.03  // of a shared port: the kernel spreads its connections by hash, unevenly
	perMessage    = 10e-6 // seconds of processor time that a message costs all pieces together: generator, server, client
	loopbackAddrs = 1<<24 - 2
)

// need is what is asked, in the machine's own terms.
type need struct {
	Ask
	workers int   // processes of each side
	each    int64 // connections that one of them may hold; MaxInt64: any number
	ends    int64 // of each connection that are on this machine
	sources int64 // addresses to connect from
}

func needOf(s Snapshot, a Ask) need {
	n := need{Ask: a, workers: a.Workers, each: math.MaxInt64, sources: max(a.Sources, 1)}
	if s.FilesHard != nil {
		n.each = max(*s.FilesHard-filesEach, 0)
	}
	if a.Workers == 0 {
		n.workers = n.enough()
	}
	if a.Server {
		n.ends++
	}
	if a.Client {
		n.ends++
	}
	if a.Sources == 0 && a.Loopback && s.OS == "linux" {
		n.sources = loopbackAddrs
	}
	return n
}

// enough is how many processes of each side hold all connections.
func (n need) enough() int {
	if int64(n.Conns) <= n.each || n.each < 1 {
		return 1
	}
	share := float64(n.Conns) / float64(n.each)
	if n.Server {
		share *= headroom
	}
	return int(math.Ceil(share))
}

// processes of both sides.
func (n need) processes() int64 { return n.ends * int64(n.workers) }

// user is what a connection costs the processes on this machine.
func (n need) user() int64 {
	b := int64(0)
	if n.Client {
		b += heldPerConn
	}
	if n.Server && n.workers > 1 {
		return b + servedAmong
	} else if n.Server {
		b += servedAlone
	}
	return b
}

// perConn is what a connection costs in all: both ends' share of the kernel, and of the processes.
func (n need) perConn() int64 { return n.ends*kernelPerEnd + n.user() }

func (n need) bytes() int64 { return int64(n.Conns)*n.perConn() + n.processes()*perProcess }
