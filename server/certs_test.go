package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// count is how often text was logged.
func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}

func (j *journal) log() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// pemPair is a new certificate for that name, valid from an hour ago for so long, and its key.
func pemPair(t *testing.T, name string, valid time.Duration) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(-time.Hour)
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: from, NotAfter: from.Add(valid)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// pair is the two files of a certificate.
type pair struct{ cert, key string }

// newPair writes a new certificate to files.
func newPair(t *testing.T, name string, valid time.Duration) pair {
	t.Helper()
	dir := t.TempDir()
	p := pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	p.write(t, name, valid)
	return p
}

func (p pair) write(t *testing.T, name string, valid time.Duration) {
	t.Helper()
	cert, key := pemPair(t, name, valid)
	writeFile(t, p.cert, cert)
	writeFile(t, p.key, key)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startTLS runs a server with the certificate in p.
func startTLS(t *testing.T, cfg Config, p pair) *Server {
	t.Helper()
	cfg.TLSCert, cfg.TLSKey = p.cert, p.key
	return start(t, cfg)
}

// anybody is a client's configuration that trusts everybody.
func anybody() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}
}

// tunnel is an address that leads to s over TLS, for clients that do not speak it.
func tunnel(t *testing.T, s *Server, cfg *tls.Config) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				tc, err := tls.Dial("tcp", s.Comet().String(), cfg)
				if err != nil {
					return
				}
				defer tc.Close()
				go func() {
					io.Copy(tc, nc)
					tc.CloseWrite()
				}()
				io.Copy(nc, tc)
				nc.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, nc) // until the client closes, too
			}()
		}
	}()
	return ln.Addr().String()
}

// served is the name in the certificate that a new connection to s gets.
func served(t *testing.T, s *Server) string {
	t.Helper()
	tc, err := tls.Dial("tcp", s.Comet().String(), anybody())
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	return tc.ConnectionState().PeerCertificates[0].DNSNames[0]
}

func TestTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := startTLS(t, Config{MaxConns: 4, DrainTimeout: patience}, newPair(t, "localhost", 2*time.Hour))
		if s.Engine() != "goroutine" {
			t.Fatalf("engine %s", s.Engine())
		}
		cfg := anybody()
		cfg.MaxVersion = version
		addr := tunnel(t, s, cfg)
		dial := func() *browser { return dialTo(t, addr, 0) }
		stream, old := dial().stream("1"), dial()
		old.say("GET /test/2 HTTP/1.0\r\n\r\n")
		old.head()
		head := dial()
		head.say("HEAD /test/3 HTTP/1.1\r\n" + hostLine)
		if got := head.head(); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("HEAD got %q", got)
		}
		head.Close()
		until(t, "gone", func() bool { return s.Stats().Conns.Open == 2 })
		dial().stream("4")
		dial().stream("5")
		if got := dial().rest(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
			t.Errorf("over the limit: %q", got)
		}
		long := strings.Repeat("long ", 10_000)
		publish(t, s, "1\tone\n2\ttwo\n1\t"+long+"\n")
		stream.wantMessage(1, "one")
		stream.wantMessage(2, long)
		done := drain(s)
		if got := stream.rest(); got != "0\r\n\r\n" {
			t.Errorf("the stream ends with %q", got)
		}
		if got := old.rest(); got != "Recvd msg #1: 'two'<br/>" {
			t.Errorf("the HTTP/1.0 stream ends with %q", got)
		}
		s.Close() // the others are not waited for
		<-done
		if l := s.Stats().Ledger; !l.balanced() || l.Delivered != 3 {
			t.Errorf("ledger %+v", l)
		}
	}
}

func TestTLSVersionsAndProtocols(t *testing.T) {
	s := startTLS(t, Config{}, newPair(t, "localhost", 2*time.Hour))
	tc, err := tls.Dial("tcp", s.Comet().String(), anybody())
	if err != nil {
		t.Fatal(err)
	}
	tc.Close()
	if got := tc.ConnectionState(); got.NegotiatedProtocol != "http/1.1" || got.Version != tls.VersionTLS13 {
		t.Errorf("speaks %q, version %x", got.NegotiatedProtocol, got.Version)
	}
	for i, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		cfg := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version}
		if tc, err := tls.Dial("tcp", s.Comet().String(), cfg); err == nil {
			tc.Close()
			t.Errorf("version %x is spoken", version)
		}
		until(t, "counted", func() bool { return s.Stats().Conns.TLS == int64(i+1) })
	}
	only := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"smtp"}}
	if tc, err := tls.Dial("tcp", s.Comet().String(), only); err == nil {
		tc.Close()
		t.Error("smtp is spoken")
	}
}

// A certificate that is replaced is served to who comes then; those who are there go on. What cannot be used changes nothing.
func TestReload(t *testing.T) {
	p := newPair(t, "first", 2*time.Hour)
	var j journal
	s := startTLS(t, Config{Log: j.log()}, p)
	stream := dialTo(t, tunnel(t, s, anybody()), 0).stream("1")
	p.write(t, "second", 2*time.Hour)
	if got := served(t, s); got != "first" {
		t.Errorf("%s is served before Reload", got)
	}
	if err := s.Reload(); err != nil || j.count("was replaced") != 1 {
		t.Fatalf("%v, logged %d times", err, j.count("was replaced"))
	}
	if err := s.Reload(); err != nil || j.count("same as before") != 1 {
		t.Errorf("unchanged: %v", err)
	}
	if got := served(t, s); got != "second" {
		t.Errorf("%s is served after Reload", got)
	}
	publish(t, s, "1\tstill here\n")
	stream.wantMessage(1, "still here")

	cert, key := pemPair(t, "third", 2*time.Hour)
	stale, staleKey := pemPair(t, "stale", time.Minute)
	for i, c := range []struct{ name, cert, key, says string }{
		{"another key", cert, "", "--tls-key " + p.key},
		{"a half", cert[:len(cert)/2], key, "no certificate in PEM form"},
		{"nothing", "", "", "no certificate in PEM form"},
		{"out of date", stale, staleKey, "it is valid from "},
	} {
		writeFile(t, p.cert, c.cert)
		if c.key != "" {
			writeFile(t, p.key, c.key)
		}
		if err := s.Reload(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if n := j.count("was not replaced; the old one stays"); n != i+1 {
			t.Errorf("%s: logged %d times", c.name, n)
		}
		if got := served(t, s); got != "second" {
			t.Errorf("%s: %s is served", c.name, got)
		}
	}
	os.Remove(p.cert)
	if err := s.Reload(); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
	writeFile(t, p.cert, cert)
	writeFile(t, p.key, key)
	if err := s.Reload(); err != nil {
		t.Errorf("a good one after all: %v", err)
	}
	if got := served(t, s); got != "third" {
		t.Errorf("%s is served", got)
	}
	publish(t, s, "1\tand still\n")
	stream.wantMessage(2, "and still")
	if err := start(t, Config{}).Reload(); err != nil {
		t.Errorf("without TLS: %v", err)
	}
}

func TestBadCertificates(t *testing.T) {
	good, other := newPair(t, "good", 2*time.Hour), newPair(t, "other", 2*time.Hour)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, text)
		return path
	}
	broken := file("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	empty, text := file("empty", ""), file("text", "no PEM\n")
	cert, _ := pemPair(t, "x", 2*time.Hour)
	chain := file("chain", cert+"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	for _, c := range []struct {
		cfg  Config
		says []string
	}{
		{Config{TLSCert: good.cert}, []string{"--tls-cert " + good.cert + " without its key; give --tls-key"}},
		{Config{TLSKey: good.key}, []string{"--tls-key " + good.key + " without a certificate; give --tls-cert"}},
		{Config{TLSCert: good.cert, TLSKey: good.key, NoFront: true}, []string{"--tls-cert " + good.cert + " with --router-only"}},
		{Config{TLSCert: good.cert, TLSKey: good.key, Engine: "epoll"}, []string{"--engine epoll with --tls-cert", "--engine goroutine"}},
		{Config{TLSCert: dir + "/none", TLSKey: good.key}, []string{"--tls-cert " + dir + "/none: no such file"}},
		{Config{TLSCert: good.cert, TLSKey: dir + "/none"}, []string{"--tls-key " + dir + "/none: no such file"}},
		{Config{TLSCert: dir, TLSKey: good.key}, []string{"--tls-cert " + dir + ": is a directory"}},
		{Config{TLSCert: empty, TLSKey: good.key}, []string{"--tls-cert " + empty, "no certificate in PEM form"}},
		{Config{TLSCert: text, TLSKey: good.key}, []string{"--tls-cert " + text, "no certificate in PEM form"}},
		{Config{TLSCert: good.key, TLSKey: good.key}, []string{"--tls-cert " + good.key, "no certificate in PEM form"}},
		{Config{TLSCert: broken, TLSKey: good.key}, []string{"--tls-cert " + broken + ": certificate 1 in it"}},
		{Config{TLSCert: chain, TLSKey: good.key}, []string{"--tls-cert " + chain + ": certificate 2 in it"}},
		{Config{TLSCert: good.cert, TLSKey: text}, []string{"--tls-key " + text, "PEM"}},
		{Config{TLSCert: good.cert, TLSKey: good.cert}, []string{"--tls-key " + good.cert, "certificate rather than a key"}},
		{Config{TLSCert: good.cert, TLSKey: other.key}, []string{"--tls-key " + other.key, "certificate in " + good.cert, "does not match"}},
	} {
		c.cfg.Listen, c.cfg.Admin = "127.0.0.1:0", "127.0.0.1:0"
		s, err := New(c.cfg)
		if err == nil {
			s.Close()
			t.Errorf("%q: taken", c.says)
			continue
		}
		if !errors.Is(err, ErrConfig) {
			t.Errorf("is no bad configuration: %v", err)
		}
		for _, says := range c.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%q does not say %q", err, says)
			}
		}
	}
}

// Who has nothing better may serve a certificate that is out of date. It is told so.
func TestCertificateOutOfDate(t *testing.T) {
	var j journal
	p := newPair(t, "stale", time.Minute)
	s := startTLS(t, Config{Log: j.log()}, p)
	if got := served(t, s); got != "stale" || j.count("clients will refuse the TLS certificate") != 1 {
		t.Errorf("%s is served, logged %d times", got, j.count("clients will refuse"))
	}
	p.write(t, "as stale", time.Minute)
	if err := s.Reload(); err != nil || served(t, s) != "as stale" {
		t.Errorf("nothing better came: %v", err)
	}
}
