package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// newPair makes a certificate for that name, valid from an hour ago to so long from now, and its key, in PEM form.
func newPair(name string, valid time.Duration) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, k.Public(), k)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), err
}

// pemPair writes a certificate and its key.
func pemPair(t *testing.T) (cert, key string) {
	t.Helper()
	c, k, err := newPair("localhost", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return tempFile(t, string(c)), tempFile(t, string(k))
}

func scriptCertificate(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 4, "certificate NAME VALID CERTFILE KEYFILE")
	valid, err := time.ParseDuration(args[1])
	ts.Check(err)
	cert, key, err := newPair(args[0], valid)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), cert, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), key, 0o600))
}

func scriptServed(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 2, "served HOST:PORT NAME")
	client := &http.Client{Timeout: awaitLimit, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Head("https://" + args[0] + "/test/1")
	ts.Check(err)
	resp.Body.Close()
	if got := resp.TLS.PeerCertificates[0].DNSNames[0]; resp.StatusCode != http.StatusOK || got != args[1] {
		ts.Fatalf("%s answers %s with the certificate of %s, want that of %s", args[0], resp.Status, got, args[1])
	}
}
