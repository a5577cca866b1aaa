package wire

import "strconv"

// LastChunk ends a chunked body: the chunk of size zero and an empty trailer section, RFC 9112 section 7.1.
const LastChunk = "0\r\n\r\n"

// AppendChunk appends data as one chunk. Empty data appends nothing: a chunk of size zero would end the body, and that is
// what LastChunk says.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(len(data)), 16)
	dst = append(dst, '\r', '\n')
	dst = append(dst, data...)
	return append(dst, '\r', '\n')
}

// ChunkEvent says what ChunkDecoder.Next has found.
type ChunkEvent uint8

// The events of a chunked body.
const (
	// ChunkMore asks for more bytes: all that were given are consumed.
	ChunkMore ChunkEvent = iota
	// ChunkData comes with data: the whole or a part of one chunk's.
	ChunkData
	// ChunkEnd tells that the body has ended: its last chunk and its trailer section are past, and what follows the n
	// bytes is no part of it.
	ChunkEnd
)

// Bounds of what a body may hold beside its data.
const (
	maxSizeDigits    = 15      // of a chunk's size, leading zeros included: 60 bits
	maxSizeLine      = 256     // bytes of the line that holds a size and its extensions
	maxTrailerBytes  = 4 << 10 // bytes of a trailer section
	maxTrailerFields = 32      // fields of a trailer section
)

// ChunkDecoder takes the chunked coding (RFC 9112 section 7.1) off a body however its bytes are cut. It looks at sizes and
// line ends only and hands data on where it lies. Extensions and trailers are checked, bounded and dropped. The zero value
// is at the beginning of a body. After ChunkEnd it stays there; set it to its zero value for another body.
type ChunkDecoder struct {
	left   uint64     // bytes of the chunk that are still to come; in the trailers: size and fields of a HeadScanner
	chunks uint32     // chunks that have come whole
	line   uint16     // bytes of the size line so far
	state  chunkState // what comes next
}

type chunkState uint8

const (
	atSize     chunkState = iota // hexadecimal digits
	inPad                        // white space behind them
	inExt                        // chunk extensions
	sizeLF                       // the LF of the size line
	inData                       // data
	dataCR                       // the CR behind the data
	dataLF                       // the LF behind the data
	chunkEnded                   // nothing
	inTrailer                    // plus the state of a HeadScanner
)

// Chunks is the number of chunks that have come whole, up to the line end behind their data, modulo 2^32. The last chunk,
// which has no data, is not counted.
func (d *ChunkDecoder) Chunks() uint32 { return d.chunks }

// Next consumes n bytes of b and tells what they were. data, if any, is a part of b and never of more than one chunk. Call
// it with the rest until it asks for more:
//
//	for len(b) > 0 {
//		data, n, ev, err := d.Next(b)
//		b = b[n:]
//		...
//	}
//
// An error is an *Error with status 400 or 431, and n the index of the byte that caused it.
func (d *ChunkDecoder) Next(b []byte) (data []byte, n int, ev ChunkEvent, err error) {
	if d.state == atSize && d.line == 0 {
		if data, n := wholeChunk(b); n > 0 {
			d.chunks++
			return data, n, ChunkData, nil
		}
	}
	for n < len(b) {
		switch {
		case d.state == inData:
			size := int(min(d.left, uint64(len(b)-n)))
			data = b[n : n+size]
			n += size
			if d.left -= uint64(size); d.left == 0 {
				d.state = dataCR
			}
			return data, n, ChunkData, nil
		case d.state == chunkEnded:
			return nil, n, ChunkEnd, nil
		case d.state >= inTrailer:
			k, done, err := d.trailer(b[n:])
			if n += k; done {
				return nil, n, ChunkEnd, nil
			}
			if err != nil {
				return nil, n, ChunkMore, err
			}
		default:
			if err := d.frame(b[n]); err != nil {
				return nil, n, ChunkMore, err
			}
			n++
		}
	}
	if d.state == chunkEnded {
		return nil, n, ChunkEnd, nil
	}
	return nil, n, ChunkMore, nil
}

// wholeChunk recognises a chunk of 1 to 4095 bytes without extensions that lies in b from its size to its line end. That
// is nearly every chunk of a comet stream, and this is what its decoding costs; all else goes byte by byte.
func wholeChunk(b []byte) (data []byte, n int) {
	size, i := 0, 0
	for i < len(b) && i < 3 && unhex[b[i]] != notHex {
		size = size<<4 | int(unhex[b[i]])
		i++
	}
	end := i + 2 + size
	if size == 0 || len(b) < end+2 || b[i] != '\r' || b[i+1] != '\n' || b[end] != '\r' || b[end+1] != '\n' {
		return nil, 0
	}
	return b[i+2 : end], end + 2
}

// frame takes one byte that is neither data nor trailer.
func (d *ChunkDecoder) frame(c byte) error {
	switch d.state {
	case atSize, inPad, inExt:
		return d.sizeLine(c)
	case sizeLF:
		if c != '\n' {
			return bareCR(c)
		}
		d.line = 0
		if d.state = inData; d.left == 0 {
			d.state = inTrailer + chunkState(atField)
		}
	case dataCR:
		if c != '\r' {
			return reject(400, "byte %#02x where a chunk should end: its size is wrong", c)
		}
		d.state = dataLF
	case dataLF:
		if c != '\n' {
			return bareCR(c)
		}
		d.state = atSize
		d.chunks++
	}
	return nil
}

// sizeLine takes one byte of the line that holds a chunk's size: digits, white space that some servers pad them with, and
// extensions.
func (d *ChunkDecoder) sizeLine(c byte) error {
	digit := unhex[c]
	switch {
	case d.state == atSize && digit != notHex:
		if d.line == maxSizeDigits {
			return reject(400, "chunk size of more than %d digits", maxSizeDigits)
		}
		d.left = d.left<<4 | uint64(digit)
	case d.line == 0:
		return reject(400, "byte %#02x where a chunk size should be", c)
	case c == '\r':
		d.state = sizeLF
	case d.line == maxSizeLine:
		return reject(400, "chunk size and extensions of more than %d bytes", maxSizeLine)
	case d.state != inExt && (c == ' ' || c == '\t'):
		d.state = inPad
	case d.state != inExt && c == ';':
		d.state = inExt
	case d.state != inExt && c != '\n':
		return reject(400, "byte %#02x behind a chunk size", c)
	case class[c]&isText == 0:
		return badText(c, "a chunk extension")
	}
	d.line++
	return nil
}

// trailer takes the trailer section, whose lines are those of a head (RFC 9112 section 7.1.2). A HeadScanner's counters
// find room where the size of a chunk was.
func (d *ChunkDecoder) trailer(b []byte) (n int, done bool, err error) {
	s := HeadScanner{size: uint32(d.left), fields: uint32(d.left >> 32), state: scanState(d.state - inTrailer)}
	n, done, err = s.Scan(b, Limits{Head: maxTrailerBytes, Fields: maxTrailerFields})
	d.left, d.state = uint64(s.size)|uint64(s.fields)<<32, inTrailer+chunkState(s.state)
	if done {
		d.left, d.state = 0, chunkEnded
	}
	return n, done, err
}
