package msggen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"cometctl/internal/broker"
)

// isNATS tells whether Config.To names NATS servers, or would if it did not name something else beside them.
func isNATS(to string) bool {
	on := func(s string) bool {
		scheme, _, ok := strings.Cut(strings.TrimSpace(s), "://")
		return ok && (strings.EqualFold(scheme, "nats") || strings.EqualFold(scheme, "tls"))
	}
	return on(to) || !isTemplate(to) && slices.ContainsFunc(strings.Split(to, ","), on)
}

// natsURLs are the servers that Config.To names.
func natsURLs(to string) []string {
	urls := strings.Split(to, ",")
	for i := range urls {
		urls[i] = strings.TrimSpace(urls[i])
	}
	return urls
}

// checkNATS is checkTo for NATS servers.
func (c *Config) checkNATS() error {
	if len(c.Header) > 0 || c.Body != nil || c.Connections != 0 || c.Pipeline != 0 {
		return fmt.Errorf("--to %q: headers, a body, connections and a pipeline go with one request of HTTP per message; leave them out",
			broker.Redact(natsURLs(c.To)))
	}
	for _, one := range natsURLs(c.To) {
		u, err := url.Parse(one)
		switch {
		case err == nil && (u.Scheme == "http" || u.Scheme == "https"):
			return fmt.Errorf("--to %q: NATS servers and %s do not mix; give either", broker.Redact(natsURLs(c.To)), u.Scheme)
		case err != nil || !isNATS(one) || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			return fmt.Errorf("--to %q: NATS servers are nats://host:port or tls://host:port, with commas between", broker.Redact(natsURLs(c.To)))
		case !c.AllowRemote && !isLoopback(u.Hostname()):
			return fmt.Errorf("--to %q: %s is not a loopback address: sending there needs --allow-remote", u.Redacted(), u.Host)
		}
	}
	return nil
}

// dial opens what the connection runs on. It ends with the run, and with the first write that fails: nats.go might go on
// after one, and what is confirmed then would not be all that was written.
func (p *natsPublisher) dial(network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err == nil && !p.run.cfg.AllowRemote && !isLoopback(host) {
		return nil, fmt.Errorf("%s, which NATS names as another server, is not a loopback address: sending there needs --allow-remote", addr)
	}
	ctx := p.run.soft
	if p.started.Load() {
		ctx = p.run.hard
	}
	conn, err := p.run.cfg.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(natsBuffer) // a system that refuses has its reasons, and usually as much
	}
	return &brittle{Conn: conn, release: context.AfterFunc(p.run.hard, func() { conn.Close() })}, nil
}

// brittle is a connection that its first failed write closes.
type brittle struct {
	net.Conn
	release func() bool
	cause   atomic.Pointer[error] // what that write said
}

// Read says why the connection was closed, where it was.
func (b *brittle) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if cause := b.cause.Load(); cause != nil && errors.Is(err, net.ErrClosed) {
		err = *cause
	}
	return n, err
}

func (b *brittle) Write(p []byte) (int, error) {
	n, err := b.Conn.Write(p)
	if err != nil {
		b.cause.CompareAndSwap(nil, &err)
		b.Close()
	}
	return n, err
}

func (b *brittle) Close() error {
	b.release()
	return b.Conn.Close()
}
