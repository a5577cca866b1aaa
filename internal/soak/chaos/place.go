package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"

	"cometctl/internal/rlimit"
)

// place is where the nodes are: on this machine's loopback addresses, or in networks of their own.
type place interface {
	// node gives a node its name and its addresses.
	node(k kind, site int) (node, error)
	// command is the command line that runs program with args at a site; site 0 is where the clients are.
	command(site int, program string, args []string) []string
	// dial connects to an address of a node.
	dial(ctx context.Context, network, addr string) (net.Conn, error)
	// far tells that the addresses are not loopback ones.
	far() bool
	// cut takes a site off the network between the NATS servers, or brings it back.
	cut(site int, off bool) error
	// close takes everything down again.
	close() error
}

// loopback is a place whose nodes are all on 127.0.0.1. Nothing can be cut there.
type loopback struct {
	taken map[int]bool
	below int // the first port that the system gives to clients
}

// The ports of nodes lie below those that the system gives to clients: in the second in which a front is down, one of the many connections that
// are dialed again might get the front's own port as its source, and would connect to itself.
const lowestPort, usualClientPorts = 10000, 32768

func newLoopback() *loopback {
	below, _, err := rlimit.Ports()
	if err != nil || below <= lowestPort+1000 {
		below = usualClientPorts
	}
	return &loopback{taken: map[int]bool{}, below: below}
}

func (l *loopback) node(k kind, site int) (n node, err error) {
	n = node{name: nodeName(k, site), kind: k, site: site}
	want := []*string{&n.admin, &n.listen}
	if k == natsKind {
		want = []*string{&n.admin, &n.client, &n.route}
	}
	for _, address := range want {
		if *address, err = l.free(); err != nil {
			return node{}, err
		}
	}
	return n, nil
}

// free finds an address that nobody listens on.
func (l *loopback) free() (string, error) {
	var last error
	for range 1000 {
		port := lowestPort + rand.IntN(l.below-lowestPort)
		if l.taken[port] {
			continue
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		ln, err := net.Listen("tcp", address)
		if err != nil {
			last = err
			continue
		}
		ln.Close()
		l.taken[port] = true
		return address, nil
	}
	return "", fmt.Errorf("chaos: no free port from %d to %d: %w", lowestPort, l.below, last)
}

func (l *loopback) command(_ int, program string, args []string) []string {
	return append([]string{program}, args...)
}

func (l *loopback) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (l *loopback) far() bool           { return false }
func (l *loopback) cut(int, bool) error { return fmt.Errorf("chaos: nothing can be cut on loopback") }
func (l *loopback) close() error        { return nil }
