package workers

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"cometctl/server"
)

// createPages makes a file without a name that holds n pages of counters. It lies in memory where there is such a place, so that counting
// never writes to a disk.
func createPages(n int) (*os.File, error) {
	f, err := os.CreateTemp("/dev/shm", "cometctl-*")
	if err != nil {
		f, err = os.CreateTemp("", "cometctl-*")
	}
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	if err := f.Truncate(int64(n) * pageBytes()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// pageBytes is what a page takes in the file: whole pages of memory.
func pageBytes() int64 {
	size := os.Getpagesize()
	return int64((server.PageSize + size - 1) / size * size)
}

// mapPage shares the page at offset at with every process that maps it.
func mapPage(f *os.File, at int64) (*server.Page, error) {
	b, err := syscall.Mmap(int(f.Fd()), at, int(pageBytes()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return server.NewPage(b)
}

// pair makes two sockets that are connected with each other: for a stream, or for messages that may carry descriptors.
func pair(kind int) (parent, child *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "worker's control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// Kinds of pairs.
const (
	forWords = syscall.SOCK_STREAM
	forConns = syscall.SOCK_SEQPACKET
)

// send sends descriptors, which stay the sender's, too.
func send(conn *net.UnixConn, fds []int) error {
	conn.SetWriteDeadline(time.Now().Add(sendLimit))
	_, _, err := conn.WriteMsgUnix([]byte{byte(len(fds))}, syscall.UnixRights(fds...), nil)
	return err
}

// receive returns descriptors that were sent, at most handful; an error when no more can come.
func receive(conn *net.UnixConn) ([]int, error) {
	var word [1]byte
	oob := make([]byte, syscall.CmsgSpace(4*handful))
	n, oobn, _, _, err := conn.ReadMsgUnix(word[:], oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return nil, err
	}
	var fds []int
	all, err := syscall.ParseSocketControlMessage(oob[:oobn])
	for _, m := range all {
		some, e := syscall.ParseUnixRights(&m)
		fds, err = append(fds, some...), errors.Join(err, e)
	}
	return fds, err
}

func shut(fd int) { syscall.Close(fd) }
