package clienttls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// pair is a certificate for localhost that has signed itself, and its key, in PEM form.
func pair(t *testing.T, name string, from, to time.Duration) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// handshake is what a client makes of a server with that certificate.
func handshake(t *testing.T, cert, key []byte, trust Trust, server *tls.Config) error {
	t.Helper()
	mine, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server.Certificates = []tls.Certificate{mine}
	cfg, err := trust.Config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.ServerName = "localhost"
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		tc := tls.Server(b, server)
		_ = tc.Handshake() // what it makes of the client is the client's to hear
		tc.Close()
	}()
	tc := tls.Client(a, cfg)
	if err := tc.Handshake(); err != nil {
		return err
	}
	if _, err = tc.Read(make([]byte, 1)); err == io.EOF { // with TLS 1.3 a server refuses us behind the handshake
		return nil
	}
	return err
}

func TestWord(t *testing.T) {
	good, goodKey := pair(t, "localhost", -time.Hour, time.Hour)
	other, otherKey := pair(t, "example.org", -time.Hour, time.Hour)
	old, oldKey := pair(t, "localhost", -2*time.Hour, -time.Hour)
	early, earlyKey := pair(t, "localhost", time.Hour, 2*time.Hour)
	wants := &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	for _, c := range []struct {
		name      string
		cert, key []byte
		trust     Trust
		server    *tls.Config
		want      string
	}{
		{"trusted", good, goodKey, Trust{CA: good}, &tls.Config{}, ""},
		{"nobody's", good, goodKey, Trust{}, &tls.Config{}, UnknownAuthority},
		{"another's", good, goodKey, Trust{CA: other}, &tls.Config{}, UnknownAuthority},
		{"wrong name", other, otherKey, Trust{CA: other}, &tls.Config{}, WrongName},
		{"expired", old, oldKey, Trust{CA: old}, &tls.Config{}, Expired},
		{"not yet", early, earlyKey, Trust{CA: early}, &tls.Config{}, Expired},
		{"insecure", old, oldKey, Trust{Insecure: true}, &tls.Config{}, ""},
		{"wants ours", good, goodKey, Trust{CA: good}, wants.Clone(), "tls: certificate required"},
		{"has ours", good, goodKey, Trust{CA: good, Cert: other, Key: otherKey}, wants.Clone(), ""},
		{"old TLS", good, goodKey, Trust{CA: good}, &tls.Config{MaxVersion: tls.VersionTLS11}, Failed},
	} {
		err := handshake(t, c.cert, c.key, c.trust, c.server)
		got := ""
		if err != nil {
			got = Word(err)
		}
		if c.name == "old TLS" && err != nil && got != "" { // in whose words is crypto/tls's matter
			continue
		}
		if got != c.want {
			t.Errorf("%s: %q of %v, want %q", c.name, got, err, c.want)
		}
	}
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, &net.OpError{Op: "read", Err: errors.New("reset")}} {
		if got := Word(fmt.Errorf("around: %w", err)); got != "" {
			t.Errorf("%v: %q", err, got)
		}
	}
	if got := Word(tls.RecordHeaderError{Msg: "?"}); got != NoTLS {
		t.Errorf("no TLS: %q", got)
	}
}

func TestHint(t *testing.T) {
	for _, word := range []string{UnknownAuthority, WrongName, Expired, BadCertificate, NoTLS, "tls: certificate required"} {
		if Hint(word) == "" {
			t.Errorf("no way out of %q", word)
		}
	}
	if h := Hint("refused"); h != "" {
		t.Errorf("a hint for what is none of ours: %q", h)
	}
}

func TestConfig(t *testing.T) {
	cert, key := pair(t, "localhost", -time.Hour, time.Hour)
	_, strange := pair(t, "localhost", -time.Hour, time.Hour)
	for _, c := range []struct {
		trust Trust
		want  error
	}{
		{Trust{}, nil},
		{Trust{CA: cert, Cert: cert, Key: key}, nil},
		{Trust{Insecure: true, Cert: cert, Key: key}, nil},
		{Trust{CA: []byte("nonsense")}, ErrAuthority},
		{Trust{CA: []byte{}}, ErrAuthority},
		{Trust{CA: key}, ErrAuthority},
		{Trust{Cert: cert, Key: strange}, ErrPair},
		{Trust{Cert: cert}, ErrPair},
		{Trust{Key: key}, ErrPair},
		{Trust{Cert: key, Key: cert}, ErrPair},
		{Trust{Insecure: true, CA: cert}, ErrBoth},
	} {
		cfg, err := c.trust.Config()
		if !errors.Is(err, c.want) || (cfg == nil) != (c.want != nil) {
			t.Errorf("%t %d %d %d: %v, want %v", c.trust.Insecure, len(c.trust.CA), len(c.trust.Cert), len(c.trust.Key), err, c.want)
		}
	}
	if !(Trust{}).IsZero() || (Trust{Insecure: true}).IsZero() || (Trust{Key: key}).IsZero() {
		t.Error("what says something is not zero, what says nothing is")
	}
}
