package wire

import "bytes"

// Request is a request head, RFC 9112 section 3. Its slices are parts of the head that it was parsed from and live as long
// as those bytes. One Request can be used for any number of heads.
type Request struct {
	Method []byte // as sent: methods are case-sensitive
	Target []byte // as sent: origin-form, absolute-form, or "*" for OPTIONS, or an authority for CONNECT
	Path   []byte // the target's path, still escaped; "/" for an absolute-form without one, nil for CONNECT
	Query  []byte // what follows the path's '?', still escaped; nil without a '?'
	Minor  int    // 0 to 9: the version is HTTP/1.Minor

	ContentLength int64 // bytes of the body; -1 where no Content-Length is given, which means none unless Chunked
	Chunked       bool  // the body is chunked
	KeepAlive     bool  // the connection may serve another request, RFC 9112 section 9.3
	Expect100     bool  // the client waits for a 100 (Continue) before it sends the body, RFC 9110 section 10.1.1

	fields []byte // lines that a HeadScanner has checked
}

// ParseRequest parses head, which must be exactly what a HeadScanner has found: a request line, fields and the empty line.
// It applies the same rules and limits again, so that it is safe with bytes that come from elsewhere, and then those of
// meaning: how the body is framed, which version and which host. An error is an *Error; r holds nothing of use then.
func ParseRequest(head []byte, lim Limits, r *Request) error {
	*r = Request{}
	line, fields, err := cutHead(head, lim)
	if err != nil {
		return err
	}
	if err := r.parseLine(line); err != nil {
		return err
	}
	var m meaning
	if err := m.read(fields, r.Minor); err != nil {
		return err
	}
	if m.hosts > 1 || m.hosts == 0 && r.Minor > 0 {
		return reject(400, "%d Host fields in an HTTP/1.%d request", m.hosts, r.Minor)
	}
	r.ContentLength, r.Chunked = m.length, m.chunked
	r.KeepAlive = m.persists(r.Minor)
	r.Expect100 = m.continues && r.Minor > 0
	r.fields = fields
	return nil
}

// Field returns the value of the first field of that name, without the space around it. Case does not matter.
func (r *Request) Field(name string) (value []byte, ok bool) { return field(r.fields, name) }

// parseLine reads method, target and version, with one space between them, RFC 9112 section 3.
func (r *Request) parseLine(line []byte) error {
	first, last := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if first == last { // none, or one
		return reject(400, "request line %+.40q is not a method, a target and a version", line)
	}
	r.Method, r.Target = line[:first], line[first+1:last]
	if span(r.Method, isToken) < len(r.Method) {
		return reject(400, "bad method %+.40q", r.Method)
	}
	if len(r.Target) == 0 || span(r.Target, isTarget) < len(r.Target) {
		return reject(400, "bad request target %+.40q", r.Target)
	}
	var err error
	if r.Minor, err = parseVersion(line[last+1:]); err != nil {
		return err
	}
	return r.parseTarget()
}

// parseTarget takes the target apart, RFC 9112 section 3.2.
func (r *Request) parseTarget() error {
	path, isConnect := r.Target, string(r.Method) == "CONNECT"
	switch {
	case isConnect && validHost(path):
		return nil
	case isConnect:
		return reject(400, "target %+.40q of a CONNECT is not an authority", path)
	case path[0] == '/':
	case len(path) == 1 && path[0] == '*' && string(r.Method) == "OPTIONS":
	default:
		var ok bool
		if path, ok = cutAuthority(path); !ok {
			return reject(400, "bad request target %+.40q", r.Target)
		}
	}
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path, r.Query = path[:i], path[i+1:]
	}
	if len(path) == 0 {
		path = r.Target[bytes.IndexByte(r.Target, '/'):][:1] // absolute-form without a path: "/", lent from the "//"
	}
	r.Path = path
	return nil
}

// cutAuthority takes scheme and authority off a target in absolute-form: only http and https, and no user information
// (RFC 9110 section 4.2.4).
func cutAuthority(target []byte) (path []byte, ok bool) {
	i := bytes.IndexByte(target, ':')
	if i < 0 || !equalFold(target[:i], "http") && !equalFold(target[:i], "https") {
		return nil, false
	}
	rest := target[i+1:]
	if len(rest) < 3 || rest[0] != '/' || rest[1] != '/' {
		return nil, false
	}
	rest = rest[2:]
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return rest[end:], end > 0 && validHost(rest[:end])
}

// parseVersion reads "HTTP/1.1" and its like, RFC 9112 section 2.3.
func parseVersion(b []byte) (minor int, err error) {
	const form = "HTTP/1.1"
	if len(b) != len(form) || string(b[:5]) != form[:5] || b[6] != '.' || class[b[5]]&class[b[7]]&isDigit == 0 {
		return 0, reject(400, "bad HTTP version %+.40q", b)
	}
	if b[5] != '1' {
		return 0, reject(505, "HTTP version %+q is not supported: only HTTP/1.0 and HTTP/1.1 are", b)
	}
	return int(b[7] - '0'), nil
}
