package server

import (
	"errors"
	"io"

	"cometctl/internal/netloop"
)

// cause says why a connection has ended, or why a request was refused. Every end and every refusal has one, and is counted under it.
type cause uint8

const (
	causePeer        cause = iota // the client has ended the connection in order
	causeAnswered                 // the response had an end, and the client or its version of HTTP wanted no other
	causeHeadTimeout              // no whole request within HeadTimeout
	causeIdleTimeout              // no further request within KeepAlive
	causeSlow                     // pending output at its bound, by SlowClose or where nothing may be dropped
	causeDrained                  // this server is about to end, or has ended
	causeBadRequest               // the request cannot be understood, or asks for what is not there for anybody
	causePipelined                // more was sent behind a request whose response has no end, or too much behind one that waits
	causeNotFound                 // no such path
	causeFull                     // MaxConns
	causeFullIP                   // as many connections from that address as one may have
	causeFullID                   // as many sessions of that id as one may have
	causeRate                     // too many connections a second
	causeHandshakes               // too many connections without a request
	causeTLS                      // no TLS where there must be
	causeKicked                   // an operator has ended the session
	causeProtocol                 // a WebSocket client broke the protocol
	causeError                    // the system said so: a reset, a broken pipe, a timeout of TCP
	causes
)

// causeNames are the causes as /stats and /metrics have them.
var causeNames = [causes]string{"peer", "answered", "timeout_head", "timeout_idle", "slow", "drained", "bad_request", "pipelined", "not_found",
	"full", "full_ip", "full_id", "rate", "handshakes", "tls", "kicked", "protocol", "error"}

// complaints are what the log says of an end that somebody should know of. Each is a kind of its own for who limits the log.
var complaints = [causes]string{
	causeSlow:       "a subscriber was too slow, and its connection was ended",
	causeFull:       "a client was refused: as many connections are open as may be (--max-conns)",
	causeFullIP:     "a client was refused: as many connections are open from its address as may be (--max-conns-per-ip)",
	causeFullID:     "a client was refused: its id has as many sessions as it may have (--max-conns-per-id)",
	causeRate:       "a client was refused: too many came within a second (--accept-rate)",
	causeHandshakes: "a client was refused: too many are open that have not asked for anything (--max-handshakes)",
	causeTLS:        "a TLS handshake has failed",
}

// complain logs an end that somebody should know of.
func (f *front) complain(why cause, err error) {
	switch {
	case complaints[why] == "":
	case why == causeTLS && err != nil:
		f.s.cfg.Log.Warn(complaints[why], "reason", err)
	default:
		f.s.cfg.Log.Warn(complaints[why])
	}
}

// String is the cause's name.
func (w cause) String() string { return causeNames[w] }

// Reasons why the front closes a connection itself, instead of letting it end in order.
var (
	errHeadTimeout = errors.New("server: no request head in time")
	errIdle        = errors.New("server: no further request in time")
	errSlow        = errors.New("server: subscriber too slow")
)

// causeOf is the cause of an end that the front did not bring about.
func causeOf(err error) cause {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return causePeer
	case errors.Is(err, netloop.ErrPending):
		return causeSlow
	case errors.Is(err, netloop.ErrHandshake):
		return causeTLS
	case errors.Is(err, netloop.ErrClosed):
		return causeDrained
	}
	return causeError
}
