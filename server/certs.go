package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// checkTLS checks what can be checked without the files, and chooses the engine that speaks TLS where none was asked for.
func (c *Config) checkTLS() error {
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
		return nil
	case c.TLSKey == "":
		return configErrorf("--tls-cert %s without its key; give --tls-key", c.TLSCert)
	case c.TLSCert == "":
		return configErrorf("--tls-key %s without a certificate; give --tls-cert", c.TLSKey)
	case c.NoFront && c.Family == nil:
		return configErrorf("--tls-cert %s with --router-only: that one has no comet listener", c.TLSCert)
	}
	def(&c.Engine, "goroutine")
	if c.Engine == "epoll" {
		return configErrorf("--engine epoll with --tls-cert %s: that engine does not speak TLS, which wants a goroutine to wait in for each connection; use --engine goroutine, or none", c.TLSCert)
	}
	return nil
}

// certs is the certificate of the comet listener, which may be replaced while connections that were made with the old one go on.
type certs struct {
	cert, key string // files
	log       *slog.Logger
	now       atomic.Pointer[tls.Certificate]
}

// openCerts reads the certificate that c names; there is none if it names none.
func (c *Config) openCerts() (*certs, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	s := &certs{cert: c.TLSCert, key: c.TLSKey, log: c.Log}
	cert, err := loadCert(s.cert, s.key)
	if err != nil {
		return nil, err
	}
	s.now.Store(cert)
	s.warn(cert)
	return s, nil
}

// config is how the comet listener speaks TLS: nothing below 1.2 (RFC 8996), and HTTP/1.1 for who asks what is spoken. Session tickets are
// crypto/tls's own, with keys that it changes daily.
func (s *certs) config() *tls.Config {
	if s == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.now.Load(), nil },
	}
}

// reload reads the files again. What cannot be used is refused, and the old certificate stays.
func (s *certs) reload() error {
	old := s.now.Load()
	cert, err := loadCert(s.cert, s.key)
	switch {
	case err != nil:
	case outOfDate(cert) && !outOfDate(old):
		err = configErrorf("--tls-cert %s: it is %s, and the one in use is not", s.cert, validity(cert))
	case slices.EqualFunc(cert.Certificate, old.Certificate, bytes.Equal):
		s.log.Info("the TLS certificate is the same as before", "file", s.cert)
		return nil
	}
	if err != nil {
		s.log.Error("the TLS certificate was not replaced; the old one stays in use", "error", plain(err))
		return err
	}
	s.now.Store(cert)
	s.log.Info("the TLS certificate was replaced", "file", s.cert, "names", cert.Leaf.DNSNames, "until", cert.Leaf.NotAfter)
	s.warn(cert)
	return nil
}

func (s *certs) warn(cert *tls.Certificate) {
	if outOfDate(cert) {
		s.log.Warn("clients will refuse the TLS certificate: it is "+validity(cert), "file", s.cert)
	}
}

func outOfDate(cert *tls.Certificate) bool {
	now := time.Now()
	return now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter)
}

func validity(cert *tls.Certificate) string {
	return "valid from " + cert.Leaf.NotBefore.Format(time.RFC3339) + " to " + cert.Leaf.NotAfter.Format(time.RFC3339)
}

// loadCert reads a certificate, with those that lead to its authority behind it, and its key. Its errors name the flag, the file and what is wrong.
func loadCert(certFile, keyFile string) (*tls.Certificate, error) {
	chain, err := os.ReadFile(certFile)
	if err != nil {
		return nil, configErrorf("--tls-cert %s: %w", certFile, withoutPath(err))
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, configErrorf("--tls-key %s: %w", keyFile, withoutPath(err))
	}
	found := 0
	for rest := chain; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		found++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, configErrorf("--tls-cert %s: certificate %d in it: %w", certFile, found, err)
		}
	}
	if found == 0 {
		return nil, configErrorf("--tls-cert %s: there is no certificate in PEM form in it (-----BEGIN CERTIFICATE-----)", certFile)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, configErrorf("--tls-key %s, for the certificate in %s: %s", keyFile, certFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &cert, nil
}

// withoutPath leaves the system's own words: the path is named already.
func withoutPath(err error) error {
	if p := new(fs.PathError); errors.As(err, &p) {
		return p.Err
	}
	return err
}
