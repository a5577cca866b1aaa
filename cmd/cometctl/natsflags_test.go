package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func tempFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNatsOptions(t *testing.T) {
	cert, key := pemPair(t)
	secret := tempFile(t, "s3cret\r\nmore\n")
	empty := tempFile(t, "\n")
	for _, c := range []struct {
		o    natsOptions
		want string // in the error
	}{
		{natsOptions{}, ""},
		{natsOptions{user: "u", password: "p"}, ""},
		{natsOptions{user: "u", passwordFile: secret}, ""},
		{natsOptions{creds: secret}, ""},
		{natsOptions{ca: cert}, ""},
		{natsOptions{ca: cert, cert: cert, key: key}, ""},
		{natsOptions{user: "u"}, "--nats-user u without a password"},
		{natsOptions{password: "p"}, "without its user"},
		{natsOptions{user: "u", password: "p", passwordFile: secret}, "exclude each other"},
		{natsOptions{user: "u", passwordFile: empty}, "first line is empty"},
		{natsOptions{user: "u", passwordFile: "nosuch"}, "--nats-password-file open nosuch"},
		{natsOptions{creds: "nosuch"}, "--nats-creds open nosuch"},
		{natsOptions{creds: secret, user: "u", password: "p"}, "exclude each other"},
		{natsOptions{ca: "nosuch"}, "--nats-ca open nosuch"},
		{natsOptions{ca: key}, "no certificate in it"},
		{natsOptions{cert: cert}, "go together"},
		{natsOptions{key: key}, "go together"},
		{natsOptions{cert: key, key: cert}, "--nats-cert"},
	} {
		cfg, err := c.o.connect([]string{"nats://127.0.0.1:4222"})
		switch {
		case (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		case err != nil:
		case cfg.User != c.o.user || c.o.passwordFile != "" && cfg.Password != "s3cret" || cfg.Creds != c.o.creds:
			t.Errorf("%+v: %+v", c.o, cfg)
		case (cfg.TLS != nil) != (c.o.ca != "") || c.o.cert != "" && len(cfg.TLS.Certificates) != 1:
			t.Errorf("%+v: TLS %+v", c.o, cfg.TLS)
		}
		if c.o.given() != (c.o != natsOptions{}) {
			t.Errorf("%+v: given is %v", c.o, c.o.given())
		}
	}
}
