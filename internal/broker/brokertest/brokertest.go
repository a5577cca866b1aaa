// Package brokertest is what tests around NATS need: servers of their own on free ports, certificates, a log to look into, and
// patience. Only tests import it.
package brokertest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"cometctl/internal/broker"
)

// Patience is how long a test waits for what must happen; it never waits for what must not.
const Patience = 20 * time.Second

// Within is a context that ends when Patience does.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Until waits for a condition that nothing signals.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v: %s", Patience, what)
		}
	}
}

// Embed starts a NATS server, on free ports unless cfg says otherwise, that ends with the test.
func Embed(t testing.TB, cfg broker.EmbedConfig) *broker.Embedded {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Cluster != "" && cfg.RouteOn == "" {
		cfg.RouteOn = "127.0.0.1:0"
	}
	e, err := broker.Embed(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// Routed starts n servers with routes to each other.
func Routed(t testing.TB, n int) []*broker.Embedded {
	t.Helper()
	all := []*broker.Embedded{Embed(t, broker.EmbedConfig{Cluster: "test"})}
	for len(all) < n {
		all = append(all, Embed(t, broker.EmbedConfig{Cluster: "test", Routes: []string{all[0].RouteURL()}}))
	}
	for _, e := range all {
		if err := e.Routed(Within(t), n-1); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// FreeAddress is an address on which nobody listens just now.
func FreeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// Certificate is one of our own, for 127.0.0.1, on both sides of a route too.
func Certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: roots}, &tls.Config{RootCAs: roots}
}

// Journal is a log that a test reads.
type Journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String is all that was written.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Logger writes to the journal.
func (j *Journal) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }
