package wire

import "encoding/binary"

// AppendFrame appends a whole message, or a control frame, as one unmasked frame: a server's. A control frame's payload must
// not have more than 125 bytes, and that of OpText must be UTF-8: AppendUTF8Repaired makes it so.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	dst = appendFrameHead(dst, op, len(payload), 0)
	return append(dst, payload...)
}

// WrapFrame makes what was appended to dst since it had at bytes the payload of an unmasked frame, as AppendFrame's: for a
// payload whose length is not known before it is written.
func WrapFrame(dst []byte, at int, op Opcode) []byte {
	var room [10]byte
	head := appendFrameHead(room[:0], op, len(dst)-at, 0)
	dst = append(dst, head...)
	copy(dst[at+len(head):], dst[at:])
	copy(dst[at:], head)
	return dst
}

// AppendMaskedFrame is AppendFrame for a client. Each frame needs a key of its own that nobody can foresee (RFC 6455 section
// 5.3 and 10.3): take it from crypto/rand, or from a generator that is seeded from there.
func AppendMaskedFrame(dst []byte, op Opcode, payload []byte, key uint32) []byte {
	dst = appendFrameHead(dst, op, len(payload), frameMasked)
	dst = binary.LittleEndian.AppendUint32(dst, key)
	at := len(dst)
	dst = append(dst, payload...)
	unmask(dst[at:], key)
	return dst
}

// appendFrameHead appends all of a frame that comes before its key.
func appendFrameHead(dst []byte, op Opcode, length int, masked byte) []byte {
	dst = append(dst, frameFin|byte(op))
	switch {
	case length < frameLen16:
		return append(dst, masked|byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, masked|frameLen16), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, masked|frameLen64), uint64(length))
}
