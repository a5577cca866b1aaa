package wire

// HeadScanner finds the end of a head however its bytes are cut, and refuses bad bytes as they come: a peer that sends
// rubbish, or more than the Limits allow, is recognised at the first such byte and not after a buffer has filled up. Each
// byte is looked at once. The zero value is ready for a head, and a scanner that has found one is ready for the next.
//
// A head is a start line and fields, each ended by CRLF, and an empty line (RFC 9112 section 2.1). One empty line before
// the start line is taken as part of the head (section 2.2). Nothing else is let through: no LF without CR, no CR without
// LF, no control byte, no folded line (obs-fold), no field without a name, no space around a field's name.
type HeadScanner struct {
	size   uint32    // bytes from the start line on
	fields uint32    // fields begun
	state  scanState // what comes next
}

type scanState uint8

// The states, in the order in which a head passes them. In those marked with a class, bytes of that class stay.
const (
	atHead  scanState = iota // nothing has come yet
	blankLF                  // the CR of an empty line before the start line has come
	atStart                  // that empty line has come
	inStart                  // isText: in the start line
	startLF                  // the CR of the start line has come
	atField                  // at the beginning of a line
	inName                   // isToken: in a field's name
	inValue                  // isText: behind the colon
	valueLF                  // the CR of a field has come
	endLF                    // the CR of the empty line has come
)

// Scan takes the next bytes of a connection. n of them belong to the head; done tells that the last of these n ends it,
// what follows is the body or the next message. Without done and err, n is len(b): keep the bytes and scan only what
// comes next. An error is an *Error, and n the index of the byte that caused it.
func (s *HeadScanner) Scan(b []byte, lim Limits) (n int, done bool, err error) {
	lim = lim.orDefault()
	for n < len(b) {
		if k := s.run(b[n:], lim); k > 0 {
			n += k
			s.size += uint32(k)
			continue
		}
		next, err := s.turn(b[n], lim)
		if err != nil {
			return n, false, err
		}
		n++
		s.size++
		switch next {
		case atHead:
			*s = HeadScanner{}
			return n, true, nil
		case atStart:
			s.size = 0 // an empty line before the head is not charged to it
		}
		s.state = next
	}
	return n, false, nil
}

// run is the number of bytes at the front of b that neither change the state nor exceed a limit.
func (s *HeadScanner) run(b []byte, lim Limits) int {
	room := lim.Head - int(s.size)
	var bits uint8
	switch s.state {
	case inStart:
		bits, room = isText, min(room, lim.Line-int(s.size))
	case inName:
		bits = isToken
	case inValue:
		bits = isText
	default:
		return 0
	}
	return span(b[:max(0, min(room, len(b)))], bits)
}

// turn is the state after c, a byte that run has left over. It returns atHead after the last byte of a head.
func (s *HeadScanner) turn(c byte, lim Limits) (scanState, error) {
	if s.state <= inStart {
		return s.turnStart(c, lim)
	}
	if int(s.size) >= lim.Head {
		return 0, reject(431, "head is longer than %d bytes", lim.Head)
	}
	switch s.state {
	case atField:
		return s.turnField(c, lim)
	case inName:
		if c == ':' {
			return inValue, nil
		}
		return 0, badName(c)
	case inValue:
		if c == '\r' {
			return valueLF, nil
		}
		return 0, badText(c, "a field value")
	}
	if c != '\n' { // startLF, valueLF, endLF
		return 0, bareCR(c)
	}
	if s.state == endLF {
		return atHead, nil
	}
	return atField, nil
}

// turnStart is turn up to the end of the start line.
func (s *HeadScanner) turnStart(c byte, lim Limits) (scanState, error) {
	switch {
	case s.state == blankLF:
		if c != '\n' {
			return 0, bareCR(c)
		}
		return atStart, nil
	case c == '\r' && s.state == atHead:
		return blankLF, nil
	case c == '\r' && s.state == inStart && int(s.size) < lim.Head:
		return startLF, nil
	case s.state == inStart && int(s.size) >= min(lim.Line, lim.Head):
		return 0, reject(414, "start line is longer than %d bytes", min(lim.Line, lim.Head))
	case s.state == inStart:
		return 0, badText(c, "the start line")
	case class[c]&isToken != 0:
		return inStart, nil
	case c == '\r' || c == '\n':
		return 0, reject(400, "empty line where a start line should be")
	case c == 0x16:
		return 0, reject(400, "start line begins with byte 0x16: a TLS handshake on a plain connection")
	}
	return 0, reject(400, "start line begins with byte %#02x", c)
}

// turnField is turn for the first byte of a line after the start line.
func (s *HeadScanner) turnField(c byte, lim Limits) (scanState, error) {
	switch {
	case c == '\r':
		return endLF, nil
	case c == '\n':
		return 0, bareLF()
	case c == ' ' || c == '\t':
		return 0, reject(400, "line begins with a space: folded fields (obs-fold) are refused")
	case c == ':':
		return 0, reject(400, "field without a name")
	case class[c]&isToken == 0:
		return 0, badName(c)
	case int(s.fields) >= lim.Fields:
		return 0, reject(431, "more than %d fields", lim.Fields)
	}
	s.fields++
	return inName, nil
}

func badName(c byte) error {
	switch c {
	case ' ', '\t':
		return reject(400, "space between a field's name and its colon")
	case '\r', '\n':
		return reject(400, "field without a colon")
	}
	return reject(400, "byte %#02x in a field name", c)
}

func badText(c byte, where string) error {
	if c == '\n' {
		return bareLF()
	}
	return reject(400, "control byte %#02x in %s", c, where)
}

func bareLF() error { return reject(400, "line ended by a bare LF: CR LF is required") }

func bareCR(c byte) error { return reject(400, "CR followed by byte %#02x: a bare CR is refused", c) }
