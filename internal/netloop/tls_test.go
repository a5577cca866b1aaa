package netloop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// selfSigned is a certificate for all tests of this process: making one takes longer than most of them.
var selfSigned = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// clientTLS trusts everybody: what is tested is the engine, not crypto/tls.
func clientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func TestEpollHasNoTLS(t *testing.T) {
	for _, engine := range Engines() {
		e, err := New(Config{Engine: engine, TLS: serverTLS(t)}, &script{})
		if engine == "goroutine" && err != nil || engine != "goroutine" && !errors.Is(err, ErrNoTLS) {
			t.Errorf("%s: %v", engine, err)
		}
		if err == nil {
			e.Close()
		}
	}
	e, err := New(Config{TLS: serverTLS(t)}, &script{})
	if err != nil {
		t.Fatalf("no engine asked for: %v", err)
	}
	e.Close()
}

// raw connects without TLS to an engine that speaks it.
func raw(t *testing.T, cfg Config, h Handler) *net.TCPConn {
	t.Helper()
	cfg.Engine, cfg.Loops, cfg.TLS = "goroutine", 1, serverTLS(t)
	_, addr := start(t, cfg, h)
	return dial(t, addr).tcp
}

// A deadline that is set when a connection comes bounds its handshake.
func TestHandshakeIsBounded(t *testing.T) {
	errLate := errors.New("late")
	closed := make(chan error, 1)
	nc := raw(t, Config{}, &script{
		opened:  func(l Loop, c Conn) { l.SetDeadline(c, time.Millisecond) },
		expired: func(l Loop, c Conn) { l.Close(c, errLate) },
		closed:  func(_ Loop, _ Conn, err error) { closed <- err },
	})
	nc.Write([]byte{22, 3, 1, 2, 0, 1, 0}) // the beginning of a ClientHello
	if err := recv(t, closed); err != errLate {
		t.Errorf("closed with %v", err)
	}
	if _, err := io.ReadAll(nc); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the client sees %v", err)
	}
}

// Every way in which a handshake fails ends the connection with its reason, and End during one is bounded as always.
func TestHandshakeFails(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(nc *net.TCPConn)
		want error
		says string
	}{
		{"nothing", func(nc *net.TCPConn) { nc.CloseWrite() }, io.EOF, "EOF"},
		{"cut off", func(nc *net.TCPConn) { nc.Write([]byte{22, 3, 1, 2, 0, 1}); nc.CloseWrite() }, ErrHandshake, "unexpected EOF"},
		{"no TLS", func(nc *net.TCPConn) { nc.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, ErrHandshake, "does not look like a TLS handshake"},
		{"old TLS", func(nc *net.TCPConn) {
			tls.Client(nc, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}).Handshake()
		}, ErrHandshake, "unsupported versions"},
		{"untrusted", func(nc *net.TCPConn) { tls.Client(nc, &tls.Config{ServerName: "localhost"}).Handshake() }, ErrHandshake, "bad certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			closed := make(chan error, 1)
			nc := raw(t, Config{}, &script{
				readable: func(Loop, Conn, []byte) { t.Error("something is readable") },
				closed:   func(_ Loop, _ Conn, err error) { closed <- err },
			})
			c.do(nc)
			if err := recv(t, closed); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("closed with %v; want %v that says %q", err, c.want, c.says)
			}
		})
	}
}

// Whoever does not speak TLS can be told so in words of its own.
func TestNotTLS(t *testing.T) {
	for _, words := range []string{"", "sorry\n"} {
		closed, told := make(chan error, 1), make(chan string, 1)
		cfg := Config{NotTLS: func(l Loop, c Conn, first [5]byte) {
			told <- string(first[:])
			if words != "" {
				l.End(c, []byte(words))
			}
		}}
		nc := raw(t, cfg, &script{closed: func(_ Loop, _ Conn, err error) { closed <- err }})
		nc.Write([]byte("GET / HTTP/1.1\r\n" + strings.Repeat("X-Much: more\r\n", 5000) + "\r\n"))
		if first := recv(t, told); first != "GET /" {
			t.Errorf("first bytes %q", first)
		}
		got, err := io.ReadAll(nc)
		if words != "" && (string(got) != words || err != nil) {
			t.Errorf("the client reads %q, %v", got, err)
		}
		nc.Close()
		if err := recv(t, closed); errors.Is(err, ErrHandshake) != (words == "") {
			t.Errorf("closed with %v", err)
		}
	}
}

// What is written before the handshake is over leaves behind it, and End says close_notify: nothing was cut off.
func TestWriteBeforeHandshake(t *testing.T) {
	nc := raw(t, Config{}, &script{opened: func(l Loop, c Conn) {
		l.Write(c, []byte("early "), 0)
		l.End(c, []byte("words"))
	}})
	tap := &tap{Conn: nc}
	tc := tls.Client(tap, clientTLS())
	if got, err := io.ReadAll(tc); string(got) != "early words" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	// crypto/tls takes an end without close_notify between two records for an end, so look whether one came: with TLS 1.3 a record of
	// application data of an alert's size (2 bytes, 1 of type, 16 of tag) is the last.
	if last := fmt.Sprintf("%x", tap.last[max(0, len(tap.last)-24):][:5]); last != "1703030013" {
		t.Errorf("the last record begins with %s", last)
	}
}

// tap remembers the last bytes that were read.
type tap struct {
	net.Conn
	last []byte
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.last = append(c.last, b[:n]...)
	return n, err
}

// A peer that takes nothing more holds up its own end only, and not the loop that says goodbye to it.
func TestByeDoesNotBlock(t *testing.T) {
	opened, closed := make(chan Conn, 1), make(chan error, 1)
	cfg := Config{Engine: "goroutine", Loops: 1, TLS: serverTLS(t), MaxPending: 64 << 20, Linger: 50 * time.Millisecond}
	e, addr := start(t, cfg, &script{
		opened: func(l Loop, c Conn) { opened <- c },
		closed: func(_ Loop, _ Conn, err error) { closed <- err },
	})
	nc := dial(t, addr).tcp
	c := recv(t, opened)
	tc := tls.Client(nc, clientTLS())
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	e.Do(0, func(l Loop) {
		l.Write(c, make([]byte, 32<<20), 0)
		l.End(c, nil)
	})
	answered := make(chan bool, 1)
	e.Do(0, func(Loop) { answered <- true })
	recv(t, answered)
	if err := recv(t, closed); err != ErrLinger {
		t.Errorf("closed with %v", err)
	}
}

// A session that was had before is resumed, by either version.
func TestSessionTickets(t *testing.T) {
	_, addr := start(t, Config{Engine: "goroutine", Loops: 1, TLS: serverTLS(t)}, &script{
		readable: func(l Loop, c Conn, b []byte) { l.End(c, b) },
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i := range 2 {
			tc := tls.Client(dial(t, addr).tcp, cfg)
			tc.Write([]byte("?"))
			if got, err := io.ReadAll(tc); string(got) != "?" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if s := tc.ConnectionState(); s.DidResume != (i == 1) || s.Version != version {
				t.Errorf("connection %d: resumed: %t, version %x", i+1, s.DidResume, s.Version)
			}
		}
	}
}
