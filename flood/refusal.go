package flood

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cometctl/internal/wire"
)

// Refusal is what a server has said to requests that it refused in one way: by a status that is not the one that was asked for.
type Refusal struct {
	Cause    string `json:"cause"`              // "status 503", "redirect 302": also in FailedBy and ClosedBy
	Times    int    `json:"times"`              // connections that failed or ended by it
	Location string `json:"location,omitempty"` // redirect: where to, as the first said; it is never followed
	Body     string `json:"body,omitempty"`     // the beginning of the first one's body, on one line
}

// Bounds of what is kept of refusals.
const (
	maxRefused = 32  // ways
	maxExcerpt = 512 // bytes of a body, and of a location
)

// refusal is what is kept of the first answer of its kind.
type refusal struct {
	why            cause
	location, body []byte
}

type refusals []refusal

// refuse notes an answer that is not the one that was asked for. Of the first of its kind the body is worth reading: then s reads on, and the error
// is nil.
func (h *heads) refuse(s *stream, r *wire.Response, why error) error {
	word, _ := why.(cause)
	if word == causeNoEvents || len(h.refusals) == maxRefused || slices.ContainsFunc(h.refusals, func(f refusal) bool { return f.why == word }) {
		return why
	}
	f := refusal{why: word}
	if to, ok := r.Field("Location"); ok && strings.HasPrefix(string(word), "redirect") {
		f.location = slices.Clone(to[:min(len(to), maxExcerpt)])
	}
	h.refusals = append(h.refusals, f)
	if r.ContentLength == 0 {
		return why
	}
	if s.dialect == dialectWebSocket {
		h.forgetKept(s) // a nonce, which belongs to the phase
	}
	s.refused = uint8(len(h.refusals))
	if s.phase, s.left = phasePlain, r.ContentLength; r.Chunked {
		s.phase = phaseChunked
	}
	return nil
}

// readRefusal reads the body of an answer that was refused, as much of it as is kept, and then says so: its error is the cause. A poll has no time limit
// any more, so that what has come with its head is all.
func (s *stream) readRefusal(b []byte, h *heads) (n int, err error) {
	f := &h.refusals[s.refused-1]
	for {
		data, m, ev, err := s.step(b[n:], h)
		n += m
		f.body = append(f.body, data[:min(len(data), maxExcerpt-len(f.body))]...)
		if err != nil || ev == eventEnd || len(f.body) == maxExcerpt || ev == eventMore && s.dialect == dialectPoll {
			s.phase = phaseHead // nothing has ended in order
			return n, f.why
		}
		if ev == eventMore {
			return n, nil
		}
	}
}

// why is the cause of the end of a connection: of one whose answer was refused that, whatever came behind it.
func (h *heads) why(s *stream, err error) cause {
	if s.refused > 0 {
		return h.refusals[s.refused-1].why
	}
	return causeOf(err)
}

// add keeps of the ways in o those that are new, and what was not known of the others.
func (all *refusals) add(o refusals) {
	for _, f := range o {
		i := slices.IndexFunc(*all, func(has refusal) bool { return has.why == f.why })
		switch {
		case i < 0 && len(*all) < maxRefused:
			*all = append(*all, f)
		case i >= 0 && len((*all)[i].body) == 0:
			(*all)[i].body = f.body
		}
	}
}

// results are the refusals as people read them, the most frequent first.
func (all refusals) results(t *Tally) (rs []Refusal) {
	for _, f := range all {
		if n := t.failed[f.why] + t.closed[f.why]; n > 0 {
			rs = append(rs, Refusal{Cause: string(f.why), Times: n, Location: oneLine(f.location), Body: oneLine(f.body)})
		}
	}
	slices.SortStableFunc(rs, func(a, b Refusal) int {
		if a.Times != b.Times {
			return b.Times - a.Times
		}
		return strings.Compare(a.Cause, b.Cause)
	})
	return rs
}

// oneLine is text as a terminal can show it: printable, on one line. A character that was cut off at its end is dropped.
func oneLine(text []byte) string {
	for n := len(text); n > 0 && n > len(text)-utf8.UTFMax; n-- {
		if utf8.RuneStart(text[n-1]) {
			if !utf8.FullRune(text[n-1:]) {
				text = text[:n-1]
			}
			break
		}
	}
	printable := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(text))
	return strings.Join(strings.Fields(printable), " ")
}

func (all refusals) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, f := range all {
		for _, text := range [][]byte{[]byte(f.why), f.location, f.body} {
			dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
		}
	}
	return dst
}

// refusalsFrom reads what appendTo has written.
func refusalsFrom(b []byte) (all refusals, rest []byte, ok bool) {
	n, b, ok := cutUvarint(b, maxRefused)
	for ; ok && n > 0; n-- {
		var parts [3][]byte
		for i := range parts {
			var length int
			if length, b, ok = cutUvarint(b, min(maxExcerpt, len(b))); !ok || length > len(b) {
				return all, b, false
			}
			parts[i], b = slices.Clone(b[:length]), b[length:]
		}
		all = append(all, refusal{cause(parts[0]), parts[1], parts[2]})
	}
	return all, b, ok
}
