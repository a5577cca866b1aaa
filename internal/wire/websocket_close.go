package wire

import "unicode/utf8"

// Codes that end a connection, RFC 6455 section 7.4.1 and IANA's registry, which this package uses or which servers do.
const (
	CloseNormal      = 1000 // all is done
	CloseGoingAway   = 1001 // the server ends, or somebody leaves a page
	CloseProtocol    = 1002 // the peer broke a rule
	CloseUnsupported = 1003 // a kind of message that is not taken
	CloseNoCode      = 1005 // a close frame without a code; it is never sent
	CloseNotUTF8     = 1007 // text, or a reason, is not UTF-8
	ClosePolicy      = 1008 // the peer did what is not allowed here
	CloseTooBig      = 1009 // a message is too long
	CloseInternal    = 1011 // the server cannot go on
	CloseAgain       = 1013 // the server has too much to do; try again later
)

// maxReason is the most bytes of a reason: a control frame's payload without the code.
const maxReason = maxControl - 2

// ParseClose takes the payload of a close frame apart. A frame without one has the code CloseNoCode. reason is a part of
// payload. An error is an *Error with the Status 1002, for half a code and for a code that must not be sent, or 1007.
func ParseClose(payload []byte) (code int, reason []byte, err error) {
	switch len(payload) {
	case 0:
		return CloseNoCode, nil, nil
	case 1:
		return 0, nil, reject(CloseProtocol, "close frame with half a code")
	}
	code = int(payload[0])<<8 | int(payload[1])
	if !ValidCloseCode(code) {
		return 0, nil, reject(CloseProtocol, "close frame with code %d", code)
	}
	if reason = payload[2:]; !utf8.Valid(reason) {
		return 0, nil, reject(CloseNotUTF8, "reason of a close frame is not UTF-8")
	}
	return code, reason, nil
}

// ValidCloseCode tells whether code may be in a close frame: those that the RFC and IANA define for it, and 3000 to 4999 for
// libraries and applications. 1004, 1005, 1006 and 1015 are not among them (RFC 6455 section 7.4).
func ValidCloseCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

// AppendClose appends the unmasked close frame of a server. A code that must not be sent makes a frame without payload. What
// does not fit of a reason, 123 bytes, is cut off at a character, and what is no UTF-8 in it becomes U+FFFD.
func AppendClose(dst []byte, code int, reason string) []byte {
	at := len(dst)
	return WrapFrame(AppendClosePayload(dst, code, reason), at, OpClose)
}

// AppendClosePayload appends the payload of AppendClose's frame: a client masks it.
func AppendClosePayload(dst []byte, code int, reason string) []byte {
	if !ValidCloseCode(code) {
		return dst
	}
	dst = append(dst, byte(code>>8), byte(code))
	room := maxReason
	for _, r := range reason { // RuneError stands for what is no UTF-8
		if room -= utf8.RuneLen(r); room < 0 {
			break
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
