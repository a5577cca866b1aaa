package doctor

import "fmt"

// acceptQueue is the server's. A ramp that is faster than accepting fills it, and each SYN that is lost costs its connection a second.
func acceptQueue(s Snapshot, n need) (Check, bool) {
	const name = "accept queue"
	if !n.Server {
		return Check{}, false
	}
	if s.Somaxconn == nil {
		return untold(name)
	}
	have, least := *s.Somaxconn, int64(handshakes)
	c := Check{Name: name, State: OK, Has: fmt.Sprintf("%s (somaxconn)", group(have)), Needs: fmt.Sprintf("%s handshakes at a time", group(least))}
	switch {
	case have < least:
		c.State = Missing
	case have < 4096 && int64(n.Conns) > have:
		c.State = Advice
		c.Needs += "; more at once (flood --rate, other clients) lose SYNs, and a second each"
	}
	if c.State != OK {
		c.Fix = []string{queueCommand(s.OS)}
	}
	return c, true
}

func queueCommand(os string) string {
	if os == "darwin" {
		return "sysctl -w kern.ipc.somaxconn=65535"
	}
	return "sysctl -w net.core.somaxconn=65535"
}

// synQueue bounds the handshakes of a listener where there are no SYN cookies (tcp_conn_request in net/ipv4/tcp_input.c): from three
// quarters of it on, who is not known is dropped. With cookies only the accept queue counts.
func synQueue(s Snapshot, n need) (Check, bool) {
	const name = "half-open handshakes"
	switch {
	case !n.Server:
		return Check{}, false
	case s.SynBacklog == nil:
		return untoldOnLinux(s, name)
	case s.SynCookies != nil && *s.SynCookies != 0:
		return Check{Name: name, State: OK, Has: fmt.Sprintf("%s (tcp_max_syn_backlog), and SYN cookies beyond", group(*s.SynBacklog))}, true
	}
	have, least := *s.SynBacklog, int64(handshakes*4/3)
	c := Check{Name: name, State: OK, Has: fmt.Sprintf("%s (tcp_max_syn_backlog, without SYN cookies)", group(have)), Needs: group(least)}
	if have < least {
		c.State, c.Fix = Missing, []string{"sysctl -w net.ipv4.tcp_max_syn_backlog=65535"}
	}
	return c, true
}

// tcpMemory bounds what is queued in all sockets together. An idle connection has nothing queued; a page for each message of a second
// in which nobody reads is what is asked of it here.
func tcpMemory(s Snapshot, n need) (Check, bool) {
	const name = "memory for TCP buffers"
	if s.TCPMem == nil {
		return untoldOnLinux(s, name)
	}
	pressure, used := s.TCPMem[1], valueOf(s.TCPPages)
	waiting := int64(n.Rate)
	need := used + waiting
	c := Check{Name: name, State: OK, Has: fmt.Sprintf("%s before the kernel saves (tcp_mem), %s in use", size(pressure*s.Page), size(used*s.Page)),
		Needs: fmt.Sprintf("%s for a second's messages that wait", size(waiting*s.Page))}
	if need > pressure {
		high := roundUp(2 * need)
		c.State = Missing
		c.Fix = []string{fmt.Sprintf(`sysctl -w net.ipv4.tcp_mem="%d %d %d"`, high/2, high*3/4, high)}
	}
	return c, true
}

// buffers of a socket whose reader does not read.
func buffers(s Snapshot, n need) (Check, bool) {
	if s.TCPRmem == nil || s.TCPWmem == nil {
		return untoldOnLinux(s, "buffers of a connection")
	}
	return Check{Name: "buffers of a connection", State: OK, Has: fmt.Sprintf("none while it is idle; who does not read may fill %s at its end and %s at the server's (tcp_rmem, tcp_wmem)",
		size(s.TCPRmem[2]), size(s.TCPWmem[2]))}, true
}

// tracking of connections, by a firewall's rules. Loopback has one entry for both ends, and so has each connection to elsewhere.
func tracking(s Snapshot, n need) (Check, bool) {
	const name = "connection tracking"
	if s.TrackMax == nil {
		return Check{}, false // the module is not loaded
	}
	tracked := valueOf(s.TrackCount)
	most := max(*s.TrackMax-tracked, 0)
	c := Check{Name: name, State: n.bounded(most), Has: fmt.Sprintf("%s entries (nf_conntrack_max), %s in use", group(*s.TrackMax), group(tracked)), Needs: group(tracked + int64(n.Conns))}
	if c.State == Missing {
		c.Fix = []string{fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", roundUp(tracked+int64(n.Conns)))}
		c.Else = "do not track these ports (iptables -t raw ... -j NOTRACK)"
	}
	if s.TrackCount == nil || tracked > 0 {
		c.Most = new(most)
		return c, true
	}
	// No rule asks for it, as far as one can see.
	c.Has = fmt.Sprintf("%s entries (nf_conntrack_max), and nothing is tracked now", group(*s.TrackMax))
	if c.State == Missing {
		c.State, c.Else = Advice, "leave it, while no rule of a firewall tracks connections"
	}
	return c, true
}

// watches of epoll: each connection's end is one, and they are counted for the user.
func watches(s Snapshot, n need) (Check, bool) {
	const name = "epoll watches"
	if s.Watches == nil {
		return untoldOnLinux(s, name)
	}
	most := *s.Watches / n.ends
	need := int64(n.Conns) * n.ends
	c := Check{Name: name, State: n.bounded(most), Most: new(most), Has: group(*s.Watches) + " for a user (fs.epoll.max_user_watches)", Needs: group(need)}
	if c.State == Missing {
		c.Fix = []string{fmt.Sprintf("sysctl -w fs.epoll.max_user_watches=%d", roundUp(need))}
	}
	return c, true
}
