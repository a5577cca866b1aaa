package memlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sockets are counted with sock_diag(7), the interface behind ss(8). The request carries
// the states and the local port that are wanted, and the kernel filters by both, so that
// nothing needs to be read that is not counted. Reading /proc/net/tcp, or a link for each
// descriptor, takes seconds where this takes milliseconds.

// Layouts of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h. All in the host's
// byte order but ports and addresses.
const (
	diagRequestLen = unix.SizeofNlMsghdr + 56 // struct inet_diag_req_v2
	diagAnswerLen  = 72                       // struct inet_diag_msg, attributes behind it
	sockDiagFamily = 20                       // SOCK_DIAG_BY_FAMILY
	diagBufLen     = 32 << 10                 // the kernel fills at most this much at a time

	stateEstablished = 1 << 1  // TCPF_ESTABLISHED of net/tcp_states.h
	stateListen      = 1 << 10 // TCPF_LISTEN
)

var errNetlink = errors.New("memlog: sock_diag: malformed answer")

// sockDiag is one netlink socket and its buffer.
type sockDiag struct {
	fd  int
	seq uint32
	buf []byte
}

func openSockDiag() (*sockDiag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("memlog: sock_diag: %w", os.NewSyscallError("socket", err))
	}
	return &sockDiag{fd: fd, buf: make([]byte, diagBufLen)}, nil
}

func (d *sockDiag) close() { unix.Close(d.fd) }

// count returns how many TCP sockets of the family are in one of the states on the local port.
func (d *sockDiag) count(family uint8, states uint32, port uint16) (n int64, err error) {
	err = d.dump(family, states, port, func([]byte) { n++ })
	return n, err
}

// A listener is a listening TCP socket of this network namespace.
type listener struct {
	inode  uint32 // as in the descriptor's link socket:[inode]
	family uint8  // of its connections too: a dual-stack listener accepts IPv4 as AF_INET6
	port   uint16
}

// listeners appends all listening TCP sockets to dst.
func (d *sockDiag) listeners(dst []listener) ([]listener, error) {
	for _, family := range [...]uint8{unix.AF_INET, unix.AF_INET6} {
		err := d.dump(family, stateListen, 0, func(msg []byte) {
			dst = append(dst, parseListener(msg))
		})
		if err != nil && !(family == unix.AF_INET6 && errors.Is(err, unix.ENOENT)) { // no IPv6 here
			return dst, err
		}
	}
	return dst, nil
}

// dump sends one request and calls each for every answer; msg is valid during the call only.
// port 0 is every port.
func (d *sockDiag) dump(family uint8, states uint32, port uint16, each func(msg []byte)) error {
	d.seq++
	var req [diagRequestLen]byte
	encodeDiagRequest(&req, d.seq, family, states, port)
	if err := unix.Sendto(d.fd, req[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
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
	}
}

// encodeDiagRequest writes struct nlmsghdr and struct inet_diag_req_v2.
func encodeDiagRequest(b *[diagRequestLen]byte, seq uint32, family uint8, states uint32, port uint16) {
	ne := binary.NativeEndian
	ne.PutUint32(b[0:], diagRequestLen)
	ne.PutUint16(b[4:], sockDiagFamily)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	ne.PutUint32(b[8:], seq)
	b[16] = family           // sdiag_family
	b[17] = unix.IPPROTO_TCP // sdiag_protocol; idiag_ext stays 0: no attributes asked for
	ne.PutUint32(b[20:], states)
	binary.BigEndian.PutUint16(b[24:], port) // id.idiag_sport
}

// walkDiag goes through the messages of one read. done is true behind the dump's last message.
// Messages that answer an earlier request, one that was given up, are passed over.
func walkDiag(b []byte, seq uint32, each func(msg []byte)) (done bool, err error) {
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
			case sockDiagFamily:
				if len(body) < diagAnswerLen {
					return false, errNetlink
				}
				each(body)
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

// parseListener reads struct inet_diag_msg, of which walkDiag has checked the length.
func parseListener(msg []byte) listener {
	return listener{
		inode:  binary.NativeEndian.Uint32(msg[68:]),
		family: msg[0],
		port:   binary.BigEndian.Uint16(msg[4:]),
	}
}
