package memlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAppendDiagRequest(t *testing.T) {
	got := appendDiagRequest(nil, 7, stateEstablished, []uint16{8000})
	ne := binary.NativeEndian
	var want bytes.Buffer
	for _, v := range []any{
		uint32(76), uint16(18), uint16(0x301), uint32(7), uint32(0), // nlmsghdr: length, TCPDIAG_GETSOCK, REQUEST|DUMP, seq, pid
		[4]byte{},                      // family, src_len, dst_len, ext
		[2]byte{0x1f, 0x40}, [2]byte{}, // ports, big-endian
		[16]byte{}, [16]byte{}, [3]uint32{}, // addresses, interface, cookie
		uint32(2), uint32(0), // states, dbs
	} {
		if err := binary.Write(&want, ne, v); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("request is\n% x\nwant\n% x", got, want.Bytes())
	}
}

// A dump that takes too long is given up, and the socket is not used for another.
func TestDumpIsGivenUp(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	connect(t, l, 3)
	p := probeSelf(t)
	awaitConns(t, p, 3)
	c := &p.machine.conns
	c.diag.until = time.Now()
	if err := c.diag.dump(stateEstablished, nil, func(diagSocket) {}); err != errLate {
		t.Errorf("error %v", err)
	}
	c.close()
	awaitConns(t, p, 3)
}

// netlink makes one message.
func netlink(kind uint16, seq uint32, body []byte) []byte {
	ne := binary.NativeEndian
	b := make([]byte, 16, 16+len(body)+3)
	ne.PutUint32(b, uint32(16+len(body)))
	ne.PutUint16(b[4:], kind)
	ne.PutUint32(b[8:], seq)
	b = append(b, body...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// answer makes the body of an answer, with an attribute behind it.
func answer(family uint8, port uint16, inode uint32) []byte {
	b := make([]byte, diagAnswerLen, diagAnswerLen+5)
	b[0], b[1] = family, 1
	copy(b[8:], []byte{127, 0, 0, 1})
	binary.BigEndian.PutUint16(b[4:], port)
	binary.NativeEndian.PutUint32(b[68:], inode)
	return append(b, 5, 0, 8, 0, 0) // five bytes: the next message starts on the next multiple of four
}

func errno(n int32) []byte {
	return binary.NativeEndian.AppendUint32(nil, uint32(n))
}

func TestWalkDiag(t *testing.T) {
	one, other := netlink(tcpDiagGetSock, 3, answer(unix.AF_INET, 8000, 99)), netlink(tcpDiagGetSock, 2, answer(unix.AF_INET, 8000, 98))
	end := netlink(unix.NLMSG_DONE, 3, errno(0))
	join := func(bs ...[]byte) []byte { return bytes.Join(bs, nil) }
	tests := []struct {
		name  string
		in    []byte
		found int
		done  bool
		err   error
	}{
		{"nothing", nil, 0, false, nil},
		{"two and more to come", join(one, one), 2, false, nil},
		{"one and the end", join(one, end), 1, true, nil},
		{"nothing behind the end counts", join(end, one), 0, true, nil},
		{"an earlier request's", join(other, one, netlink(unix.NLMSG_DONE, 2, errno(0))), 1, false, nil},
		{"other kinds", join(netlink(unix.NLMSG_NOOP, 3, nil), one), 1, false, nil},
		{"refused", netlink(unix.NLMSG_ERROR, 3, errno(-int32(unix.ENOENT))), 0, true, unix.ENOENT},
		{"ended by an error", join(one, netlink(unix.NLMSG_DONE, 3, errno(-int32(unix.ENOMEM)))), 1, true, unix.ENOMEM},
		{"end without a number", join(one, netlink(unix.NLMSG_DONE, 3, nil)), 1, true, nil},
		{"half a header", one[:10], 0, false, errNetlink},
		{"half a message", one[:80], 0, false, errNetlink},
		{"short answer", netlink(tcpDiagGetSock, 3, make([]byte, diagAnswerLen-4)), 0, false, errNetlink},
		{"length zero", make([]byte, 16), 0, false, errNetlink},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := 0
			done, err := walkDiag(tt.in, 3, func(s diagSocket) {
				if s != (diagSocket{99, endpoint{unix.AF_INET, 8000, [16]byte{127, 0, 0, 1}}}) {
					t.Errorf("socket %+v", s)
				}
				found++
			})
			if found != tt.found || done != tt.done || !errors.Is(err, tt.err) {
				t.Errorf("found %d, done %t, error %v; want %d, %t, %v", found, done, err, tt.found, tt.done, tt.err)
			}
		})
	}
}

func FuzzWalkDiag(f *testing.F) {
	one := netlink(tcpDiagGetSock, 3, answer(unix.AF_INET6, 1, 2))
	f.Add(one)
	f.Add(append(one, netlink(unix.NLMSG_DONE, 3, errno(0))...))
	f.Add(netlink(unix.NLMSG_ERROR, 3, errno(-1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		found := 0
		if _, err := walkDiag(b, 3, func(diagSocket) { found++ }); err == nil && found*(16+diagAnswerLen) > len(b) {
			t.Errorf("%d answers in %d bytes", found, len(b))
		}
	})
}

func TestSocketInode(t *testing.T) {
	for link, want := range map[string]uint32{"socket:[12345]": 12345, "socket:[4294967295]": 1<<32 - 1} {
		if n, ok := socketInode([]byte(link)); !ok || n != want {
			t.Errorf("%q: %d, %t", link, n, ok)
		}
	}
	for _, link := range []string{"", "socket:[]", "socket:[1", "pipe:[1]", "socket:[x]", "socket:[4294967296]", "/dev/null"} {
		if n, ok := socketInode([]byte(link)); ok {
			t.Errorf("%q is taken for socket %d", link, n)
		}
	}
}
