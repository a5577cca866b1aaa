package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// This file and the other websocket files speak RFC 6455, version 13 of the WebSocket protocol, without extensions: the
// opening handshake as a head among heads, and after it frames. A FrameDecoder reads them, AppendFrame and its kin write.

// Opcode says what a frame holds, RFC 6455 section 11.8.
type Opcode uint8

// The opcodes. The others are reserved and refused.
const (
	OpContinuation Opcode = 0x0 // more of the message that another frame has begun
	OpText         Opcode = 0x1 // a message in UTF-8, or its beginning
	OpBinary       Opcode = 0x2 // a message of bytes, or its beginning
	OpClose        Opcode = 0x8 // the last frame of its sender
	OpPing         Opcode = 0x9 // is answered by a pong with the same payload
	OpPong         Opcode = 0xa
)

// Parts of a frame's first two bytes, RFC 6455 section 5.2.
const (
	frameFin      = 0x80 // first byte: the frame is its message's last
	frameReserved = 0x70 // first byte: for extensions
	frameOp       = 0x0f // first byte: the Opcode
	frameControl  = 0x08 // of an Opcode: close, ping and their like
	frameMasked   = 0x80 // second byte
	frameLen16    = 126  // second byte: the length is in two more bytes
	frameLen64    = 127  // second byte: the length is in eight more bytes
	maxControl    = 125  // payload of a control frame
)

// DefaultMessageMax is the greatest payload of a message where FrameRules do not say otherwise, in bytes.
const DefaultMessageMax = 64 << 10

// FrameRules say whom a FrameDecoder reads from. The zero value is right for a server.
type FrameRules struct {
	// Client makes the reader a client: its peer, a server, must not mask frames. A client's peer must mask each of them.
	Client bool
	// MessageMax is the most that the frames of one message may hold together, in bytes; zero or less is DefaultMessageMax.
	MessageMax int
}

// FramePart is what FrameDecoder.Next has found: the whole or a part of a message's, or a control frame's, payload.
type FramePart struct {
	// Op is OpText or OpBinary for a message, whatever its frames are called, or OpClose, OpPing or OpPong. It is
	// OpContinuation, and the rest is empty, where there is no part: all bytes are consumed, more are needed.
	Op Opcode
	// Data lies in the bytes that Next was given, unmasked. It may be empty. A text may be cut within a character.
	Data []byte
	// End tells that the message, or the control frame, ends with this part.
	End bool
}

// FrameDecoder reads the frames of one direction of a connection, however their bytes are cut, and joins those of a message.
// It refuses at the first byte that shows it: bytes that are not UTF-8 in a text, a length that is beyond the rules, and
// whatever RFC 6455 does not allow. It holds no pointer and 20 bytes. Between two messages it is its zero value again, so
// that an idle connection need not keep one.
//
// Control frames may come amid a message, and their parts amid its parts: they are collected apart. What comes after the end
// of an OpClose is nobody's business: do not read on.
type FrameDecoder struct {
	left  uint32     // bytes of payload that are still to come; while its length comes: what it is so far
	size  uint32     // bytes of the message in frames before this one, and in this one if its payload has begun
	mask  uint32     // masking key, the next byte's lowest
	text  utf8Check  // of a text
	op    Opcode     // of the message that has begun; OpContinuation: none
	first uint8      // first byte of the frame
	state frameState // what comes next
	more  uint8      // bytes of the length or of the key that are still to come
}

type frameState uint8

const (
	atFrame   frameState = iota // a frame's first byte
	atLength                    // its second
	inLen16                     // two bytes of length
	inLen64                     // eight bytes of length
	inMask                      // the masking key
	inPayload                   // left bytes, which may be none
)

// Next consumes n bytes of b, unmasks those of them that are payload where they lie, and tells what they were. Call it with
// the rest while there is any:
//
//	for len(b) > 0 {
//		p, n, err := d.Next(b, rules)
//		b = b[n:]
//		...
//	}
//
// An error is an *Error whose Status is the code to close with: 1002, 1007 or 1009. n is then the index of the byte that
// caused it, or of the one behind a text that ends within a character.
func (d *FrameDecoder) Next(b []byte, rules FrameRules) (p FramePart, n int, err error) {
	for d.state != inPayload {
		if n == len(b) {
			return FramePart{}, n, nil
		}
		if err := d.head(b[n], rules); err != nil {
			return FramePart{}, n, err
		}
		n++
	}
	data := b[n : n+int(min(uint64(d.left), uint64(len(b)-n)))]
	if len(data) == 0 && d.left > 0 {
		return FramePart{}, n, nil
	}
	k, err := d.payload(data, !rules.Client)
	n += k
	if err != nil {
		return FramePart{}, n, err
	}
	p = FramePart{Op: d.op, Data: data, End: d.left == 0 && d.first&frameFin != 0}
	if d.first&frameControl != 0 {
		p.Op = Opcode(d.first & frameOp)
	}
	if d.left == 0 {
		d.endFrame()
	}
	return p, n, nil
}

// endFrame makes the decoder ready for the next frame.
func (d *FrameDecoder) endFrame() {
	if d.first&frameControl == 0 && d.first&frameFin != 0 {
		*d = FrameDecoder{}
		return
	}
	d.state, d.first, d.mask = atFrame, 0, 0
}

// head takes one byte of a frame's head.
func (d *FrameDecoder) head(c byte, rules FrameRules) error {
	switch d.state {
	case atFrame:
		if err := d.checkFirst(c); err != nil {
			return err
		}
		d.first, d.state = c, atLength
	case atLength:
		return d.firstLength(c, rules)
	case inLen16, inLen64:
		return d.nextLength(c, rules)
	case inMask:
		d.mask = d.mask>>8 | uint32(c)<<24
		if d.more--; d.more == 0 {
			d.state = inPayload
		}
	}
	return nil
}

// checkFirst looks at a frame's first byte, RFC 6455 sections 5.2, 5.4 and 5.5.
func (d *FrameDecoder) checkFirst(c byte) error {
	op := Opcode(c & frameOp)
	switch {
	case c&frameReserved != 0:
		return reject(CloseProtocol, "reserved bits %#02x of a frame are set", c&frameReserved)
	case op > OpBinary && op < OpClose, op > OpPong:
		return reject(CloseProtocol, "opcode %#x of a frame is reserved", op)
	case op >= OpClose && c&frameFin == 0:
		return reject(CloseProtocol, "control frame %#x is fragmented", op)
	case op == OpContinuation && d.op == OpContinuation:
		return reject(CloseProtocol, "continuation frame without a message")
	case (op == OpText || op == OpBinary) && d.op != OpContinuation:
		return reject(CloseProtocol, "new message within a message")
	}
	return nil
}

// firstLength takes a frame's second byte.
func (d *FrameDecoder) firstLength(c byte, rules FrameRules) error {
	masked, length := c&frameMasked != 0, c&^frameMasked
	control := d.first&frameControl != 0
	switch {
	case masked && rules.Client:
		return reject(CloseProtocol, "masked frame from a server")
	case !masked && !rules.Client:
		return reject(CloseProtocol, "unmasked frame from a client")
	case control && length > maxControl:
		return reject(CloseProtocol, "control frame of more than %d bytes", maxControl)
	case Opcode(d.first&frameOp) == OpClose && length == 1:
		return reject(CloseProtocol, "close frame with half a code")
	case length == frameLen16:
		d.left, d.more, d.state = 0, 2, inLen16
		return nil
	case length == frameLen64:
		d.left, d.more, d.state = 0, 8, inLen64
		return nil
	}
	if !control && d.room(rules) < uint64(length) {
		return tooBig(rules)
	}
	d.left = uint32(length)
	d.beginPayload(rules)
	return nil
}

// nextLength takes a byte of a length that has two or eight. The highest come first, and what is too much by them is refused
// before the others come, so that what is kept of a length never needs more than 32 bits.
func (d *FrameDecoder) nextLength(c byte, rules FrameRules) error {
	length := uint64(d.left)<<8 | uint64(c)
	least := uint64(frameLen16)
	if d.state == inLen64 {
		least = 1 << 16
		if d.more == 8 && c&0x80 != 0 {
			return reject(CloseProtocol, "length of a frame has its highest bit set")
		}
	}
	switch {
	case length<<(8*(d.more-1)) > d.room(rules):
		return tooBig(rules)
	case d.more == 1 && length < least:
		return reject(CloseProtocol, "length %d of a frame is not in its shortest form", length)
	}
	d.left = uint32(length)
	if d.more--; d.more == 0 {
		d.beginPayload(rules)
	}
	return nil
}

// room is how much longer the message may become.
func (d *FrameDecoder) room(rules FrameRules) uint64 {
	most := rules.messageMax()
	return uint64(most - min(most, d.size))
}

func (r FrameRules) messageMax() uint32 {
	if r.MessageMax <= 0 {
		return DefaultMessageMax
	}
	return uint32(min(r.MessageMax, math.MaxInt32))
}

func tooBig(rules FrameRules) error {
	return reject(CloseTooBig, "message is longer than %d bytes", rules.messageMax())
}

// beginPayload is called when the length is known.
func (d *FrameDecoder) beginPayload(rules FrameRules) {
	if d.first&frameControl == 0 {
		d.size += d.left
		if op := Opcode(d.first & frameOp); op != OpContinuation {
			d.op = op
		}
	}
	if d.more, d.state = 4, inMask; rules.Client {
		d.more, d.state = 0, inPayload
	}
}

// payload unmasks data, the next bytes of the payload, and checks text. n is how many of them are good. Bytes from a bad one
// on are left as they came, so that another look at them says the same.
func (d *FrameDecoder) payload(data []byte, masked bool) (n int, err error) {
	key := d.mask
	if masked {
		d.mask = unmask(data, key)
	}
	n = len(data)
	if d.op != OpText || d.first&frameControl != 0 {
		d.left -= uint32(n)
		return n, nil
	}
	if n = d.text.write(data); n < len(data) {
		err = reject(CloseNotUTF8, "byte %#02x in a text is not UTF-8", data[n])
		if masked {
			d.mask = bits.RotateLeft32(key, -8*(n&3))
			unmask(data[n:], d.mask)
		}
	}
	d.left -= uint32(n)
	if err == nil && d.left == 0 && d.first&frameFin != 0 && d.text.need > 0 {
		err = reject(CloseNotUTF8, "text ends within a character")
	}
	return n, err
}

// unmask applies a masking key to b (RFC 6455 section 5.3), eight bytes at a time, and returns the key for what follows.
func unmask(b []byte, key uint32) uint32 {
	if len(b) >= 8 {
		wide := uint64(key)<<32 | uint64(key)
		for len(b) >= 8 {
			binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
			b = b[8:]
		}
	}
	for i := range b {
		b[i] ^= byte(key)
		key = bits.RotateLeft32(key, -8)
	}
	return key
}
