package history

import "encoding/binary"

// TagNumbered is set in the tag of a message that begins with its number and id, as Append writes it. Enter sets it beside the bits that
// were there; the lower 32 are left to the server's accounts.
const TagNumbered = 1 << 32

// TagTorn is set beside TagNumbered for the first message behind some that never came (Store.Missed): its number less one stands for
// those. Sessions that were there meanwhile have to be told; who came later knows.
const TagTorn = 1 << 33

// Append appends a message with its number: 8 bytes of number, one of the id's length, id, message. An id has at most 128 bytes.
func Append(dst []byte, n uint64, id, msg []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, n)
	dst = append(dst, byte(len(id)))
	dst = append(dst, id...)
	return append(dst, msg...)
}

// Cut takes apart what Append made. id and msg are parts of b.
func Cut(b []byte) (n uint64, id, msg []byte) {
	end := 9 + int(b[8])
	return binary.BigEndian.Uint64(b), b[9:end:end], b[end:]
}
