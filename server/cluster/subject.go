package cluster

import (
	"bytes"
	"strconv"
	"strings"
)

// The subjects. Requests and messages carry a reply subject that begins with answerPrefix and the sender's nonce, which is
// also how a node knows its own message when NATS brings it back (receive.go).
//
//	comet.id.TOKEN          messages for an id; who holds it subscribes
//	comet.node.TOKEN        requests to a node by its name; it alone subscribes
//	comet.re.NONCE.c.N      answers to request N of a node
//	comet.re.NONCE.v.TAG    NATS's word that nobody wanted a message that had no session at the sender
//	comet.re.NONCE.d        nothing: the message had sessions at the sender, so nobody asks
const (
	idPrefix     = "comet.id."
	nodePrefix   = "comet.node."
	answerPrefix = "comet.re."
	nonceLen     = 16 // of rand.Text's base32: 80 bits

	kindConfirm = "c"
	kindVoid    = "v"
	kindDone    = "d"
)

// A token is an id with '=' for each '.', which is what separates tokens. '=' is in no id (router.ValidID), so the two can be
// told apart, and nothing else needs care: NATS tells upper from lower case, and takes '*' and '>' for wildcards, neither of
// which an id may hold. Tokens are as long as their ids, and decimal ids are their own tokens.
const (
	dot      = '.'
	dotToken = '='
)

func subject(prefix string, id []byte) string {
	var b strings.Builder
	b.Grow(len(prefix) + len(id))
	b.WriteString(prefix)
	for len(id) > 0 {
		i := bytes.IndexByte(id, dot)
		if i < 0 {
			b.Write(id)
			break
		}
		b.Write(id[:i])
		b.WriteByte(dotToken)
		id = id[i+1:]
	}
	return b.String()
}

// Subject returns the subject of an id's messages, for publishers that speak NATS themselves. id is valid (router.ValidID).
func Subject(id []byte) string { return subject(idPrefix, id) }

func nodeSubject(name string) string { return subject(nodePrefix, []byte(name)) }

// appendID appends the id of a subject of Subject to dst; not ok if subject is none.
func appendID(dst []byte, subject string) (id []byte, ok bool) {
	token, ok := strings.CutPrefix(subject, idPrefix)
	if !ok || strings.IndexByte(token, dot) >= 0 {
		return dst, false
	}
	from := len(dst)
	dst = append(dst, token...)
	for i := from; i < len(dst); i++ {
		if dst[i] == dotToken {
			dst[i] = dot
		}
	}
	return dst, true
}

// kind is the kind of one of our reply subjects, nothing for those of others.
func kind(reply string) string {
	rest, ok := strings.CutPrefix(reply, answerPrefix)
	if !ok || len(rest) < nonceLen+2 {
		return ""
	}
	return rest[nonceLen+1 : nonceLen+2]
}

// lastNumber is the decimal number after the last dot.
func lastNumber(subject string) (uint64, bool) {
	n, err := strconv.ParseUint(subject[strings.LastIndexByte(subject, dot)+1:], 10, 64)
	return n, err == nil
}

// answer is what a node says to a request, as text: sessions, nonce, state, name, with spaces between.
type answer struct {
	none     bool   // nobody is there to answer; the rest is empty
	sessions int    // that the message was handed to
	nonce    string // of the Router that answers
	joined   bool   // its name is its own
	name     string
}

func (a answer) append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, int64(a.sessions), 10)
	dst = append(append(append(dst, ' '), a.nonce...), ' ')
	dst = append(strconv.AppendBool(dst, a.joined), ' ')
	return append(dst, a.name...)
}

func parseAnswer(text []byte) (a answer, ok bool) {
	part := strings.Split(string(text), " ")
	if len(part) != 4 {
		return a, false
	}
	sessions, err := strconv.ParseUint(part[0], 10, 31)
	joined, errJoined := strconv.ParseBool(part[2])
	return answer{sessions: int(sessions), nonce: part[1], joined: joined, name: part[3]}, err == nil && errJoined == nil
}
