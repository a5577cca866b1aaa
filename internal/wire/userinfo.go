package wire

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// CutUserinfo splits an authority at its last @: what stands before it (RFC 3986 section 3.2.1), and host and port. found tells of an @.
func CutUserinfo(authority []byte) (userinfo, host []byte, found bool) {
	i := bytes.LastIndexByte(authority, '@')
	if i < 0 {
		return nil, authority, false
	}
	return authority[:i], authority[i+1:], true
}

// AppendBasic appends the value of an Authorization field, "Basic ..." (RFC 7617), for userinfo, user:password with what else is percent-encoded
// in it. Without a colon the password is empty. An error is an *Error with status 400; dst comes back as it was then.
func AppendBasic(dst, userinfo []byte) ([]byte, error) {
	for _, c := range userinfo {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || bytes.IndexByte([]byte("-._~!$&'()*+,;=:@%"), c) >= 0 {
			continue
		}
		return dst, reject(400, "a character in a user name or password that has to be percent-encoded")
	}
	user, password, _ := bytes.Cut(userinfo, []byte(":"))
	text, err := AppendUnescaped(nil, user)
	if err != nil {
		return dst, reject(400, "bad escape in a user name")
	}
	if bytes.IndexByte(text, ':') >= 0 {
		return dst, reject(400, "a user name with a colon in it, which no server could tell from the password")
	}
	if text, err = AppendUnescaped(append(text, ':'), password); err != nil {
		return dst, reject(400, "bad escape in a password") // and not one byte of it
	}
	if span(text, isText) < len(text) || bytes.IndexByte(text, '\t') >= 0 {
		return dst, reject(400, "a control character in a user name or password")
	}
	return base64.StdEncoding.AppendEncode(append(dst, "Basic "...), text), nil
}

// RedactURL is url, or a text that holds one, with xxxxx for its password: it is for people to read. Where a slash was not encoded in the password,
// what follows the slash is hidden up to the last @ as well.
func RedactURL(url string) string {
	start := strings.Index(url, "://")
	if start < 0 {
		return url
	}
	start += len("://")
	authority := url[start:]
	if i := strings.IndexAny(authority, "/?#"); i >= 0 {
		authority = authority[:i]
	}
	colon := strings.IndexByte(authority, ':')
	if colon < 0 {
		return url
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 { // a port, or the beginning of a password with a slash
		if digits := authority[colon+1:]; strings.Trim(digits, "0123456789") == "" || authority[0] == '[' {
			return url
		}
		if at = strings.LastIndexByte(url[start:], '@'); at < 0 {
			return url
		}
	}
	if at < colon {
		return url // a user, and a port
	}
	return url[:start+colon+1] + "xxxxx" + url[start+at:]
}
