// Package router knows which session holds which id, and hands the messages for an id to its sessions. It is the
// router.erl of the article, and like it knows neither sockets nor protocols: a Session is an opaque number, and what
// "handing over" means is the Deliver function that the owner brings along.
//
//   - Router is the contract: Login, Logout, Send, and what they promise.
//   - Local keeps it within one process. All goroutines may use one Local at the same time.
//
// Memory is what decides its shape, because a comet server is mostly people who wait. A login is one record of 28 bytes
// without pointers in a slab, threaded into two chains: by id and by session. With its share of both indexes it costs
// about 32 bytes, a textual id of up to 20 bytes 24 more, nothing is doubled when it grows, and the garbage collector has
// nothing to look at. A router that nobody uses takes 4 KB. docs/design/router.md in the project has the layout, the
// order of locks and the measured figures.
//
//	router.go  the contract, what an id is
//	local.go   Local: the three operations and their locks
//	login.go   the record of a login, and where records come from
//	chains.go  how a login enters and leaves its chains
//	text.go    ids that are not numbers, in blocks
package router

import (
	"errors"
	"fmt"
)

// Session names a session to the router and to its owner. It is opaque (a connection's loop, slot and generation, say)
// and must not be used again after its Logout. The zero Session is none.
type Session uint64

// MaxID is the greatest length of an id in bytes.
const MaxID = 128

// Errors that a Router's methods return; compare with errors.Is.
var (
	// ErrID is returned by ValidID, Login and Send for an id that is empty, longer than MaxID bytes, or holds a byte
	// other than A-Z a-z 0-9 . _ ~ - (RFC 3986 section 2.3, unreserved). The error's text names the offence.
	ErrID = errors.New("router: bad id")
	// ErrFull is returned by Login where the id has as many sessions as it may have (Local.Limit).
	ErrFull = errors.New("router: the id has as many sessions as it may have")
	// ErrNoSession is returned by Login for the zero Session.
	ErrNoSession = errors.New("router: the zero session cannot log in")
)

// Errors of a Router that reaches further than this process; compare with errors.Is.
var (
	// ErrDisconnected is what a message is refused with while the other nodes cannot be reached, if that was asked for.
	ErrDisconnected = errors.New("router: not connected to the other nodes")
	// ErrTooLarge is what a message is refused with that the way between the nodes would not take. Nobody got it.
	ErrTooLarge = errors.New("router: message is too large for the other nodes")
	// ErrUnconfirmed says that somebody was interested in a message, and that no node answered for it in time.
	ErrUnconfirmed = errors.New("router: no answer from another node")
)

// Deliver hands msg to the session s, on the goroutine that called Send and before Send returns. tag is Send's. No lock of
// the router is held: Deliver may block to slow the sender down, and may call the router. Both slices are Send's and lent
// for the call. It is called for sessions that were logged in when Send looked; one may have ended since, which only
// the owner of the sessions can tell.
type Deliver func(s Session, msg []byte, tag uint64)

// Interest is told that an id got its first session or lost its last. It is called under the router's locks, so that the
// two come in order for one id: it must return at once and must not call the router. Who acts on it later asks Holds
// again, because the answer may have changed meanwhile.
type Interest func(id string)

// Stage is what each message for sessions of this process passes on its way from Send to Deliver: where messages are numbered and kept
// (package server/history). Send calls Enter before it looks for sessions, hands over what Enter returns instead of the message, and calls
// Leave with its ticket when that is done. So who holds a lock between the two sees all messages of an id one after another, and a Login
// under the same lock falls between two of them. A ticket of 0 stands for nothing to leave. Behind a Stage that locks, Deliver must not Send.
type Stage interface {
	Enter(id, msg []byte, tag uint64) (staged []byte, stagedTag uint64, ticket uint32)
	Leave(ticket uint32)
}

// Keeper is a Stage that remembers ids for a while when nobody holds them any more, for clients that come back. A Router that reaches further
// than this process hears of messages for such ids, too, and so for no longer than Has says.
type Keeper interface {
	// Has tells whether id is remembered. It may wait for a Send of this process.
	Has(id []byte) bool
	// OnForget makes forgot hear of each id that is no longer remembered. It is called before the first Send. forgot must return at once and
	// call neither the Router nor the Keeper.
	OnForget(forgot func(id string))
}

// Receipt says what became of one Send.
type Receipt struct {
	// Sessions is the number of sessions that msg was handed to. Zero means that nobody holds the id: the message went
	// into the void, which is an outcome to be counted and not an error.
	Sessions int
	// Published says that msg was also handed to other processes, about whose sessions nothing is known yet. Local never
	// sets it.
	Published bool
}

// Confirmation is what became of a message that was sent to all nodes and answered for.
type Confirmation struct {
	Receipt     // of this node
	Remote  int // sessions of other nodes that the message was handed to
	Nodes   int // other nodes that answered
}

// Offline tells that nobody held the id, on any node.
func (c Confirmation) Offline() bool { return c.Sessions+c.Remote == 0 }

// Router is who is where. All methods may be called by all goroutines at the same time. Slices are lent for the call.
//
// Delivery is at most once per Send and session, without storage: a session gets the messages of those Sends that began
// after its Login has returned and returned before its Logout has begun; for Sends that overlap either, it may. Messages
// that one goroutine sends to one id are handed over in its order; nothing is promised between goroutines.
type Router interface {
	// Login makes s a holder of id. A session may hold several ids, an id may have several sessions, and the same pair
	// twice is one login. It fails with ErrID, ErrNoSession or ErrFull, and then nothing has changed.
	Login(id []byte, s Session) error
	// Logout forgets all ids of s. For a session that holds none it does nothing. A Send that begins after Logout has
	// returned does not reach s.
	Logout(s Session)
	// Send hands msg to every session of id, each at most once, through the router's Deliver, and passes tag along. It
	// fails with ErrID; a Router that reaches further than this process has errors of its own.
	Send(id, msg []byte, tag uint64) (Receipt, error)
}

// ValidID returns nil for an id of 1 to MaxID bytes of A-Z a-z 0-9 . _ ~ - and otherwise an ErrID that names the offence.
func ValidID(id []byte) error {
	if len(id) == 0 {
		return fmt.Errorf("%w: it is empty; give 1 to %d bytes of A-Z a-z 0-9 . _ ~ -", ErrID, MaxID)
	}
	if len(id) > MaxID {
		return fmt.Errorf("%w %q...: %d bytes; at most %d are allowed", ErrID, string(id[:16]), len(id), MaxID)
	}
	for i, c := range id {
		if !unreserved(c) {
			return fmt.Errorf("%w %q: byte %d is %q; use A-Z a-z 0-9 . _ ~ - only", ErrID, string(id), i+1, c)
		}
	}
	return nil
}

func unreserved(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '.' || c == '_' || c == '~'
}

// number returns the value of a valid id that is the canonical decimal form of a number below 2^63. "007" is not: it
// names somebody else than "7" does, and so does a number that is too great.
func number(id []byte) (n uint64, ok bool) {
	const digits = 19 // of 2^63 - 1; 19 nines are below 2^64
	if len(id) > digits || id[0] == '0' && len(id) > 1 {
		return 0, false
	}
	for _, c := range id {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n < 1<<63
}
