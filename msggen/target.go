package msggen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"cometctl/internal/clienttls"
	"cometctl/internal/wire"
)

// CheckTarget reports what is wrong with the URL of a server, for Config.To and for Send: it must be http or https, and its
// host a loopback address unless remote ones are allowed. A name other than localhost counts as remote and is never
// looked up. No error tells a password.
func CheckTarget(to string, allowRemote bool) error {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("%q: it must be an http or https URL such as http://127.0.0.1:8001/send", wire.RedactURL(to))
	}
	if _, err := basic(u.User.String()); err != nil {
		return fmt.Errorf("%q: %w", wire.RedactURL(to), err)
	}
	if !allowRemote && !isLoopback(u.Hostname()) {
		return fmt.Errorf("%q is not a loopback address: sending there needs --allow-remote", wire.RedactURL(to))
	}
	return nil
}

func isLoopback(host string) bool {
	return net.ParseIP(host).IsLoopback() || strings.EqualFold(host, "localhost")
}

// address is the host and port to dial for u.
func address(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// basic is the value of the Authorization field for user:password; empty without a user.
func basic(userinfo string) (string, error) {
	if userinfo == "" {
		return "", nil
	}
	value, err := wire.AppendBasic(nil, []byte(userinfo))
	return string(value), err
}

// errTwoAuthorizations is for a field that would stand there twice.
var errTwoAuthorizations = errors.New("a user name in the URL, --token-file and -H 'Authorization: ...' are the same field; give one of them")

// overTLS makes what dials speak TLS with the server of that name, within the time that a connection may take. Who comes again resumes the session.
func overTLS(dial dialer, trust *tls.Config, server string) dialer {
	cfg := trust.Clone()
	cfg.ServerName, cfg.ClientSessionCache = server, tls.NewLRUClientSessionCache(1)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialLimit)
		defer cancel()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, shakeError(err)
		}
		return secure, nil
	}
}

// shakeError says why a handshake failed, and the way out where there is one.
func shakeError(err error) error {
	word := clienttls.Word(err)
	hint := clienttls.Hint(word)
	switch {
	case word == "":
		return fmt.Errorf("TLS handshake: %w", err)
	case hint == "":
		return fmt.Errorf("TLS handshake: %s", word)
	}
	return fmt.Errorf("TLS handshake: %s; %s", word, hint)
}

// dialer is how Config.Dial dials.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)
