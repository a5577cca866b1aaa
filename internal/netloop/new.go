package netloop

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"
)

// New makes an engine whose connections are told to h, and starts its loops. An unknown Config.Engine is ErrEngine.
func New(cfg Config, h Handler) (Engine, error) {
	if cfg.Engine == "" && cfg.TLS != nil {
		cfg.Engine = "goroutine"
	}
	if cfg.Engine == "" {
		cfg.Engine = defaultEngine
	}
	if cfg.Loops <= 0 {
		cfg.Loops = runtime.GOMAXPROCS(0)
	}
	if cfg.Loops > MaxLoops {
		return nil, fmt.Errorf("netloop: %d loops asked, %d are the most", cfg.Loops, MaxLoops)
	}
	setDefault(&cfg.MaxPending, 256<<10)
	setDefault(&cfg.MailboxSize, 2<<20)
	if cfg.Linger <= 0 {
		cfg.Linger = 2 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = func(string) {}
	}
	if cfg.Meter == nil {
		cfg.Meter = func(int) *Meter { return new(Meter) }
	}
	if cfg.Full == nil {
		cfg.Full = func() bool { return false }
	}
	switch {
	case cfg.Engine == "goroutine":
		if cfg.TLS != nil {
			setDefault(&cfg.ReadBuffer, tlsRead)
		}
		setDefault(&cfg.ReadBuffer, 4<<10)
		return newGoroutine(cfg, h), nil
	case cfg.Engine == "epoll" && defaultEngine == "epoll":
		if cfg.TLS != nil {
			return nil, ErrNoTLS
		}
		setDefault(&cfg.ReadBuffer, 64<<10)
		return newEpoll(cfg, h)
	}
	return nil, fmt.Errorf("%w: %q; this system has %v", ErrEngine, cfg.Engine, Engines())
}

// Of a peer that vanished without a word (its machine lost power, a NAT forgot it) nobody hears while nothing is sent. So the system asks
// for an answer (SO_KEEPALIVE) when it was silent for aliveIdle, and again, and closes with ETIMEDOUT after five minutes in all.
// The timer is a part of the kernel's socket. Where something was sent, the system repeats that instead, for 15 minutes
// (net.ipv4.tcp_retries2). TCP_USER_TIMEOUT would be sooner, and would also end who is there and reads slowly.
const (
	aliveIdle  = 4 * time.Minute
	aliveAgain = 20 * time.Second
	aliveTries = 3
)

// Engines lists the values of Config.Engine that this system has, the default first.
func Engines() []string {
	if defaultEngine == "goroutine" {
		return []string{"goroutine"}
	}
	return []string{defaultEngine, "goroutine"}
}

func setDefault(v *int, def int) {
	if *v <= 0 {
		*v = def
	}
}

// sinceNow returns a monotonic clock that starts at zero.
func sinceNow() func() time.Duration {
	t0 := time.Now()
	return func() time.Duration { return time.Since(t0) }
}

// resolve turns "host:port" into an address to listen on. An empty host means all addresses.
func resolve(addr string) (netip.AddrPort, error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen address %q: %w", addr, err)
	}
	ap := a.AddrPort()
	if !ap.Addr().IsValid() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), ap.Port()), nil
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}
