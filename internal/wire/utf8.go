package wire

import (
	"encoding/binary"
	"unicode/utf8"
)

// replacement is U+FFFD in UTF-8.
const replacement = "\xef\xbf\xbd"

// AppendUTF8Repaired appends text with U+FFFD for what is no UTF-8 in it: one for each maximal part of a character that
// was begun and not finished, and for each byte that begins none. That is the rule of the Unicode standard (section 3.9)
// and of the decoder of browsers (WHATWG Encoding, "UTF-8 decoder"), so a message looks the same whichever way it came.
func AppendUTF8Repaired(dst, text []byte) []byte {
	for {
		good := validPrefix(text)
		dst = append(dst, text[:good]...)
		if good == len(text) {
			return dst
		}
		dst = append(dst, replacement...)
		text = text[good+brokenLen(text[good:]):]
	}
}

// validPrefix is the length of the longest prefix of b that is UTF-8.
func validPrefix(b []byte) int {
	if utf8.Valid(b) {
		return len(b)
	}
	for i := 0; ; {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		n := characterLen(b[i:])
		if n == 0 {
			return i
		}
		i += n
	}
}

// characterLen is the length of the character that b begins with, 0 where it begins with none.
func characterLen(b []byte) int {
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n <= 1 {
		return 0
	}
	return n
}

// brokenLen is how many bytes of b, which does not begin with a character, one U+FFFD stands for: 1 to 3.
func brokenLen(b []byte) int {
	check, ok := leadByte(b[0])
	if !ok {
		return 1
	}
	return 1 + check.write(b[1:min(len(b), int(check.need))])
}

// utf8Check checks a text that comes in pieces. Its zero value is at the beginning of a character.
type utf8Check struct {
	need      uint8 // bytes that the character which has begun still lacks; 0: none has
	low, high uint8 // bounds of the next of them
}

// leadByte is the check behind the first byte of a character that is not ASCII; ok is false where no character begins so.
func leadByte(c byte) (t utf8Check, ok bool) {
	t = utf8Check{need: 1, low: 0x80, high: 0xbf}
	switch {
	case c < 0xc2 || c > 0xf4: // below: ASCII, or a shorter form exists
		return utf8Check{}, false
	case c >= 0xf0:
		t.need = 3
	case c >= 0xe0:
		t.need = 2
	}
	switch c {
	case 0xe0:
		t.low = 0xa0 // below: shorter forms exist
	case 0xed:
		t.high = 0x9f // above: surrogates
	case 0xf0:
		t.low = 0x90
	case 0xf4:
		t.high = 0x8f // above: beyond U+10FFFF
	}
	return t, true
}

// write checks the next bytes: it returns the index of the first one that cannot be UTF-8, or len(b).
func (t *utf8Check) write(b []byte) int {
	for i := 0; ; i++ {
		if t.need == 0 {
			for i+8 <= len(b) && binary.LittleEndian.Uint64(b[i:])&highs == 0 {
				i += 8
			}
		}
		if i == len(b) {
			return i
		}
		switch c := b[i]; {
		case t.need > 0:
			if c < t.low || c > t.high {
				return i
			}
			t.need, t.low, t.high = t.need-1, 0x80, 0xbf
			if t.need == 0 {
				*t = utf8Check{}
			}
		case c >= utf8.RuneSelf:
			lead, ok := leadByte(c)
			if !ok {
				return i
			}
			*t = lead
		}
	}
}
