package flood

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"

	"cometctl/internal/clienttls"
	"cometctl/internal/netloop"
)

// cause is the word under which a connection's failure or early end is counted, in Result.FailedBy and ClosedBy. It is
// an error so that it can be given to Loop.Close and come back to the handler. A response that is not a 200 has the
// cause "status 503", or "redirect 302".
type cause string

func (c cause) Error() string { return string(c) }

const (
	causeRefused     cause = "refused"         // nobody listens there
	causeTimeout     cause = "timeout"         // no response within the time allowed
	causeReset       cause = "reset"           // the peer, or its system, broke the connection off
	causeEOF         cause = "eof"             // the peer closed before the response, or in the middle of it
	causeEnded       cause = "ended"           // the server ended the response in order
	causeBad         cause = "bad response"    // what came is not HTTP
	causeNoEvents    cause = "no event stream" // --as sse: the answer is something else
	causeNoWebSocket cause = "no websocket"    // ws://: the answer is a 101 to something else
	causeUnreachable cause = "unreachable"     // no route
	causeDescriptors cause = "no descriptors"  // this process or system has none left
	causePorts       cause = "no ports"        // the source address has none left
	causeMemory      cause = "no memory"       // the kernel has none left for sockets
	causeAborted     cause = "aborted"         // by flood itself: see Abort
	causeTakenBack   cause = "taken back"      // the schedule has closed it before it was open
	causeOther       cause = "other"           // what has no errno
)

// statusCause is the cause of a response that is not the one that was asked for. Who is sent elsewhere does not go there: what is measured is the
// server that was named.
func statusCause(status int) cause {
	switch status {
	case 301, 302, 303, 307, 308: // RFC 9110 section 15.4
		return cause("redirect " + strconv.Itoa(status))
	}
	return cause("status " + strconv.Itoa(status))
}

// closeCause is the cause of a WebSocket that its server has closed with a code (RFC 6455 section 7.4).
func closeCause(code int64) cause { return cause("close " + strconv.FormatInt(code, 10)) }

// errStopped is what flood closes its connections with at the end of the run. It counts nowhere.
var errStopped = errors.New("flood: the run is over")

var errnoCauses = map[syscall.Errno]cause{
	syscall.ECONNREFUSED:  causeRefused,
	syscall.ETIMEDOUT:     causeTimeout,
	syscall.ECONNRESET:    causeReset,
	syscall.ECONNABORTED:  causeReset,
	syscall.EPIPE:         causeReset,
	syscall.ENETUNREACH:   causeUnreachable,
	syscall.EHOSTUNREACH:  causeUnreachable,
	syscall.EMFILE:        causeDescriptors,
	syscall.ENFILE:        causeDescriptors,
	syscall.EADDRNOTAVAIL: causePorts,
	syscall.EADDRINUSE:    causePorts,
	syscall.ENOBUFS:       causeMemory,
	syscall.ENOMEM:        causeMemory,

	// Windows gives these numbers where the names above are inventions of package syscall.
	10061: causeRefused,
	10060: causeTimeout,
	10054: causeReset,
	10053: causeReset,
	10051: causeUnreachable,
	10065: causeUnreachable,
	10024: causeDescriptors,
	10049: causePorts,
	10048: causePorts,
	10055: causeMemory,
}

// causeOf puts err, as Handler.Closed or Loop.Dial gave it, under its cause. An errno without a word of its own is counted
// under the system's text for it.
func causeOf(err error) cause {
	var (
		c     cause
		errno syscall.Errno
		n     net.Error
	)
	switch {
	case errors.As(err, &c):
		return c
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return causeEOF
	case errors.As(err, &errno):
		if c, ok := errnoCauses[errno]; ok {
			return c
		}
		return cause(errno.Error())
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &n) && n.Timeout():
		return causeTimeout
	}
	if word := clienttls.Word(err); word != "" {
		return cause(word)
	}
	if errors.Is(err, netloop.ErrHandshake) {
		return clienttls.Failed
	}
	return causeOther
}
