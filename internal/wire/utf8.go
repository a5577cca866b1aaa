package wire

import "unicode/utf8"

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
	lead, low, high := b[0], byte(0x80), byte(0xbf)
	most := 1 // bytes of a character that lead begins, less the last
	switch {
	case lead < 0xe0 || lead > 0xf4:
		return 1
	case lead == 0xe0:
		low, most = 0xa0, 2 // below: shorter forms exist
	case lead == 0xed:
		high, most = 0x9f, 2 // above: surrogates
	case lead < 0xf0:
		most = 2
	case lead == 0xf0:
		low, most = 0x90, 3
	case lead == 0xf4:
		high, most = 0x8f, 3 // above: beyond U+10FFFF
	default:
		most = 3
	}
	n := 1
	for n < min(most, len(b)) && b[n] >= low && b[n] <= high {
		low, high = 0x80, 0xbf
		n++
	}
	return n
}
