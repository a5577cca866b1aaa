package wire

// Response is a response head, RFC 9112 section 4. One Response can be used for any number of heads.
type Response struct {
	Status int // 100 to 999
	Minor  int // 0 to 9: the version is HTTP/1.Minor

	ContentLength int64 // bytes of the body; -1: it is chunked, or lasts until the connection ends
	Chunked       bool  // the body is chunked
	KeepAlive     bool  // the connection may serve another request after this body, RFC 9112 section 9.3

	fields []byte // lines that a HeadScanner has checked
}

// ParseResponse parses head, which must be exactly what a HeadScanner has found: a status line, fields and the empty line.
// It applies the same rules and limits again. ContentLength and Chunked tell how the body of an answer to GET or POST is
// framed (RFC 9112 section 6.3): a status of 1xx, 204 or 304 has none, whatever the fields say. An answer to HEAD never
// has one, which only the caller knows. An error is an *Error; r holds nothing of use then.
func ParseResponse(head []byte, lim Limits, r *Response) error {
	*r = Response{}
	if len(head) > 0 && head[0] == '\r' {
		return reject(400, "empty line before a status line")
	}
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
	r.ContentLength, r.Chunked = m.length, m.chunked
	r.KeepAlive = m.persists(r.Minor)
	if r.Status < 200 || r.Status == 204 || r.Status == 304 {
		r.ContentLength, r.Chunked = 0, false
	} else if m.length < 0 && !m.chunked {
		r.KeepAlive = false // only the connection's end ends the body
	}
	r.fields = fields
	return nil
}

// Field returns the value of the first field of that name, without the space around it. Case does not matter. The value is
// a part of the head that the Response was parsed from and lives as long as those bytes.
func (r *Response) Field(name string) (value []byte, ok bool) { return field(r.fields, name) }

// parseLine reads version and status, RFC 9112 section 4. The reason phrase is for people; many servers leave it out, and
// some the space before it.
func (r *Response) parseLine(line []byte) error {
	const form = "HTTP/1.1 200"
	if len(line) < len(form) || line[8] != ' ' || len(line) > len(form) && line[12] != ' ' {
		return reject(400, "bad status line %+.40q", line)
	}
	var err error
	if r.Minor, err = parseVersion(line[:8]); err != nil {
		return err
	}
	status, ok := parseDecimal(line[9:12])
	if !ok || status < 100 {
		return reject(400, "bad status %+q", line[9:12])
	}
	r.Status = int(status)
	return nil
}
