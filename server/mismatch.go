package server

import (
	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// This file is about clients that speak TLS where HTTP is spoken, or HTTP where TLS is. Each is told so in words that it may understand, and
// the log says it once: it is mostly one address that was written down wrong somewhere.

// notTLS answers a client that sends plain HTTP to a port that speaks TLS, as net/http does. Others than HTTP clients hear nothing.
func (f *front) notTLS(l netloop.Loop, c netloop.Conn, first [5]byte) {
	for _, ch := range first {
		if ch < ' ' || ch > '~' {
			return
		}
	}
	f.s.toldPlain.Do(func() {
		f.s.cfg.Log.Warn("a client speaks plain HTTP to the comet listener, which speaks TLS; it must ask for https://. This is said once")
	})
	f.refuseWith(l, c, causeTLS, 400, "This port speaks TLS: ask for https://, not http://.\n")
}

// recordHandshake is the first byte of a TLS connection (RFC 8446, section 5.1). No request begins with it.
const recordHandshake = 22

// unwantedTLS is the error for the first bytes of a TLS client, instead of what HTTP says of them.
func (f *front) unwantedTLS(first []byte, err error) error {
	if first[0] != recordHandshake {
		return err
	}
	f.s.toldTLS.Do(func() {
		f.s.cfg.Log.Warn("a client speaks TLS to the comet listener, which speaks plain HTTP; give --tls-cert and --tls-key, or it must ask for http://. This is said once")
	})
	return &wire.Error{Status: 400, Reason: "This port speaks plain HTTP, not TLS."}
}
