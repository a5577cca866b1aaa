package flood

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"cometctl/internal/wire"
)

// Errors of a URL. Each reads on from the URL itself: "FILE:LINE: URL is no http:// URL".
var (
	errScheme    = errors.New("is no URL; it should look like http://127.0.0.1:8000/test/1")
	errFragment  = errors.New("has a fragment (#), which no request carries; leave it out")
	errCharacter = errors.New("has a character that no URL holds; percent-encode it")
	errHostRange = errors.New("has braces in its host or user name; ranges and placeholders stand in the path")
)

// schemes are the ways in which a URL begins.
var schemes = []struct {
	text              string
	websocket, secure bool
}{{"http://", false, false}, {"https://", false, true}, {"ws://", true, false}, {"wss://", true, true}}

// schemeOf is how a URL begins.
func schemeOf(websocket, secure bool) string {
	for _, s := range schemes {
		if s.websocket == websocket && s.secure == secure {
			return s.text
		}
	}
	return ""
}

// parsedURL is a URL or a template. Its slices point into what was parsed.
type parsedURL struct {
	authority      []byte // with user:password@, if it has that
	websocket      bool   // ws:// or wss://
	secure         bool   // https:// or wss://
	prefix, suffix []byte // without a template, prefix is the whole path
	blanks, cursor bool   // a blank stands in it; {cursor} does
	template       bool
	from, count    uint64 // template: its numbers; count is 1 otherwise
	width          uint8  // template: digits of each number at least, with zeros in front
}

// parseURL takes an http or https URL (RFC 9110 section 4.2) or a ws or wss URL (RFC 6455 section 3) apart, as far as a request needs it: authority, and path with
// query. A range {FROM..TO} in the path makes it a template; other braces are blanks.
func parseURL(b []byte) (parsedURL, error) {
	u := parsedURL{prefix: []byte("/"), count: 1}
	rest, ok := u.cutScheme(b)
	if !ok {
		return u, errScheme
	}
	for _, c := range rest {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' {
			return u, errCharacter
		}
	}
	if bytes.IndexByte(rest, '#') >= 0 {
		return u, errFragment
	}
	u.authority = rest
	if i := bytes.IndexAny(rest, "/?"); i >= 0 {
		u.authority, u.prefix = rest[:i], rest[i:]
		if rest[i] == '?' {
			u.prefix = append([]byte("/"), rest[i:]...)
		}
	}
	switch {
	case bytes.ContainsAny(u.authority, "{}"):
		return u, errHostRange
	case bytes.ContainsAny(u.prefix, "{}"):
		return u, u.parseBraces(len(b) - len(rest) + len(u.authority))
	}
	return u, nil
}

// cutScheme notes the scheme that b begins with.
func (u *parsedURL) cutScheme(b []byte) (rest []byte, ok bool) {
	for _, s := range schemes {
		if len(b) >= len(s.text) && bytes.EqualFold(b[:len(s.text)], []byte(s.text)) {
			u.websocket, u.secure = s.websocket, s.secure
			return b[len(s.text):], true
		}
	}
	return b, false
}

// parseNumber accepts a decimal number below 2^53 without sign, of no more digits than a uint64 can have.
func parseNumber(b []byte) (uint64, error) {
	if len(b) == 0 || len(b) > 20 || b[0] == '+' {
		return 0, errRange
	}
	return strconv.ParseUint(string(b), 10, 53)
}

// padded reports whether a number has leading zeros. One such end gives every number of the range the length of the
// longer end, as in bash.
func padded(b []byte) bool { return len(b) > 1 && b[0] == '0' }

// splitAuthority splits "host:port", "host" or "[v6]:port"; the port is 80 by default, and 443 with TLS.
func splitAuthority(a string, secure bool) (name string, port uint16, err error) {
	name, digits := a, "80"
	if secure {
		digits = "443"
	}
	if host, p, err := net.SplitHostPort(a); err == nil {
		name, digits = host, p
	} else if len(a) > 2 && a[0] == '[' && a[len(a)-1] == ']' {
		name = a[1 : len(a)-1]
	} else if strings.Contains(a, ":") {
		return "", 0, fmt.Errorf("has the host and port %q, which are none", a)
	}
	if name == "" {
		return "", 0, errors.New("has no host")
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("has the port %q; ports are 1 to 65535", digits)
	}
	return name, uint16(n), nil
}

// appendNumber appends n with as many zeros in front as width digits need.
func appendNumber(dst []byte, n uint64, width uint8) []byte {
	for limit := uint64(10); width > 1; width, limit = width-1, limit*10 {
		if n < limit {
			return strconv.AppendUint(append(dst, "00000000000000000000"[:width-1]...), n, 10)
		}
	}
	return strconv.AppendUint(dst, n, 10)
}

// quote shows the beginning of what should have been a URL, on one line and without its password.
func quote(b []byte) string {
	b = []byte(wire.RedactURL(string(b)))
	const most = 80
	if len(b) > most {
		return fmt.Sprintf("%.*q...", most, b)
	}
	return fmt.Sprintf("%q", b)
}
