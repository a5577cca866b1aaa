package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"cometctl/internal/broker"
)

// natsOptions are the flags that say who we are to a NATS server, and whom we trust. All commands that speak NATS have them.
type natsOptions struct {
	user, password, passwordFile string
	creds                        string
	ca, cert, key                string
}

func (o *natsOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.user, "nats-user", "", "`user` for NATS, with a password")
	f.StringVar(&o.password, "nats-password", "", "`password` for NATS; others on this machine may see it, unlike that of --nats-password-file")
	f.StringVar(&o.passwordFile, "nats-password-file", "", "`file` whose first line is the password for NATS")
	f.StringVar(&o.creds, "nats-creds", "", "`file` of NATS credentials (JWT and seed), instead of a user and a password")
	f.StringVar(&o.ca, "nats-ca", "", "PEM `file` of the authorities that NATS servers are trusted by (default the system's)")
	f.StringVar(&o.cert, "nats-cert", "", "PEM `file` of our certificate for NATS, with --nats-key")
	f.StringVar(&o.key, "nats-key", "", "PEM `file` of our certificate's key")
}

// given tells whether any of the flags has a value.
func (o natsOptions) given() bool { return o != natsOptions{} }

// connect is how to reach the servers of these URLs. An error names the flag.
func (o natsOptions) connect(urls []string) (broker.ConnectConfig, error) {
	cfg := broker.ConnectConfig{URLs: urls, Name: "cometctl", Creds: o.creds}
	var err error
	if cfg.User, cfg.Password, err = o.login(); err != nil {
		return cfg, err
	}
	if o.creds != "" {
		if cfg.User != "" {
			return cfg, errors.New("--nats-creds and --nats-user exclude each other; give one of them")
		}
		if _, err := os.ReadFile(o.creds); err != nil {
			return cfg, fmt.Errorf("--nats-creds %w", err)
		}
	}
	cfg.TLS, err = o.tls()
	return cfg, err
}

// login is the user and the password, both or neither.
func (o natsOptions) login() (user, password string, err error) {
	password = o.password
	switch {
	case o.password != "" && o.passwordFile != "":
		return "", "", errors.New("--nats-password and --nats-password-file exclude each other; give one of them")
	case o.passwordFile != "":
		text, err := os.ReadFile(o.passwordFile)
		if err != nil {
			return "", "", fmt.Errorf("--nats-password-file %w", err)
		}
		password, _, _ = strings.Cut(string(text), "\n")
		if password = strings.TrimSuffix(password, "\r"); password == "" {
			return "", "", fmt.Errorf("--nats-password-file %s: its first line is empty; it must be the password", o.passwordFile)
		}
	}
	switch {
	case o.user == "" && password != "":
		return "", "", errors.New("a password for NATS without its user; give --nats-user")
	case o.user != "" && password == "":
		return "", "", fmt.Errorf("--nats-user %s without a password; give --nats-password-file or --nats-password", o.user)
	}
	return o.user, password, nil
}

// tls is nil where no flag asks for anything.
func (o natsOptions) tls() (*tls.Config, error) {
	if o.ca == "" && o.cert == "" && o.key == "" {
		return nil, nil
	}
	if (o.cert == "") != (o.key == "") {
		return nil, errors.New("--nats-cert and --nats-key go together; give both")
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		text, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--nats-ca %w", err)
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--nats-ca %s: there is no certificate in it; give a PEM file", o.ca)
		}
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("--nats-cert %s, --nats-key %s: %w", o.cert, o.key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
