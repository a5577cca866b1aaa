package memlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Sockets are counted with sock_diag(7), the interface behind ss(8). The request carries
// the states and the local port that are wanted, and the kernel filters by both, so that
// nothing needs to be read that is not counted. Reading /proc/net/tcp, or a link for each
// descriptor, takes seconds where this takes milliseconds.

// Layouts of linux/netlink.h and linux/inet_diag.h. All in the host's byte order but ports
// and addresses. Of the two forms of request this is the older one, which ss(8) uses too
// when it asks for all families: one dump covers IPv4 and IPv6, and a dump is a walk
// through the whole of the kernel's socket table.
const (
	diagRequestLen = unix.SizeofNlMsghdr + 60 // struct inet_diag_req behind the header, padded
	diagAnswerLen  = 72                       // struct inet_diag_msg, attributes behind it
	tcpDiagGetSock = 18                       // TCPDIAG_GETSOCK
	diagBufLen     = 32 << 10                 // the kernel fills at most this much at a time

	diagReqBytecode = 1    // INET_DIAG_REQ_BYTECODE
	maxDiagPorts    = 2000 // an attribute has at most 64 KB
)

// Bits of a request's state mask: 1 << the state's number in net/tcp_states.h.
const (
	stateEstablished = 1 << 1
	stateSynSent     = 1 << 2
	stateSynRecv     = 1 << 3
	stateCloseWait   = 1 << 8
	stateListen      = 1 << 10
)

var errNetlink = errors.New("memlog: sock_diag: malformed answer")

// errLate says that a dump was given up.
var errLate = errors.New("to count took more than 5 s and was given up; it is tried again later")

// sockDiag is one netlink socket and its buffer.
type sockDiag struct {
	fd    int
	seq   uint32
	req   []byte
	buf   []byte
	until time.Time // when a dump is given up; zero is never
}

func openSockDiag() (*sockDiag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("memlog: sock_diag: %w", os.NewSyscallError("socket", err))
	}
	return &sockDiag{fd: fd, buf: make([]byte, diagBufLen)}, nil
}

func (d *sockDiag) close() { unix.Close(d.fd) }

// A diagSocket is what memlog takes from an answer.
type diagSocket struct {
	inode uint32 // as in the descriptor's link socket:[inode]
	local endpoint
}

// An endpoint is a local address and port. An IPv4 address stands in the first four bytes; a
// dual-stack socket is AF_INET6, and IPv4 mapped into it.
type endpoint struct {
	family uint8 // unix.AF_INET or unix.AF_INET6
	port   uint16
	addr   [16]byte // zero is every address
}

// dump calls each for every TCP socket of this network namespace that is in one of the states
// on one of the local ports, which are sorted; none is every port. If the ports are too many for
// a request it calls each for others too. After an error, errLate included, the socket is not to be
// used again.
func (d *sockDiag) dump(states uint32, ports []uint16, each func(diagSocket)) error {
	d.seq++
	d.req = appendDiagRequest(d.req[:0], d.seq, states, ports)
	if err := unix.Sendto(d.fd, d.req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("memlog: sock_diag: %w", os.NewSyscallError("sendto", err))
	}
	for {
		n, err := unix.Read(d.fd, d.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("memlog: sock_diag: %w", os.NewSyscallError("read", err))
		}
		if done, err := walkDiag(d.buf[:n], d.seq, each); done || err != nil {
			return err
		}
		if !d.until.IsZero() && time.Now().After(d.until) {
			return errLate
		}
	}
}

// appendDiagRequest appends struct nlmsghdr and struct inet_diag_req. What stays zero asks for
// every family, every address and no attributes. A single port is a field of the request; for
// several there is a program behind it, which the kernel runs for each socket.
func appendDiagRequest(b []byte, seq, states uint32, ports []uint16) []byte {
	ne := binary.NativeEndian
	var req [diagRequestLen]byte
	ne.PutUint16(req[4:], tcpDiagGetSock)
	ne.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	ne.PutUint32(req[8:], seq)
	ne.PutUint32(req[68:], states) // idiag_states
	if len(ports) == 1 {
		binary.BigEndian.PutUint16(req[20:], ports[0]) // id.idiag_sport
	}
	b = append(b, req[:]...)
	if len(ports) > 1 && len(ports) <= maxDiagPorts {
		b = ne.AppendUint16(b, uint16(unix.SizeofNlAttr+portProgramLen(len(ports))))
		b = ne.AppendUint16(b, diagReqBytecode)
		b = appendPortProgram(b, ports, 0)
	}
	ne.PutUint32(b, uint32(len(b))) // nlmsg_len
	return b
}

// walkDiag goes through the messages of one read. done is true behind the dump's last message.
// Messages that answer an earlier request, one that was given up, are passed over.
func walkDiag(b []byte, seq uint32, each func(diagSocket)) (done bool, err error) {
	ne := binary.NativeEndian
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return false, errNetlink
		}
		size := int(ne.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false, errNetlink
		}
		kind, body := ne.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size]
		if ne.Uint32(b[8:]) == seq {
			switch kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				// Both begin with an error number, negative; that of a good end is zero.
				if len(body) >= 4 {
					if errno := int32(ne.Uint32(body)); errno < 0 {
						return true, fmt.Errorf("memlog: sock_diag: %w", unix.Errno(-errno))
					}
				}
				return true, nil
			case tcpDiagGetSock:
				if len(body) < diagAnswerLen {
					return false, errNetlink
				}
				each(parseDiagSocket(body))
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

// parseDiagSocket reads struct inet_diag_msg, of which walkDiag has checked the length.
func parseDiagSocket(msg []byte) diagSocket {
	return diagSocket{
		inode: binary.NativeEndian.Uint32(msg[68:]),
		local: endpoint{
			family: msg[0],
			port:   binary.BigEndian.Uint16(msg[4:]),
			addr:   [16]byte(msg[8:24]),
		},
	}
}
