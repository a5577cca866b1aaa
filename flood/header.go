package flood

import (
	"errors"
	"fmt"
	"strings"

	"cometctl/internal/wire"
)

// Header is what requests carry besides their target: the fields of -H, and those that a request has anyway. The zero
// Header is Host, User-Agent and Accept.
type Header struct {
	host          string // "" is each target's own
	text          string // the lines of -H but Host's
	agent, accept bool   // text has this field
	protocols     string // what text says by Sec-WebSocket-Protocol
	authorization bool   // text has this field
	blanks        bool   // a blank stands in host or text
	cursor        bool   // {cursor} does
}

// Errors of a field. Each reads on from the field itself.
var (
	errNoField   = errors.New("is no header field; write 'Name: value'")
	errLineBreak = errors.New("has a line break, which would begin another field; give each field a -H of its own")
	errFraming   = errors.New("says how a request is framed; flood sends a GET without a body and says nothing of it")
	errNoHost    = errors.New("names no host")
	errUser      = errors.New("has a user name, and -H an Authorization; a request has one of them")
	errRepeated  = errors.New("is there twice; a request has one")
)

// ParseHeader reads fields as -H gives them, "Name: value" each (RFC 9110 section 5). Host, User-Agent and Accept replace
// what a request has anyway. A field that would change where a request ends is refused.
func ParseHeader(fields []string) (Header, error) {
	var h Header
	for _, f := range fields {
		name, value, err := parseField(f)
		if err != nil {
			return Header{}, fmt.Errorf("%s %w", quote([]byte(f)), err)
		}
		switch strings.ToLower(name) {
		case "host":
			if h.host != "" {
				return Header{}, fmt.Errorf("%s %w", quote([]byte(f)), errRepeated)
			}
			h.host = value
			continue
		case "user-agent":
			h.agent = true
		case "accept":
			h.accept = true
		case "authorization":
			h.authorization = true
		case "sec-websocket-protocol":
			h.protocols = strings.TrimPrefix(h.protocols+", "+value, ", ")
		}
		h.text += name + ": " + value + "\r\n"
	}
	h.cursor = strings.Contains(h.host+h.text, string(blankCursor))
	h.blanks = hasBlanks(h.host) || hasBlanks(h.text)
	probe := []byte("GET / HTTP/1.1\r\n" + h.lines("h", dialectStream))
	return h, wire.ParseRequest(probe, wire.Limits{}, &wire.Request{}) // their number, and the bytes of them all
}

// parseField checks one field. What a request may hold is wire's to say, in a request of its own.
func parseField(f string) (name, value string, err error) {
	name, value, ok := strings.Cut(f, ":")
	value = strings.Trim(value, " \t")
	switch {
	case strings.ContainsAny(f, "\r\n"):
		return "", "", errLineBreak
	case !ok || name == "":
		return "", "", errNoField
	case strings.EqualFold(name, "host") && value == "":
		return "", "", errNoHost
	}
	switch strings.ToLower(name) {
	case "content-length", "transfer-encoding":
		return "", "", errFraming
	}
	head := "GET / HTTP/1.0\r\n" + name + ": " + value + "\r\n" // 1.0 needs no Host, and takes one
	if err := wire.ParseRequest([]byte(head+"\r\n"), wire.Limits{}, &wire.Request{}); err != nil {
		return "", "", fmt.Errorf("cannot be sent: %w", err)
	}
	return name, value, nil
}

// withUser is h with the name and password of a URL.
func (h Header) withUser(userinfo []byte) (Header, error) {
	if h.authorization {
		return h, errUser
	}
	value, err := wire.AppendBasic(nil, userinfo)
	if err != nil {
		return h, fmt.Errorf("cannot be logged in to: %w", err)
	}
	h.text += "Authorization: " + string(value) + "\r\n"
	return h, nil
}

// withProtocols is h with the subprotocols that a WebSocket asks for.
func (h Header) withProtocols(protocols string) Header {
	if protocols != "" {
		h.text += "Sec-WebSocket-Protocol: " + protocols + "\r\n"
	}
	return h
}

// lines are the fields of a request to a host, and the empty line behind them.
func (h Header) lines(host string, d dialect) string {
	if h.host != "" {
		host = h.host
	}
	text := "Host: " + host + "\r\n"
	if !h.agent {
		text += "User-Agent: cometctl\r\n"
	}
	if !h.accept {
		text += "Accept: " + d.accept() + "\r\n"
	}
	return text + h.text + "\r\n"
}
