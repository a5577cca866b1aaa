package netloop

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Group is the listening sockets of one address, opened by a process that accepts nothing itself: it hands each socket to another
// process (File, Engine.Inherit) and says by Steer who gets new connections. While it keeps its own copies, the end of such a
// process, however sudden, resets nobody: what waits in a socket's queue waits for whoever is given that socket next.
//
// The methods of a Group may be called from any goroutine. After Close they fail with ErrClosed.
type Group struct {
	addr netip.AddrPort

	mu  sync.Mutex
	fds []int32 // in the order in which they joined, which is how the kernel counts them; nil once closed
}

// ListenGroup opens n listening sockets on addr ("127.0.0.1:8000"; port 0 picks one). New connections go to all of them alike until Steer
// says otherwise. Only Linux has this; elsewhere it fails with errors.ErrUnsupported.
func ListenGroup(addr string, n int) (*Group, error) {
	if n < 1 || n > MaxGroup {
		return nil, fmt.Errorf("netloop: a group of %d sockets; 1 to %d are possible", n, MaxGroup)
	}
	want, err := resolve(addr)
	if err != nil {
		return nil, err
	}
	fds, bound, err := listenGroup(want, n)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &Group{addr: bound, fds: fds}, nil
}

// Addr is the address that was bound.
func (g *Group) Addr() netip.AddrPort { return g.addr }

// File returns a copy of socket i, to be handed to a process that accepts on it. The caller closes it.
func (g *Group) File(i int) (*os.File, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fds == nil {
		return nil, ErrClosed
	}
	fd, err := unix.FcntlInt(uintptr(g.fds[i]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), fmt.Sprintf("listener %d of %s", i, g.addr)), nil
}

// Accept takes the next connection from socket i's queue, for whoever will Take it; fd is -1 where nobody waits. So nobody needs to wait for a
// process that is full or dead.
func (g *Group) Accept(i int) (fd int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fds == nil {
		return -1, ErrClosed
	}
	for {
		fd, e := sysAccept(int(g.fds[i]))
		switch e {
		case 0:
			return fd, nil
		case unix.EAGAIN:
			return -1, nil
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			return -1, os.NewSyscallError("accept", e)
		}
	}
}

// Waiting is the number of connections that are established and wait in socket i's queue to be accepted.
func (g *Group) Waiting(i int) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fds == nil {
		return 0, ErrClosed
	}
	info, err := unix.GetsockoptTCPInfo(int(g.fds[i]), unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt", err)
	}
	return int(info.Unacked), nil // of a listening socket: sk_ack_backlog, see tcp_get_info
}

// Steer makes each new connection go to socket i with a probability of weights[i] in their sum. A socket of weight 0 has left the group:
// it keeps what waits in its queue and gets nothing more. Weights that are all 0 let everybody have the same. Connections whose
// handshake has begun go where they were going to. A negative weight is 0.
func (g *Group) Steer(weights []int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fds == nil {
		return ErrClosed
	}
	if len(weights) != len(g.fds) {
		return fmt.Errorf("netloop: %d weights for %d sockets", len(weights), len(g.fds))
	}
	prog := steering(weights)
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// Any socket will do: the program belongs to the group.
	err := unix.SetsockoptSockFprog(int(g.fds[0]), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &fprog)
	return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", err)
}

// Close lets go of the sockets. One that nobody else has ends, and resets who waits in its queue.
func (g *Group) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, fd := range g.fds {
		sysClose(fd)
	}
	g.fds = nil
	return nil
}

// steering is a classic BPF program (socket(7), SO_ATTACH_REUSEPORT_CBPF; linux/filter.h) that returns the index of a socket. It draws a 32-bit
// random number and compares it with the running sum of the weights, scaled to 32 bits: a jump and a return for each socket. A chain and no tree,
// because a conditional jump reaches no further than 255 instructions; it runs once per connection, which costs thousands of times as much.
func steering(weights []int) []unix.SockFilter {
	const adRandom = -0x1000 + 56 // SKF_AD_OFF + SKF_AD_RANDOM
	if slices.Max(weights) <= 0 {
		weights = slices.Repeat([]int{1}, len(weights))
	}
	total, last := 0.0, 0
	for i, w := range weights {
		if w > 0 {
			total, last = total+float64(w), i
		}
	}
	prog := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(adRandom & math.MaxUint32)}}
	end := 0.0
	for i, w := range weights[:last] {
		if w <= 0 {
			continue
		}
		end += float64(w)
		// A number at or above this socket's end belongs to a later one.
		prog = append(prog,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, Jt: 1, K: uint32(end / total * (1 << 32))},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(i)})
	}
	return append(prog, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(last)})
}
