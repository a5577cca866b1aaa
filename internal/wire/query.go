package wire

import (
	"bytes"
	"math"
	"time"
)

// QueryValue returns the value of the first parameter of that name in a query, as Request.Query has it: parameters
// stand between ampersands, escapes are decoded, and a plus is a space (WHATWG URL, application/x-www-form-urlencoded).
// ok is false where there is none. Where nothing is escaped, value is a part of query and costs no allocation. A bad
// escape in that value is an *Error with status 400; other parameters are not looked at.
func QueryValue(query []byte, name string) (value []byte, ok bool, err error) {
	for more := true; more; {
		var pair []byte
		pair, query, more = bytes.Cut(query, []byte("&"))
		key, value, _ := bytes.Cut(pair, []byte("="))
		if key, err = unescapeForm(key); err != nil || string(key) != name || len(pair) == 0 { // "&&" names nothing, not even ""
			continue
		}
		value, err = unescapeForm(value)
		return value, err == nil, err
	}
	return nil, false, nil
}

// unescapeForm decodes a name or a value of a query.
func unescapeForm(b []byte) ([]byte, error) {
	if bytes.IndexByte(b, '%') < 0 && bytes.IndexByte(b, '+') < 0 {
		return b, nil
	}
	return AppendUnescaped(nil, bytes.ReplaceAll(b, []byte("+"), []byte(" "))) // before: %2B is a plus
}

// ParseDuration reads a duration out of a query: whole numbers, each with a unit of h, m, s or ms, such as 30s, 1m30s or 500ms; or
// a number alone, of seconds. What is none, or is longer than a time.Duration, is an *Error with status 400.
func ParseDuration(b []byte) (d time.Duration, err error) {
	for rest := b; ; {
		digits := span(rest, isDigit)
		n, ok := parseDecimal(rest[:digits])
		letters := 0
		for digits+letters < len(rest) && class[rest[digits+letters]]&isDigit == 0 {
			letters++
		}
		unit := time.Second
		switch name := string(rest[digits : digits+letters]); name {
		case "h":
			unit = time.Hour
		case "m":
			unit = time.Minute
		case "s":
		case "ms":
			unit = time.Millisecond
		default:
			ok = ok && name == "" && len(rest) == len(b)
		}
		if !ok || n > uint64((math.MaxInt64-d)/unit) {
			return 0, reject(400, "bad duration %+.40q: write one like 30s", b)
		}
		d += time.Duration(n) * unit
		if rest = rest[digits+letters:]; len(rest) == 0 {
			return d, nil
		}
	}
}
