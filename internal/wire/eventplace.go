package wire

import "bytes"

// MaxEventID is the length of the longest id of an event that an EventPlace keeps.
const MaxEventID = 64

// MaxRetry is the greatest reconnection time that an EventPlace keeps, in ms: one day. What asks for more is taken for it.
const MaxRetry = 24 * 60 * 60 * 1000

// EventPlace follows how far a reader of text/event-stream has come (WHATWG HTML, section 9.2.6): the id of the last event that came whole, and
// the reconnection time that the stream has named. It keeps nothing else of the stream, holds no pointer, and does not care how the bytes
// were cut. The zero EventPlace is ready for the first byte of a stream.
type EventPlace struct {
	retry uint32 // ms, plus one; 0: none was named
	value uint32 // of a retry line that is being read, plus one; 0: it is no number
	state placeState
	field placeField
	n     uint8 // letters of a field's name, bytes of a mark, that have come
	cr    bool  // the last line ended with CR: a LF behind it is a part of its end
	known bool  // id is that of the last event
	fresh bool  // next has been named since
	lost  bool  // next is too long, or cannot be sent back
	idLen uint8
	len   uint8
	id    [MaxEventID]byte // of the last event that came whole
	next  [MaxEventID]byte // of the event that is being read
}

type placeState uint8

const (
	placeStart placeState = iota // of the stream, where a byte order mark may stand
	placeLine                    // beginning of a line
	placeName                    // in the name of a field that may be one of ours
	placeColon                   // behind the colon: one space is not of the value
	placeValue
	placeSkip // to the end of the line
)

type placeField uint8

const (
	placeID placeField = iota
	placeRetry
)

var placeNames = [...]string{placeID: "id", placeRetry: "retry"}

// ID is the id of the last event that came whole, or of one before it where that named none. It is not ok where none was named, where the last named
// was empty, or where it cannot be a header field's value or is longer than MaxEventID: there is no place to go on from then. It is good until the next Scan.
func (p *EventPlace) ID() (id []byte, ok bool) { return p.id[:p.idLen], p.known }

// Retry is the reconnection time in ms that the stream has named last, at most MaxRetry.
func (p *EventPlace) Retry() (ms uint32, ok bool) { return p.retry - 1, p.retry > 0 }

// Again makes p ready for the first byte of the next stream, which goes on from where the last one ended.
func (p *EventPlace) Again() {
	p.state, p.n, p.cr, p.fresh, p.lost, p.len = placeStart, 0, false, false, false, 0
}

const byteOrderMark = "\ufeff"

// Scan takes the next bytes of the stream.
func (p *EventPlace) Scan(b []byte) {
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case p.state == placeStart:
			if c == byteOrderMark[p.n] {
				if p.n++; int(p.n) == len(byteOrderMark) {
					p.state, p.n = placeLine, 0
				}
				i++
				continue
			}
			if p.state = placeLine; p.n > 0 {
				p.state, p.n = placeSkip, 0 // a field whose name begins with half a mark
			}
		case p.state == placeSkip:
			n := indexLineEnd(b[i:])
			if n < 0 {
				return
			}
			i += n
			p.endLine(b[i])
			i++
		case c == '\n' && p.cr && p.state == placeLine:
			p.cr = false
			i++
		case c == '\n' || c == '\r':
			p.endLine(c)
			i++
		default:
			p.take(c)
			i++
		}
	}
}

// take takes a byte of a line that may be one of ours.
func (p *EventPlace) take(c byte) {
	p.cr = false
	switch p.state {
	case placeLine:
		p.state, p.n = placeName, 1
		switch c {
		case 'i':
			p.field = placeID
		case 'r':
			p.field = placeRetry
		default:
			p.state = placeSkip
		}
	case placeName:
		name := placeNames[p.field]
		switch {
		case int(p.n) < len(name) && c == name[p.n]:
			p.n++
		case int(p.n) == len(name) && c == ':':
			p.state = placeColon
			p.begin()
		default:
			p.state = placeSkip
		}
	case placeColon:
		if p.state = placeValue; c != ' ' {
			p.add(c)
		}
	case placeValue:
		p.add(c)
	}
}

// begin is called at the colon of one of our fields.
func (p *EventPlace) begin() {
	if p.field == placeID {
		p.fresh, p.lost, p.len = true, false, 0
		return
	}
	p.value = 0
}

func (p *EventPlace) add(c byte) {
	switch {
	case p.field == placeID && (p.len == MaxEventID || class[c]&isText == 0):
		p.lost = true
	case p.field == placeID:
		p.next[p.len] = c
		p.len++
	case c < '0' || c > '9':
		p.value, p.state = 0, placeSkip
	default:
		p.value = min(max(p.value, 1)-1, MaxRetry)*10 + uint32(c-'0') + 1
	}
}

// endLine is called at the CR or LF that ends a line.
func (p *EventPlace) endLine(c byte) {
	switch {
	case p.state == placeLine: // an empty line: the event is whole
		if p.fresh {
			p.known = !p.lost && p.len > 0
			p.idLen = p.len
			copy(p.id[:], p.next[:p.len])
			p.fresh = false
		}
	case p.state == placeName && p.field == placeID && int(p.n) == len("id"):
		p.begin() // a line without a colon is a field with an empty value
	case p.state == placeValue && p.field == placeRetry && p.value > 0:
		p.retry = min(p.value-1, MaxRetry) + 1
	}
	p.state, p.cr = placeLine, c == '\r'
}

// AppendResume puts Last-Event-ID with this id at the end of the fields of a request, which ends with an empty line and has no body.
func AppendResume(request, id []byte) []byte {
	request = bytes.TrimSuffix(request, []byte("\r\n"))
	request = append(append(request, "Last-Event-ID: "...), id...)
	return append(request, "\r\n\r\n"...)
}
