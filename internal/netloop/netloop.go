// Package netloop drives very many sockets with few goroutines, behind one small Handler.
//
// An Engine owns a few loops; a loop owns connections. Whatever happens to a connection (opened, readable, written, its
// deadline passed, closed) is told to the Handler in that loop's turn. Only one goroutine has a loop's turn at a time, so
// a handler needs no lock for what it keeps per loop or per connection. Everybody else talks to a connection with
// Engine.Post, or to a loop with Engine.Do.
//
// Two engines implement the same contract and pass the same tests:
//
//   - epoll (Linux): a loop is an epoll set, one read buffer, one listening socket in a SO_REUSEPORT group and a slab of
//     pointer-free records. An idle connection owns its record and nothing else.
//   - goroutine (every OS): a connection is a net.Conn with a goroutine that reads, and another while there is something to
//     write: the process per connection of the articles. It is the portable way, the "before" picture of a memory graph, and
//     the one that speaks TLS.
//
// Who owns what: a handler owns nothing that it is handed. Byte slices are lent for the call. Bytes given to Write and
// Post are copied before they return. A Conn is a number (loop, slot, generation); one whose connection has ended is
// recognised everywhere and ignored, even when its slot and its descriptor serve another connection by now.
//
// The order within a turn is fixed, because each step feeds the next:
//  1. posted bytes and functions, in the order they were posted,
//  2. readiness of the sockets, reading before hang-up, so that the last bytes of a peer are never lost,
//  3. deadlines that have passed,
//  4. one write per connection with everything that the turn wrote to it.
package netloop

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// Conn identifies one connection of an Engine: 8 bits of loop, 28 bits of generation, 28 bits of slot. The zero Conn is
// none. It is opaque to everyone but the engine, save that Slot may index arrays that mirror the loop's connections.
type Conn uint64

const slotBits, genBits = 28, 28

// MaxGroup is the greatest number of sockets of a Group. Steer's program takes two instructions for each, and the kernel bounds its
// size (net.core.optmem_max, 20 KB on older ones).
const MaxGroup = 512

// MaxLoops is the greatest number of loops that an Engine can have.
const MaxLoops = 1 << (64 - slotBits - genBits)

func makeConn(loop int, gen, slot uint32) Conn {
	return Conn(loop)<<(slotBits+genBits) | Conn(gen)<<slotBits | Conn(slot)
}

// Loop is the index of the loop that owns the connection.
func (c Conn) Loop() int { return int(c >> (slotBits + genBits)) }

// Slot is the connection's place in its loop: dense, starting at 1, and reused after the connection has ended.
func (c Conn) Slot() uint32 { return uint32(c & (1<<slotBits - 1)) }

func (c Conn) gen() uint32 { return uint32(c>>slotBits) & (1<<genBits - 1) }

// Handler is told what happens to connections. All calls for the connections of one loop come one after another, in that
// loop's turn; calls for different loops run at the same time. A handler must not block.
type Handler interface {
	// Opened tells that c was accepted, or that a Dial has succeeded. With Config.TLS the handshake comes after it, so that a deadline
	// that is set here bounds it; what is written meanwhile leaves when it is over.
	Opened(l Loop, c Conn)
	// Readable hands over bytes that arrived on c. The slice is the loop's read buffer: lent for this call.
	Readable(l Loop, c Conn, b []byte)
	// Posted hands over what another goroutine gave to Engine.Post, with its tag. Where alive is false, c has ended. The
	// slice is lent for this call.
	Posted(l Loop, c Conn, b []byte, tag uint64, alive bool)
	// Wrote tells that the kernel has taken the last byte of the write that was given this tag. It is called once for each
	// tagged write, in their order.
	Wrote(l Loop, c Conn, tag uint32)
	// Unsent tells, once for each, that the tagged writes which are still pending will not leave whole: c is ending.
	Unsent(l Loop, c Conn, tag uint32)
	// Expired tells that c's deadline has passed; it is cleared before the call.
	Expired(l Loop, c Conn)
	// Closed is the last call for c. err is io.EOF when the peer ended the connection in order, the error that Close was
	// given, the reason why a Dial failed, or what the system said.
	Closed(l Loop, c Conn, err error)
}

// Shaker is a Handler that wants to know when handshakes are over. A Handler need not be one.
type Shaker interface {
	// Shaken tells that c's TLS handshake was successful, before anything is read from c.
	Shaken(l Loop, c Conn, state tls.ConnectionState)
}

// Loop is what a handler can do in its turn. No method may be called outside the turn, and none blocks.
type Loop interface {
	// Index is the loop's number, 0 <= Index < Engine.Loops.
	Index() int
	// Write queues a copy of b for c and sends it at the end of the turn, in one system call with all else that the turn
	// writes to c. A tag other than 0 asks for the outcome: either Wrote or Unsent will be called with it. Write returns
	// false, and queues nothing, when c has ended, or when c's pending output would exceed Config.MaxPending, or when some was
	// left from an earlier turn and all connections together have reached Config.MaxPendingTotal; an empty queue takes one write of
	// any size. The goroutine engine counts only what stands behind the first pending write.
	Write(c Conn, b []byte, tag uint32) bool
	// Pending is the number of bytes that were written to c and not yet taken by the kernel.
	Pending(c Conn) int
	// Peer is the address of c's peer, asked from the system at each call: nothing is kept for it. It is the zero AddrPort when c has
	// ended, or when its peer has reset it.
	Peer(c Conn) netip.AddrPort
	// SetDeadline calls Expired for c once d has passed since Now, at most 1/16 s late and never early. It replaces a deadline set
	// before; zero or less clears it.
	SetDeadline(c Conn, d time.Duration)
	// End sends c's pending output and a copy of last (which may be nil, and is taken however much is pending), half-closes,
	// reads and drops what the peer still sends, and closes when the peer does, at the latest when Config.Linger has passed.
	// Nothing more is read to the handler or accepted by Write. A connection whose end must not wait uses Close.
	End(c Conn, last []byte)
	// Close ends c now; pending output is lost. Closed is called with err before Close returns. Closing a connection that
	// has ended does nothing.
	Close(c Conn, err error)
	// Dial starts a connection to the address to, from the address from when that is valid (its port may be 0). Opened or
	// Closed is called later, never before Dial returns. An error means that nothing was started.
	Dial(to netip.AddrPort, from netip.AddrPort) (Conn, error)
	// DialTLS is Dial for a peer that speaks TLS, as cfg has it (ServerName included); cfg is read from several goroutines, and not to
	// change any more. Opened comes before the handshake, as with Config.TLS: what is written meanwhile leaves when it is over, of which a Shaker
	// is told. Where it fails, Closed is called with ErrHandshake around the reason. The error is ErrNoTLS where the engine does not speak TLS.
	DialTLS(to netip.AddrPort, from netip.AddrPort, cfg *tls.Config) (Conn, error)
	// DialNarrow is Dial, or DialTLS where cfg is not nil, with a receive buffer of about so many bytes in the system: a peer learns soon that
	// nobody reads what it sends.
	DialNarrow(to netip.AddrPort, from netip.AddrPort, cfg *tls.Config, receive int) (Conn, error)
	// Hold stops reading from c, or lets it go on. What arrives meanwhile is left to the system, and so is the peer's end, which is told when
	// reading goes on; that c was reset may be told before. Output leaves as ever. The goroutine engine may have taken a buffer of bytes already,
	// which it keeps as well. End lets reading go on.
	Hold(c Conn, hold bool)
	// Abort is Close that resets the connection: the peer is told that it broke, and the system forgets it at once.
	Abort(c Conn, err error)
	// Conns calls f for each connection of the loop until f returns false. f may close the connection that it is given.
	Conns(f func(Conn) bool)
	// Now is the time since the engine was made, read once at the start of the turn.
	Now() time.Duration
}

// Engine is a set of loops that run until Close. Its methods may be called from any goroutine outside a turn.
type Engine interface {
	// Listen accepts connections on addr ("127.0.0.1:8000"; port 0 picks one) and returns the address that was bound.
	Listen(addr string) (netip.AddrPort, error)
	// Inherit accepts connections on a listening socket that another process has opened (Group.File), and returns its address. The
	// engine has a copy of its own when it returns, and f is the caller's to close.
	Inherit(f *os.File) (netip.AddrPort, error)
	// Take makes a connection that another process has accepted (Group.Accept) one of this engine's: Opened is called. fd is a connected,
	// non-blocking socket and the engine's from here on, whatever Take returns.
	Take(fd int) error
	// StopListening closes the listening sockets; established connections go on. Connections that wait in the accept
	// queue are accepted first, unless Config.Full is true: then they wait for who else has the socket.
	StopListening()
	// PendingTotal is the memory that pending output of all connections takes, as Config.MaxPendingTotal bounds it.
	PendingTotal() int64
	// Loops is the number of loops.
	Loops() int
	// Post copies b for c into the mailbox of c's loop. It blocks while that mailbox is full, which is how a publisher is
	// slowed to what the loops can write. Posted is called in the order of the Posts of one goroutine, after Flush. Post
	// returns false when the engine is closed: then Posted will not be called.
	Post(c Conn, b []byte, tag uint64) bool
	// Flush makes sure that what was posted before is seen: at most one wake-up a loop, none for a loop that is awake. A
	// loop that sleeps may be given its turn by the caller, on the caller's goroutine.
	Flush()
	// Do runs f in the turn of a loop, soon, after what was posted to that loop before. It does not wait for f. Where the
	// engine is closed, f is not run.
	Do(loop int, f func(Loop))
	// Close ends all connections (Closed is called with ErrClosed), frees everything and returns when no more handler
	// calls will come.
	Close() error
}

// Config says how to make an Engine. The zero value of each field means its default.
type Config struct {
	Engine      string                // "epoll" or "goroutine"; default: epoll where there is one
	Loops       int                   // number of loops; default runtime.GOMAXPROCS(0)
	ReadBuffer  int                   // bytes of a loop's (goroutine: a connection's) read buffer; default 64 KiB (4 KiB); of one that was dialled with TLS, 1 KiB at most
	MaxPending  int                   // bound of a connection's pending output in bytes; default 256 KiB
	MailboxSize int                   // bound of a loop's mailbox in bytes, some 40 for each post included; default 2 MiB
	Linger      time.Duration         // how long End waits for the peer; default 2 s
	Full        func() bool           // while it is true nobody (goroutine: one more) is accepted: who comes waits in the queue; default: never
	Meter       func(loop int) *Meter // where a loop counts its turns; called once for each by New; default: where nobody sees it
	TLS         *tls.Config           // goroutine only: what comes in (not what is dialled) speaks TLS; default: nothing does
	Log         func(msg string)      // told when a lack of descriptors or memory at accept begins and when it is over; default: nobody

	// NotTLS, with TLS, is told in a turn of a peer that does not begin with a TLS record, and of its first bytes. It may End c with words
	// that the peer understands, which leave as they are; otherwise c ends as after any other failed handshake.
	NotTLS func(l Loop, c Conn, first [5]byte)
	// MaxPendingTotal bounds the memory of all pending output that the kernel has not taken, in bytes. Seven eighths are for writes behind
	// others; where the rest does not suffice either, who has taken nothing for the longest time is closed with ErrPending. Default: no bound.
	MaxPendingTotal int64
	// Pending is where PendingTotal is counted, so that another process may see it; default: where nobody else does.
	Pending *atomic.Int64
}

// Errors that a Handler's Closed or an Engine's method returns; compare with errors.Is.
var (
	// ErrClosed is what Closed is called with for connections that Engine.Close ended, and what Dial and Listen return
	// afterwards.
	ErrClosed = errors.New("netloop: engine closed")
	// ErrLinger is what Closed is called with when a peer did not close within Config.Linger after End.
	ErrLinger = errors.New("netloop: peer did not close in time")
	// ErrPending is what Closed is called with when the pending output of all connections has reached Config.MaxPendingTotal and this
	// one had taken nothing for the longest time.
	ErrPending = errors.New("netloop: no room for what the peer does not read")
	// ErrEngine is returned by New for an engine that this system does not have.
	ErrEngine = errors.New("netloop: no such engine")
	// ErrHandshake is what Closed is called with, around the reason, for a connection whose TLS handshake has failed. A peer that ends
	// it before its first byte is io.EOF.
	ErrHandshake = errors.New("netloop: TLS handshake failed")
	// ErrNoTLS is returned by New for an engine that does not speak TLS, and Config.TLS, and by its DialTLS.
	ErrNoTLS = errors.New("netloop: the epoll engine does not speak TLS, the goroutine engine does")
)
