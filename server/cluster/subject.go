package cluster

import (
	"strconv"
	"strings"

	"cometctl/internal/subject"
)

// Of the subjects (package subject), the replies that this package speaks of begin with answerPrefix and the sender's nonce.
//
//	comet.re.NONCE.c.N      answers to request N of a node
//	comet.re.NONCE.b.N      the same, where the message had sessions at the sender beside those that are asked for
//	comet.re.NONCE.a.N      answers to question N of a node (AskAll)
//	comet.re.NONCE.v.TAG    NATS's word that nobody wanted a message that had no session at the sender
//	comet.re.NONCE.v.mN     the same for comet.void: mark N, see Settle
//	comet.re.NONCE.d        nothing: the message had sessions at the sender, so nobody asks
const (
	idPrefix     = subject.IDs
	nodePrefix   = subject.Nodes
	answerPrefix = subject.Replies
	nonceLen     = subject.OriginLen

	ledgerSubject = subject.Ledger
	voidSubject   = subject.Nobody

	kindAnswer  = subject.Answer
	kindConfirm = subject.Confirm
	kindBeside  = subject.Beside
	kindVoid    = subject.Void
	kindDone    = subject.Done

	dot = '.'
)

// Subject returns the subject of an id's messages. id is valid (router.ValidID).
func Subject(id []byte) string { return subject.Of(id) }

func nodeSubject(name string) string { return subject.Node(name) }

// appendID appends the id of a subject of Subject to dst; not ok if from is none.
func appendID(dst []byte, from string) (id []byte, ok bool) { return subject.AppendID(dst, from) }

// origin is who published a message with this reply subject, and of which kind that is; nothing for those who do not speak as
// a node does.
func origin(reply string) (nonce, kind string) {
	rest, ok := strings.CutPrefix(reply, answerPrefix)
	if !ok || len(rest) < nonceLen+2 || rest[nonceLen] != dot {
		return "", ""
	}
	return rest[:nonceLen], rest[nonceLen+1 : nonceLen+2]
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
	text     string // of kindAnswer, which has nothing else
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
