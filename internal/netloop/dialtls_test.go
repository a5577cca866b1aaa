package netloop

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// asking is an engine that dials addr with TLS once, writes "?" with a tag as soon as the connection is open, and tells what comes.
func asking(t *testing.T, addr netip.AddrPort, cfg *tls.Config, s *script, shaken func(Loop, Conn, tls.ConnectionState)) {
	t.Helper()
	e, err := New(Config{Engine: "goroutine", Loops: 1}, shaker{s, shaken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if s.opened == nil {
		s.opened = func(l Loop, c Conn) { l.Write(c, []byte("?"), 7) }
	}
	e.Do(0, func(l Loop) {
		if _, err := l.DialTLS(addr, netip.AddrPort{}, cfg); err != nil {
			t.Error(err)
		}
	})
}

// shaker is a script that is told of handshakes, too.
type shaker struct {
	*script
	shaken func(Loop, Conn, tls.ConnectionState)
}

func (s shaker) Shaken(l Loop, c Conn, state tls.ConnectionState) { s.shaken(l, c, state) }

// What is written when a dialled connection opens leaves behind the handshake, and comes back.
func TestDialTLS(t *testing.T) {
	_, addr := start(t, Config{Engine: "goroutine", Loops: 1, TLS: serverTLS(t)}, &script{
		readable: func(l Loop, c Conn, b []byte) { l.End(c, append(b, "!"...)) },
	})
	shaken := false // one loop: every call has its turn
	said, closed := make(chan string, 1), make(chan error, 1)
	asking(t, addr, clientTLS(), &script{
		wrote: func(_ Loop, _ Conn, tag uint32) {
			if !shaken || tag != 7 {
				t.Errorf("tag %d was written before the handshake was over", tag)
			}
		},
		readable: func(_ Loop, _ Conn, b []byte) { said <- string(b) },
		closed:   func(_ Loop, _ Conn, err error) { closed <- err },
	}, func(_ Loop, _ Conn, state tls.ConnectionState) { shaken = state.HandshakeComplete })
	if got := recv(t, said); got != "?!" {
		t.Errorf("read %q", got)
	}
	if err := recv(t, closed); err != io.EOF {
		t.Errorf("closed with %v", err)
	}
}

// A dialled handshake that fails ends the connection with the reason, however it fails, and a deadline bounds it.
func TestDialTLSFails(t *testing.T) {
	_, trusted := start(t, Config{Engine: "goroutine", Loops: 1, TLS: serverTLS(t)}, &script{})
	peer := func(do func(net.Conn)) netip.AddrPort {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			if nc, err := ln.Accept(); err == nil {
				do(nc)
			}
		}()
		return ln.Addr().(*net.TCPAddr).AddrPort()
	}
	errLate := errors.New("late")
	hold := make(chan bool)
	defer close(hold)
	for _, c := range []struct {
		name string
		addr netip.AddrPort
		want func(error) bool
	}{
		{"nobody is trusted", trusted, func(err error) bool {
			var unknown x509.UnknownAuthorityError
			return errors.Is(err, ErrHandshake) && errors.As(err, &unknown)
		}},
		{"no TLS", peer(func(nc net.Conn) {
			nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			<-hold
			nc.Close()
		}), func(err error) bool {
			var bad tls.RecordHeaderError
			return errors.Is(err, ErrHandshake) && errors.As(err, &bad)
		}},
		{"hangs up", peer(func(nc net.Conn) {
			io.ReadFull(nc, make([]byte, 100))
			nc.(*net.TCPConn).CloseWrite()
			<-hold
			nc.Close()
		}), func(err error) bool { return err == io.EOF }},
		{"says nothing", peer(func(nc net.Conn) { <-hold; nc.Close() }), func(err error) bool { return err == errLate }},
	} {
		t.Run(c.name, func(t *testing.T) {
			closed := make(chan error, 1)
			asking(t, c.addr, &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()}, &script{
				opened: func(l Loop, k Conn) {
					l.Write(k, []byte("?"), 0)
					if c.name == "says nothing" {
						l.SetDeadline(k, time.Millisecond)
					}
				},
				expired:  func(l Loop, k Conn) { l.Close(k, errLate) },
				readable: func(Loop, Conn, []byte) { t.Error("something is readable") },
				closed:   func(_ Loop, _ Conn, err error) { closed <- err },
			}, func(Loop, Conn, tls.ConnectionState) { t.Error("shaken") })
			if err := recv(t, closed); !c.want(err) {
				t.Errorf("closed with %v", err)
			}
		})
	}
}

func TestEpollDialsNoTLS(t *testing.T) {
	for _, engine := range Engines() {
		e, err := New(Config{Engine: engine, Loops: 1}, &script{})
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan error, 1)
		e.Do(0, func(l Loop) {
			_, err := l.DialTLS(netip.MustParseAddrPort("127.0.0.1:1"), netip.AddrPort{}, clientTLS())
			told <- err
		})
		if err := recv(t, told); errors.Is(err, ErrNoTLS) != (engine != "goroutine") {
			t.Errorf("%s: %v", engine, err)
		}
		e.Close()
	}
}
