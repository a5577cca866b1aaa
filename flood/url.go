package flood

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Errors of a URL. Each reads on from the URL itself: "FILE:LINE: URL is no http:// URL".
var (
	errScheme    = errors.New("is no URL; it should look like http://127.0.0.1:8000/test/1")
	errHTTPS     = errors.New("asks for https, which flood does not speak yet; use http")
	errWSS       = errors.New("asks for wss, which flood does not speak yet; use ws")
	errUser      = errors.New("has a user name, which flood does not send; leave out what stands before the @")
	errFragment  = errors.New("has a fragment (#), which no request carries; leave it out")
	errCharacter = errors.New("has a character that no URL holds; percent-encode it")
	errRange     = errors.New("has braces that are no range; write one like {1..10000}")
	errRanges    = errors.New("has more than one range")
	errHostRange = errors.New("has a range in its host; ranges stand in the path")
)

// parsedURL is a URL or a template. Its slices point into what was parsed.
type parsedURL struct {
	authority      []byte
	websocket      bool   // ws://
	prefix, suffix []byte // without a template, prefix is the whole path
	template       bool
	from, count    uint64 // template: its numbers; count is 1 otherwise
	width          uint8  // template: digits of each number at least, with zeros in front
}

// parseURL takes an http URL (RFC 9110 section 4.2.1) or a ws URL (RFC 6455 section 3) apart, as far as a request needs it: authority, and path with
// query. A range {FROM..TO} in the path makes it a template.
func parseURL(b []byte) (parsedURL, error) {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' {
			_, isHTTP := cutScheme(b, "http://")
			if _, isWS := cutScheme(b, "ws://"); !isHTTP && !isWS {
				return parsedURL{}, errScheme
			}
			return parsedURL{}, errCharacter
		}
	}
	if _, ok := cutScheme(b, "https://"); ok {
		return parsedURL{}, errHTTPS
	}
	if _, ok := cutScheme(b, "wss://"); ok {
		return parsedURL{}, errWSS
	}
	rest, isHTTP := cutScheme(b, "http://")
	rest, isWS := cutScheme(rest, "ws://")
	if isHTTP == isWS { // neither, or one behind the other
		return parsedURL{}, errScheme
	}
	if bytes.IndexByte(rest, '#') >= 0 {
		return parsedURL{}, errFragment
	}
	u := parsedURL{authority: rest, websocket: isWS, prefix: []byte("/"), count: 1}
	if i := bytes.IndexAny(rest, "/?"); i >= 0 {
		u.authority, u.prefix = rest[:i], rest[i:]
		if rest[i] == '?' {
			u.prefix = append([]byte("/"), rest[i:]...)
		}
	}
	switch {
	case bytes.IndexByte(u.authority, '@') >= 0:
		return u, errUser
	case bytes.ContainsAny(u.authority, "{}"):
		return u, errHostRange
	case bytes.ContainsAny(u.prefix, "{}"):
		return u, u.parseRange()
	}
	return u, nil
}

func cutScheme(b []byte, scheme string) ([]byte, bool) {
	if len(b) < len(scheme) || !bytes.EqualFold(b[:len(scheme)], []byte(scheme)) {
		return b, false
	}
	return b[len(scheme):], true
}

// parseRange takes the one range out of u.prefix.
func (u *parsedURL) parseRange() error {
	before, rest, _ := bytes.Cut(u.prefix, []byte("{"))
	inside, after, closed := bytes.Cut(rest, []byte("}"))
	from, to, dots := bytes.Cut(inside, []byte(".."))
	if !closed || !dots || bytes.ContainsAny(before, "{}") {
		return errRange
	}
	if bytes.ContainsAny(after, "{}") {
		return errRanges
	}
	first, err1 := parseNumber(from)
	last, err2 := parseNumber(to)
	if err1 != nil || err2 != nil {
		return errRange
	}
	if first > last {
		return fmt.Errorf("has the range {%d..%d}, which ends before it begins", first, last)
	}
	if padded(from) || padded(to) {
		u.width = uint8(max(len(from), len(to)))
	}
	u.template, u.prefix, u.suffix = true, before, after
	u.from, u.count = first, last-first+1
	return nil
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

// splitAuthority splits "host:port", "host" or "[v6]:port"; the port is 80 by default.
func splitAuthority(a string) (name string, port uint16, err error) {
	name, digits := a, "80"
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

// quote shows the beginning of what should have been a URL, on one line.
func quote(b []byte) string {
	const most = 80
	if len(b) > most {
		return fmt.Sprintf("%.*q...", most, b)
	}
	return fmt.Sprintf("%q", b)
}
