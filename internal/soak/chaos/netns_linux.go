package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// networks is a place of network namespaces that the run makes: one for each site, and the hub in the middle. In the hub are two bridges. Over
// "access" go connections, publishers, and the clients of NATS; over "backbone" only what NATS servers tell each other. A site has an interface
// on each. Nothing of it touches the machine's own network, and no address leads out.
//
//	hub:     access 10.77.0.1                  backbone, without an address
//	site i:  access 10.77.0.(10+i)             backbone 10.78.0.(10+i)
type networks struct {
	prefix string // of the namespaces' names; holds our pid
	sites  int
}

// namespacePattern is how the namespaces of all runs are named; what is in it is the run's pid.
var namespacePattern = regexp.MustCompile(`^cometctl-chaos-(\d+)-(?:hub|\d+)$`)

// canCut tells why this process cannot make networks of its own; nothing if it can.
func canCut() string {
	if os.Geteuid() != 0 {
		return "only root can make network namespaces"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "there is no ip(8), of iproute2, to make network namespaces with"
	}
	return ""
}

// newNetworks makes the namespaces, after those of runs that were killed are removed.
func newNetworks(sites int) (place, error) {
	removeStale()
	n := &networks{prefix: fmt.Sprintf("cometctl-chaos-%d-", os.Getpid()), sites: sites}
	if err := n.make(); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// removeStale removes the namespaces of runs whose process is gone.
func removeStale() {
	for _, name := range namespaces() {
		m := namespacePattern.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			ip("netns", "del", name) // another run may be just as quick
		}
	}
}

// namespaces lists the names of all network namespaces that have one.
func namespaces() (names []string) {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// ip runs ip(8).
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("chaos: ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (n *networks) hub() string          { return n.prefix + "hub" }
func (n *networks) site(site int) string { return n.prefix + strconv.Itoa(site) }

// The two networks, each a bridge in the hub and an interface at each site.
var nets = []struct{ bridge, prefix string }{{"access", "10.77.0."}, {"backbone", "10.78.0."}}

func accessAddress(site int) string   { return nets[0].prefix + strconv.Itoa(10+site) }
func backboneAddress(site int) string { return nets[1].prefix + strconv.Itoa(10+site) }

// port is the name, in the hub, of a site's end of a network: a1, b1.
func port(bridge string, site int) string { return bridge[:1] + strconv.Itoa(site) }

func (n *networks) make() error {
	steps := [][]string{
		{"netns", "add", n.hub()},
		{"-n", n.hub(), "link", "set", "lo", "up"},
	}
	for _, net := range nets {
		steps = append(steps,
			[]string{"-n", n.hub(), "link", "add", net.bridge, "type", "bridge"},
			[]string{"-n", n.hub(), "link", "set", net.bridge, "up"})
	}
	steps = append(steps, []string{"-n", n.hub(), "addr", "add", nets[0].prefix + "1/24", "dev", nets[0].bridge})
	for site := 1; site <= n.sites; site++ {
		steps = append(steps,
			[]string{"netns", "add", n.site(site)},
			[]string{"-n", n.site(site), "link", "set", "lo", "up"})
		for _, net := range nets {
			end := port(net.bridge, site)
			steps = append(steps,
				[]string{"-n", n.hub(), "link", "add", end, "type", "veth", "peer", "name", net.bridge, "netns", n.site(site)},
				[]string{"-n", n.hub(), "link", "set", end, "master", net.bridge, "up"},
				[]string{"-n", n.site(site), "addr", "add", net.prefix + strconv.Itoa(10+site) + "/24", "dev", net.bridge},
				[]string{"-n", n.site(site), "link", "set", net.bridge, "up"})
		}
	}
	for _, args := range steps {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// node gives fixed ports: nobody else is there.
func (n *networks) node(k kind, site int) (node, error) {
	at := func(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
	access := accessAddress(site)
	out := node{name: nodeName(k, site), kind: k, site: site}
	switch k {
	case natsKind:
		out.admin, out.client, out.route = at(access, 8201), at(access, 4222), at(backboneAddress(site), 6222)
	case frontKind:
		out.admin, out.listen = at(access, 8001), at(access, 8000)
	case parentKind:
		out.admin, out.listen = at(access, 8101), at(access, 8100)
	}
	return out, nil
}

func (n *networks) command(site int, program string, args []string) []string {
	where := n.hub()
	if site > 0 {
		where = n.site(site)
	}
	return append([]string{"ip", "netns", "exec", where, program}, args...)
}

// dial connects from within the hub, to a literal address: so the socket is made in the goroutine that asks for it.
func (n *networks) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = n.in(n.hub(), func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// in runs f within a namespace. A socket belongs for ever to the namespace of the thread that made it. The thread that enters one dies with
// its goroutine, which never unlocks it: no other goroutine gets there by accident.
func (n *networks) in(namespace string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- enter(namespace, f)
	}()
	return <-done
}

func enter(namespace string, f func() error) error {
	file, err := os.Open("/var/run/netns/" + namespace)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("setns", err)
	}
	return f()
}

func (n *networks) far() bool { return true }

func (n *networks) cut(site int, off bool) error {
	state := "up"
	if off {
		state = "down"
	}
	return ip("-n", n.hub(), "link", "set", port(nets[1].bridge, site), state)
}

// close removes the namespaces, and with them all that is in them.
func (n *networks) close() error {
	var errs []error
	for _, name := range namespaces() {
		if strings.HasPrefix(name, n.prefix) {
			errs = append(errs, ip("netns", "del", name))
		}
	}
	return errors.Join(errs...)
}
