package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// How Connect's connections watch over themselves. A server that does not answer is given up after 6 to 8 seconds and another one
// (or the same) tried every quarter of a second: subscriptions are whole again well within five seconds of a repair.
const (
	pingEvery    = 2 * time.Second
	pingsMissed  = 3
	dialTimeout  = 2 * time.Second
	DefaultRetry = 250 * time.Millisecond // of ConnectConfig.Retry

	// LocalPatience is ConnectConfig.Patience for a server on the same machine.
	LocalPatience = 2 * time.Minute
)

// ConnectConfig says how to reach NATS servers outside this process. A zero field means its default.
type ConnectConfig struct {
	URLs     []string      // nats://host:port, tls://host:port, with user:password@ if need be; at least one. They are tried in this order
	Name     string        // of the connection, as NATS's own tools show it
	User     string        // with Password; for URLs that name none
	Password string        // see User
	Creds    string        // file of NATS credentials (JWT and seed), as of nsc
	TLS      *tls.Config   // nil: TLS if a URL or the server asks for it, with the system's roots
	Retry    time.Duration // between attempts; default DefaultRetry
	Once     bool          // if no server can be reached, Connect fails with ErrDisconnected; a connection that stood is made again all the same
	Log      *slog.Logger  // told of failed attempts; default: nobody is
	// Patience is how long a server may be silent before it is given up; default 6 to 8 seconds. For one on the same machine, whose
	// end its closed connections tell, silence only says that the machine is busy.
	Patience time.Duration

	// WriteThrough has each message written to the socket before Publish returns, instead of a moment later together with those
	// that follow it: for few messages whose time of leaving matters.
	WriteThrough bool
	// Dial opens what the connection runs on; default: a net.Dialer that waits two seconds.
	Dial func(network, address string) (net.Conn, error)
}

// Connect makes a connection. If no server can be reached it says so in the log and returns a connection that keeps
// trying: Await waits for it. It fails with ErrConfig, or with ErrCredentials if the first server that answers turns them down.
func Connect(cfg ConnectConfig) (*nats.Conn, error) {
	if len(cfg.URLs) == 0 {
		return nil, fmt.Errorf("%w: no NATS URL; give one such as nats://127.0.0.1:4222", ErrConfig)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Creds != "" {
		if _, err := os.Stat(cfg.Creds); err != nil {
			return nil, fmt.Errorf("%w: NATS credentials: %w", ErrConfig, err)
		}
	}
	urls := strings.Join(cfg.URLs, ",")
	opts := cfg.options()
	nc, err := nats.Connect(urls, opts...)
	switch {
	case err == nil:
		return nc, nil
	case credentials(err):
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	case !unreachable(err):
		return nil, fmt.Errorf("%w: NATS %s: %w", ErrConfig, Redact(cfg.URLs), err)
	case cfg.Once:
		return nil, fmt.Errorf("%w (%s): %w", ErrDisconnected, Redact(cfg.URLs), err)
	}
	cfg.Log.Warn("broker: NATS cannot be reached; trying again", "urls", Redact(cfg.URLs), "error", err)
	nc, err = nats.Connect(urls, append(opts, nats.RetryOnFailedConnect(true))...)
	if err != nil {
		return nil, fmt.Errorf("%w: NATS %s: %w", ErrConfig, Redact(cfg.URLs), err)
	}
	return nc, nil
}

func (cfg *ConnectConfig) options() []nats.Option {
	retry := cfg.Retry
	if retry <= 0 {
		retry = DefaultRetry
	}
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.NoEcho(),                // a node delivers its own messages itself
		nats.DontRandomize(),         // who names several servers puts its own first
		nats.ReconnectBufSize(-1),    // what cannot be sent now is said to be unpublished, and not sent late
		nats.SkipSubjectValidation(), // ours are valid by construction
		nats.MaxReconnects(-1),
		nats.ReconnectWait(retry),
		nats.ReconnectJitter(retry/4, retry/4),
		nats.Timeout(dialTimeout),
		nats.PingInterval(max(pingEvery, cfg.Patience/(pingsMissed+1))),
		nats.MaxPingsOutstanding(pingsMissed),
		nats.FlusherTimeout(pingEvery * (pingsMissed + 1)), // a write that does not end would hold up the pings too
		nats.IgnoreAuthErrorAbort(),                        // a server whose users are being changed is weather
		// nats.go calls another handler for the first connection than for later ones; to its users they are the same.
		nats.ConnectHandler(func(nc *nats.Conn) {
			if f := nc.ReconnectHandler(); f != nil {
				f(nc)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { cfg.Log.Debug("broker: NATS", "error", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { cfg.Log.Error("broker: NATS", "error", err) }),
	}
	if cfg.User != "" {
		opts = append(opts, nats.UserInfo(cfg.User, cfg.Password))
	}
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	if cfg.TLS != nil {
		opts = append(opts, nats.Secure(cfg.TLS))
	}
	if cfg.WriteThrough {
		opts = append(opts, nats.WriteBufferSize(1))
	}
	if cfg.Dial != nil {
		opts = append(opts, nats.SetCustomDialer(dialer(cfg.Dial)))
	}
	return opts
}

type dialer func(network, address string) (net.Conn, error)

// Dial implements nats.CustomDialer.
func (d dialer) Dial(network, address string) (net.Conn, error) { return d(network, address) }

// NoResponders tells NATS's word that nobody wanted a message (ADR-4 of nats-architecture-and-design) from a message.
func NoResponders(m *nats.Msg) bool { return len(m.Data) == 0 && m.Header.Get("Status") == "503" }

// unreachable tells an error that may pass from one that will not. That a server heard too late who we are says that a machine is
// busy, and nothing about who we are.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) ||
		errors.As(err, &op) || errors.As(err, &dns) || strings.Contains(strings.ToLower(err.Error()), "authentication timeout")
}

func credentials(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked)
}

// Redact writes URLs without their passwords.
func Redact(urls []string) string {
	var out []string
	for _, text := range urls {
		for one := range strings.SplitSeq(text, ",") {
			if u, err := url.Parse(strings.TrimSpace(one)); err == nil {
				out = append(out, u.Redacted())
			} else {
				out = append(out, "(not a URL)")
			}
		}
	}
	return strings.Join(out, ",")
}

// Await returns nil once nc has a connection, and says in the log now and then that it waits. When ctx is over first it returns
// ErrDisconnected, or ErrCredentials if that was the reason.
func Await(ctx context.Context, nc *nats.Conn, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	status := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(status)
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for !nc.IsConnected() {
		if nc.IsClosed() {
			return fmt.Errorf("%w: closed", ErrDisconnected)
		}
		select {
		case <-status:
		case <-again.C:
			log.Warn("broker: still waiting for NATS", "urls", Redact(nc.Servers()), "error", nc.LastError())
		case <-ctx.Done():
			why := ErrDisconnected
			if credentials(nc.LastError()) {
				why = ErrCredentials
			}
			err := fmt.Errorf("%w (%s): %w", why, Redact(nc.Servers()), context.Cause(ctx))
			if last := nc.LastError(); last != nil {
				err = fmt.Errorf("%w: %w", err, last)
			}
			return err
		}
	}
	return nil
}
