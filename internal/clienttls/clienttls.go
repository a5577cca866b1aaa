// Package clienttls is what a client says about TLS: whom it trusts, who it is, and in which words a handshake's failure is counted.
// It opens nothing and reads no file; flood and msggen dial with what it makes. All of it may be used by any goroutine.
package clienttls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// Trust is whom a client trusts and who it is itself. Its fields are the contents of PEM files, not their names, so that it can travel to
// another process. The zero Trust trusts the system's authorities and shows no certificate.
type Trust struct {
	Insecure bool   `json:"insecure,omitempty"` // any certificate will do, whoever has issued it and whatever it names
	CA       []byte `json:"ca,omitempty"`       // the authorities, instead of the system's
	Cert     []byte `json:"cert,omitempty"`     // our chain, with Key
	Key      []byte `json:"key,omitempty"`
}

// Errors of a Trust.
var (
	// ErrAuthority is returned by Config for a CA without a certificate.
	ErrAuthority = errors.New("there is no certificate in it; give a PEM file")
	// ErrPair is returned, around the reason, by Config for a certificate and a key that are no pair.
	ErrPair = errors.New("certificate and key are no pair")
	// ErrBoth is returned by Config for Insecure with a CA: one of them would say nothing.
	ErrBoth = errors.New("who trusts anybody asks no authority")
)

// IsZero tells whether nothing was said.
func (t Trust) IsZero() bool {
	return !t.Insecure && t.CA == nil && t.Cert == nil && t.Key == nil
}

// Config is what crypto/tls takes for it, still without a ServerName: TLS 1.2 or better, HTTP/1.1 by ALPN (RFC 7301). An error is one of
// ErrAuthority, ErrPair and ErrBoth.
func (t Trust) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, InsecureSkipVerify: t.Insecure}
	if t.CA != nil {
		if t.Insecure {
			return nil, ErrBoth
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, ErrAuthority
		}
	}
	if t.Cert != nil || t.Key != nil {
		pair, err := tls.X509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPair, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// Flag names the flags that an error of Config is about.
func Flag(err error) string {
	switch {
	case errors.Is(err, ErrAuthority):
		return "--ca"
	case errors.Is(err, ErrPair):
		return "--cert, --key:"
	case errors.Is(err, ErrBoth):
		return "--insecure and --ca exclude each other:"
	}
	return "TLS:"
}

// Words under which a failed handshake is counted. What the peer has said itself is counted in its own words (RFC 8446 section 6), as "tls:
// certificate required".
const (
	UnknownAuthority = "certificate: unknown authority" // nobody whom we trust has issued it
	WrongName        = "certificate: wrong name"        // it is another host's
	Expired          = "certificate: expired"           // or not valid yet
	BadCertificate   = "certificate: not valid"         // for another reason
	NoTLS            = "no tls"                         // the peer's first bytes are no TLS
	Failed           = "tls"                            // anything else
)

// Word is the word for err, which a handshake or a read after it has ended with; it is "" where TLS has nothing to do with it, as far as the
// error tells: of an end of the connection, for one.
func Word(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return UnknownAuthority
	case errors.As(err, &name):
		return WrongName
	case errors.As(err, &invalid):
		switch invalid.Reason {
		case x509.Expired:
			return Expired
		}
		return BadCertificate
	case errors.As(err, &verify):
		return BadCertificate
	case errors.As(err, &record):
		return NoTLS
	case errors.As(err, &op) && op.Op == "remote error": // so crypto/tls names a peer's alert
		return op.Err.Error()
	case errors.As(err, &op) && op.Op == "local error": // and its own
		return Failed
	}
	return ""
}

// Hint is the way out for a word of Word's, to read on from an error; "" where there is none.
func Hint(word string) string {
	switch word {
	case UnknownAuthority:
		return "trust who has issued it (--ca FILE), or anybody (--insecure)"
	case WrongName:
		return "ask for a name that the certificate has, or trust any (--insecure)"
	case Expired, BadCertificate:
		return "the server needs another one; --insecure takes any"
	case NoTLS:
		return "the server does not speak TLS there; ask for http:// or ws://"
	case "tls: certificate required", "tls: bad certificate":
		return "the server wants a certificate of ours (--cert FILE --key FILE)"
	}
	return ""
}
