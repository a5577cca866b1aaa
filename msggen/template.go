package msggen

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"cometctl/internal/wire"
)

// template makes the requests of a server that takes one message each: METHOD, URL, fields and body with placeholders
// in them, cut into segments once, so that a message costs copying and nothing else. It does not change and is shared by
// all workers.
type template struct {
	scheme string    // http or https
	user   string    // the value of the Authorization field that user:password@ make, if there are any
	host   string    // name and port, as they stand in the URL
	head   []segment // from the request line on, up to where Content-Length stands or the empty line
	body   []segment
	long   bool // there is a body, if an empty one
}

// segment is a piece of a template: text, or a placeholder.
type segment struct {
	text  string
	place place
}

type place uint8

const (
	placeNone place = iota // text
	placeID                // {id}
	placeMsg               // {msg}: as it is
	placeURL               // {msg_url}: percent-encoded
	placeJSON              // {msg_json}: a JSON string with its quotes
)

const wayOut = "placeholders are {id}, {msg}, {msg_url} and {msg_json}"

var (
	errBrace     = errors.New("a brace without its other half")
	errNoMessage = errors.New("nothing of the message would be sent: put {msg_url} into the URL, or {msg} into a header or the body")
)

// isTemplate tells whether Config.To asks for one request per message: with a method in front, or with a placeholder.
func isTemplate(to string) bool { return strings.ContainsAny(to, " {}") }

// parseTemplate compiles the request that c asks for, and says what is wrong with it.
func parseTemplate(c *Config) (*template, error) {
	method, address, shown := "POST", c.To, wire.RedactURL(c.To)
	if words := strings.Fields(c.To); len(words) == 2 {
		method, address = words[0], words[1]
	} else if len(words) > 2 {
		return nil, fmt.Errorf("--to %q has spaces in its URL: write METHOD URL, and %%20 for a space", shown)
	}
	t := &template{}
	target, err := t.locate(address, c.AllowRemote)
	if err != nil {
		return nil, fmt.Errorf("--to %q: %w", shown, err)
	}
	if method == "HEAD" || method == "CONNECT" {
		return nil, fmt.Errorf("--to %q: answers to %s have a framing of their own, which is not read here; use GET or POST", shown, method)
	}
	if err := checkHead([]byte(method + " / HTTP/1.0\r\n\r\n")); err != nil {
		return nil, fmt.Errorf("--to %q: %.40q is no method; write METHOD URL, such as POST http://127.0.0.1:8010/send/{id}", shown, method)
	}
	t.head = append([]segment{{text: method + " "}}, target...)
	if err := t.fields(c); err != nil {
		return nil, err
	}
	text := ""
	switch t.long = c.Body != nil; {
	case t.long:
		text = *c.Body
	case slices.Contains([]string{"POST", "PUT", "PATCH"}, method):
		text, t.long = "{msg}", true
	}
	if t.body, err = parseSegments(text); err != nil {
		return nil, fmt.Errorf("--body %.80q: %w", text, err)
	}
	if !slices.ContainsFunc(slices.Concat(t.head, t.body), func(s segment) bool { return s.place > placeID }) {
		return nil, fmt.Errorf("--to %q: %w", shown, errNoMessage)
	}
	if c.Lines != nil && slices.ContainsFunc(t.head, func(s segment) bool { return s.place == placeMsg }) {
		if line := c.Lines.controls(); line > 0 {
			return nil, fmt.Errorf("--lines: line %d has a control character, which cannot stand in a header; write {msg_url} or {msg_json} there", line)
		}
	}
	t.head = join(t.head)
	// What is left to find out, wire finds: bytes of a target, the length of a head, a field that stands there twice.
	var s sheet
	s.take([]byte("1"), []byte("Fake message Num = 1 ~1.1.1.1~"))
	sample := t.append(nil, &s)
	if err := checkHead(sample[:strings.Index(string(sample), "\r\n\r\n")+4]); err != nil {
		return nil, fmt.Errorf("--to %q: no request can be made of it: %w", shown, err)
	}
	return t, nil
}

func checkHead(head []byte) error {
	return wire.ParseRequest(head, wire.Limits{}, &wire.Request{})
}

// locate takes a URL apart: its host into t.host, the rest into segments.
func (t *template) locate(address string, allowRemote bool) (segments []segment, err error) {
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https"):
		return nil, errors.New("it must hold an http or https URL such as http://127.0.0.1:8010/send/{id}")
	case strings.Contains(rest, "#"):
		return nil, errors.New("a fragment (#) is not sent; leave it out, or write %23")
	}
	i := strings.IndexAny(rest, "/?")
	if i < 0 {
		i = len(rest)
	}
	if strings.ContainsAny(rest[:i], "{}") {
		return nil, errors.New("a placeholder in the host; they stand in the path and behind it")
	}
	t.scheme = strings.ToLower(scheme)
	if err := CheckTarget(t.scheme+"://"+rest[:i], allowRemote); err != nil {
		return nil, err
	}
	userinfo, host, _ := wire.CutUserinfo([]byte(rest[:i]))
	t.host = string(host)
	if t.user, err = basic(string(userinfo)); err != nil {
		return nil, err
	}
	target := rest[i:]
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	segments, err = parseSegments(target)
	if err != nil {
		return nil, err
	}
	for _, s := range segments {
		switch {
		case s.place == placeMsg || s.place == placeJSON:
			return nil, errors.New("a message has spaces, which no URL holds: write {msg_url}, which is percent-encoded")
		case strings.ContainsAny(s.text, "{}"):
			return nil, fmt.Errorf("braces around no placeholder in a URL; %s", wayOut)
		}
	}
	return segments, nil
}

// fields appends the end of the request line and the fields: what a request has anyway, unless it is replaced, and those
// of -H.
func (t *template) fields(c *Config) error {
	if c.Authorization != "" && t.user != "" {
		return errTwoAuthorizations
	}
	host, agent := "Host: "+t.host+"\r\n", "User-Agent: cometctl-msggen\r\n"
	var given []segment
	for _, f := range c.Header {
		name, value, err := checkField(f)
		if err != nil {
			return fmt.Errorf("--header %.80q: %w", f, err)
		}
		switch strings.ToLower(name) {
		case "host":
			host = ""
		case "user-agent":
			agent = ""
		case "authorization":
			if c.Authorization != "" || t.user != "" {
				return errTwoAuthorizations
			}
		}
		parts, err := parseSegments(value)
		if err != nil {
			return fmt.Errorf("--header %.80q: %w", f, err)
		}
		given = append(given, segment{text: name + ": "})
		given = append(given, parts...)
		given = append(given, segment{text: "\r\n"})
	}
	t.head = append(t.head, segment{text: " HTTP/1.1\r\n" + host + agent + authorizationLine(c.Authorization+t.user)})
	t.head = append(t.head, given...)
	return nil
}

// authorizationLine is that field as a line, if there is one.
func authorizationLine(value string) string {
	if value == "" {
		return ""
	}
	return "Authorization: " + value + "\r\n"
}

// checkField takes "Name: value" apart and says what is wrong with it. What bytes a field may hold is wire's to say.
func checkField(f string) (name, value string, err error) {
	name, value, ok := strings.Cut(f, ":")
	value = strings.Trim(value, " \t")
	switch lower := strings.ToLower(name); {
	case strings.ContainsAny(f, "\r\n"):
		return "", "", errors.New("a line break would begin another field; give each a -H of its own")
	case !ok || name == "":
		return "", "", errors.New("no header field; write 'Name: value'")
	case lower == "host" && value == "":
		return "", "", errors.New("no host is named")
	case lower == "content-length" || lower == "transfer-encoding":
		return "", "", errors.New("msggen says itself how a request is framed")
	case lower == "host" && strings.ContainsAny(value, "{}"):
		return "", "", errors.New("a placeholder in the host")
	}
	// HTTP/1.0 needs no Host, and takes one.
	if err := checkHead([]byte("GET / HTTP/1.0\r\n" + name + ": " + value + "\r\n\r\n")); err != nil {
		return "", "", fmt.Errorf("it cannot be sent: %w", err)
	}
	return name, value, nil
}

// parseSegments cuts text at its placeholders. A brace in front of a letter begins one; every other brace is text, as
// JSON needs it, and must have its other half. So {"id":"{id}","text":{msg_json}} says what it seems to say.
func parseSegments(text string) (all []segment, err error) {
	depth, from := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '}':
			if depth--; depth < 0 {
				return nil, fmt.Errorf("%w: %.20q", errBrace, text[i:])
			}
		case '{':
			n := nameLength(text[i+1:])
			if n == 0 {
				depth++
				continue
			}
			end := i + 1 + n
			if end == len(text) || text[end] != '}' {
				return nil, fmt.Errorf("%w: %.20q", errBrace, text[i:])
			}
			p, err := parsePlace(text[i+1 : end])
			if err != nil {
				return nil, err
			}
			all = append(all, segment{text: text[from:i]}, segment{place: p})
			i, from = end, end+1
		}
	}
	if depth > 0 {
		return nil, fmt.Errorf("%w: %d of { are never closed", errBrace, depth)
	}
	return join(append(all, segment{text: text[from:]})), nil
}

// nameLength is the length of the name at the front of s.
func nameLength(s string) int {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

func parsePlace(name string) (place, error) {
	switch name {
	case "id":
		return placeID, nil
	case "msg":
		return placeMsg, nil
	case "msg_url":
		return placeURL, nil
	case "msg_json":
		return placeJSON, nil
	}
	return placeNone, fmt.Errorf("unknown placeholder {%.40s}; %s", name, wayOut)
}

// join makes one segment of texts that follow each other, and drops empty ones.
func join(all []segment) (joined []segment) {
	for _, s := range all {
		last := len(joined) - 1
		switch {
		case s.place != placeNone || last < 0 || joined[last].place != placeNone:
			if s != (segment{}) {
				joined = append(joined, s)
			}
		default:
			joined[last].text += s.text
		}
	}
	return joined
}

// url is the server to dial.
func (t *template) url() *url.URL {
	u, _ := url.Parse(t.scheme + "://" + t.host) // locate has seen it
	return u
}

// sheet is one message in the forms that a template may ask for. It is scratch of one worker.
type sheet struct {
	id, msg []byte
	body    []byte
}

// take sets what the next request says; both stay the caller's.
func (s *sheet) take(id, msg []byte) { s.id, s.msg = id, msg }

// append appends the request for the message in s.
func (t *template) append(dst []byte, s *sheet) []byte {
	dst = appendSegments(dst, t.head, s)
	if !t.long {
		return append(dst, "\r\n"...)
	}
	s.body = appendSegments(s.body[:0], t.body, s)
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(s.body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, s.body...)
}

func appendSegments(dst []byte, all []segment, s *sheet) []byte {
	for i := range all {
		switch all[i].place {
		case placeNone:
			dst = append(dst, all[i].text...)
		case placeID:
			dst = append(dst, s.id...)
		case placeMsg:
			dst = append(dst, s.msg...)
		case placeURL:
			dst = appendEscaped(dst, s.msg)
		case placeJSON:
			dst = wire.AppendJSON(dst, s.msg)
		}
	}
	return dst
}

// appendEscaped appends b percent-encoded but for the unreserved characters of RFC 3986 section 2.3. A stamp has no others.
func appendEscaped(dst, b []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
