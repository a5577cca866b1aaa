package wire

import "bytes"

// Prefers returns the index of that one of the offered media types ("text/html", lower case, without parameters) which the
// request's Accept fields like best, RFC 9110 section 12.5.1: the greatest weight wins, among equals the one that is named
// more closely, then the one that is offered first. Without Accept it is 0. It is -1 where none is acceptable: not named, or
// with the weight 0. Parameters of a media range other than its weight are not looked at, and a range that is none, or
// whose weight is none, is as if it were not there; without any good range the field says nothing.
func (r *Request) Prefers(offers ...string) int {
	best, bestLiking := -1, liking{}
	said := false
	for i, offer := range offers {
		var l liking
		for fields := r.fields; len(fields) > 0; {
			var name, value []byte
			if name, value, fields = cutField(fields); equalFold(name, "Accept") {
				said = l.read(value, offer) || said
			}
		}
		if l.weight > 0 && l.better(bestLiking) {
			best, bestLiking = i, l
		}
	}
	if !said && len(offers) > 0 {
		return 0
	}
	return best
}

// liking is what an Accept field thinks of one media type.
type liking struct {
	weight int // 0 to 1000
	close  int // how closely it is named: 0 not at all, 1 */*, 2 type/*, 3 type/subtype
}

func (l liking) better(o liking) bool {
	return l.weight > o.weight || l.weight == o.weight && l.close > o.close
}

// read takes the list of an Accept field; the range that names offer most closely counts, and of several such the first.
// It reports whether there was any good range.
func (l *liking) read(list []byte, offer string) (any bool) {
	for len(list) > 0 {
		var element []byte
		element, list = cutUnquoted(list, ',')
		mediaRange, params := cutUnquoted(element, ';')
		close, ok := rangeCloseness(trimSpace(mediaRange), offer)
		if !ok {
			continue
		}
		weight, ok := weightOf(params)
		if !ok {
			continue
		}
		any = true
		if close > l.close {
			l.weight, l.close = weight, close
		}
	}
	return any
}

// rangeCloseness tells how closely a media range names offer; ok is false where it is no media range.
func rangeCloseness(b []byte, offer string) (close int, ok bool) {
	slash := bytes.IndexByte(b, '/')
	if slash <= 0 || slash == len(b)-1 || span(b[:slash], isToken) < slash || span(b[slash+1:], isToken) < len(b)-slash-1 {
		return 0, false
	}
	major, minor := b[:slash], b[slash+1:]
	switch anyMinor := string(minor) == "*"; {
	case string(major) == "*":
		if !anyMinor {
			return 0, false
		}
		return 1, true
	case equalFold(b, offer):
		return 3, true
	case anyMinor && slash < len(offer) && offer[slash] == '/' && equalFold(major, offer[:slash]):
		return 2, true
	}
	return 0, true
}

// weightOf is the weight among the parameters of a media range, in thousandths: 1000 where none is said.
func weightOf(params []byte) (weight int, ok bool) {
	for len(params) > 0 {
		var param []byte
		param, params = cutUnquoted(params, ';')
		name, value, _ := bytes.Cut(trimSpace(param), []byte("="))
		if equalFold(name, "q") {
			return parseWeight(value)
		}
	}
	return 1000, true
}

// parseWeight reads 0, 1, or either with up to three decimals, RFC 9110 section 12.4.2.
func parseWeight(b []byte) (weight int, ok bool) {
	if len(b) == 0 || len(b) > len("0.999") || b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return 0, false
	}
	weight = int(b[0]-'0') * 1000
	for i, unit := 2, 100; i < len(b); i, unit = i+1, unit/10 {
		if class[b[i]]&isDigit == 0 {
			return 0, false
		}
		weight += int(b[i]-'0') * unit
	}
	return weight, weight <= 1000
}

// cutUnquoted cuts b at the first sep that stands in no quoted string (RFC 9110 section 5.6.4).
func cutUnquoted(b []byte, sep byte) (before, after []byte) {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '"':
			quoted = !quoted
		case quoted && b[i] == '\\':
			i++
		case !quoted && b[i] == sep:
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}
