// Package subject names the subjects of NATS on which messages travel, for the nodes of a cluster and for those who publish to them
// without being one. It is text only: no NATS, no state.
//
//	comet.id.TOKEN           messages for an id; who holds it subscribes
//	comet.node.TOKEN         requests to a node by its name; it alone subscribes
//	comet.re.ORIGIN.KIND...  the reply subject of a message or request: who sent it, and what is wanted there
//	comet.void               nothing; nobody subscribes to it
//	comet.ask                who asks here, with a question in JSON (package server), hears from each node that has an answer
//	comet.ledger             who asks here, with an origin or nothing, hears from each node what became of that origin's messages
//
// Messages and requests carry a reply subject, which is also how a node knows its own message when NATS brings it back.
package subject

import (
	"bytes"
	"crypto/rand"
	"strings"
)

// The beginnings of subjects, up to what differs.
const (
	IDs     = "comet.id."
	Nodes   = "comet.node."
	Replies = "comet.re."
)

// Ledger is where nodes answer for what they have done.
const Ledger = "comet.ledger"

// Ask is where nodes answer questions.
const Ask = "comet.ask"

// Nobody is where nobody listens. NATS's word for what is published there tells that its words for all before have come.
const Nobody = "comet.void"

// Kinds of reply subjects.
const (
	Confirm = "c" // with a number behind: answers to the sender's request of that number
	Beside  = "b" // the same, where the message had sessions at the sender beside those that are asked for
	Void    = "v" // with a tag behind: NATS's word ("no responders") that nobody wanted a message which had no session at the sender
	Answer  = "a" // with a number behind: answers to the sender's question of that number
	Done    = "d" // nothing: the message had sessions at the sender, so nobody asks
)

// OriginLen is the length of an origin.
const OriginLen = 16 // of rand.Text's base32: 80 bits

// NewOrigin returns what tells one sender from all that ever were.
func NewOrigin() string { return rand.Text()[:OriginLen] }

// Reply is the reply subject of a message of origin, without what stands behind its kind.
func Reply(origin, kind string) string { return Replies + origin + "." + kind }

// A token is an id with '=' for each '.', which is what separates tokens. '=' is in no id (router.ValidID), so the two can be
// told apart, and nothing else needs care: NATS tells upper from lower case, and takes '*' and '>' for wildcards, neither of
// which an id may hold. Tokens are as long as their ids, and decimal ids are their own tokens.
const (
	dot      = '.'
	dotToken = '='
)

func join(prefix string, id []byte) string {
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

// Of returns the subject of an id's messages. id is valid (router.ValidID).
func Of(id []byte) string { return join(IDs, id) }

// Node returns the subject of a node's requests. Its name is formed as an id.
func Node(name string) string { return join(Nodes, []byte(name)) }

// AppendID appends the id of a subject of Of to dst; not ok if subject is none.
func AppendID(dst []byte, subject string) (id []byte, ok bool) {
	token, ok := strings.CutPrefix(subject, IDs)
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
