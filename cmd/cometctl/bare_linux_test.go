package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// The bare limits: what this machine does when a program makes the system calls that a task needs and nothing else. No
// router, no ledger, no limits, no parsing; errors end it. Each is a process of its own: the test binary, told by the
// environment to be one.

// bareEnv holds a bareOrder as JSON.
const bareEnv = "BENCH_BARE"

// bareOrder is what a bare process is to do:
//
//   - hold: take connections, answer each request with the head of an endless response
//   - blast: that; when Conns are open, write messages to random ones as fast as it goes
//   - pace: that, but Rate messages per second
//   - read: open Conns connections to Port, read what comes, and print a bareResult when nothing comes any more
type bareOrder struct {
	Do    string
	Port  int
	Conns int
	Rate  int
	Bytes int // of a message
	For   time.Duration
}

// bareResult is what a bare reader saw.
type bareResult struct {
	Messages       int
	PerS           float64 // from the first message to the last
	P50, P99, P999 float64 // due to received, ms; 0 if the messages do not say when they were due
}

const bareHead = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"

// TestBare is no test but a bare process, which ends with its stdin.
func TestBare(t *testing.T) {
	text := os.Getenv(bareEnv)
	if text == "" {
		t.Skip("only a benchmark runs this, as a process of its own")
	}
	var order bareOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if order.Do == "read" {
			failed <- bareRead(order)
		} else {
			failed <- bareServe(order)
		}
	}()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	select {
	case err := <-failed:
		if err != nil {
			t.Fatal(err)
		}
		<-ended
	case <-ended:
	}
}

// bareLoop is an epoll loop with a listener, and with 16 bytes for each connection.
type bareLoop struct {
	epoll, listener int
	conns           []*[1024]bareConn // pieces, so that growing copies nothing
	used            int               // conns that were ever used
	free            []int32           // of these, the ones that are not
	answered        int
	head            []byte
	buf             [64 << 10]byte
	events          [1024]syscall.EpollEvent
}

type bareConn struct {
	id uint64
	fd int32
}

// bareListening marks the listener in epoll's data.
const bareListening = -1

func bareServe(order bareOrder) error {
	l := &bareLoop{head: []byte(bareHead)}
	port, err := l.listen()
	if err != nil {
		return err
	}
	runtime.GC()
	if err := json.NewEncoder(os.Stdout).Encode(ready{Listen: fmt.Sprintf("127.0.0.1:%d", port)}); err != nil {
		return err
	}
	for order.Do == "hold" || l.answered < order.Conns {
		if err := l.turn(); err != nil {
			return err
		}
	}
	time.Sleep(settle)
	if order.Do == "blast" {
		return l.blast(order)
	}
	return l.pace(order)
}

func (l *bareLoop) listen() (port int, err error) {
	if l.listener, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	if err = syscall.Bind(l.listener, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	if err = syscall.Listen(l.listener, 4096); err != nil {
		return 0, err
	}
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return 0, err
	}
	if err = l.watch(l.listener, bareListening); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(l.listener)
	if err != nil {
		return 0, err
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}

func (l *bareLoop) watch(fd int, slot int32) error {
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd), Pad: slot})
}

// turn waits for events and handles them.
func (l *bareLoop) turn() error {
	n, err := syscall.EpollWait(l.epoll, l.events[:], -1)
	if err != nil && err != syscall.EINTR {
		return os.NewSyscallError("epoll_wait", err)
	}
	for _, ev := range l.events[:max(n, 0)] {
		if ev.Pad == bareListening {
			err = l.accept()
		} else {
			err = l.read(ev.Pad)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *bareLoop) accept() error {
	for {
		// syscall.Accept4 would make garbage of the peer's address.
		fd, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(l.listener), 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		if errno == syscall.EAGAIN {
			return nil
		}
		if errno != 0 {
			return os.NewSyscallError("accept4", errno)
		}
		var slot int32
		if n := len(l.free); n > 0 {
			slot, l.free = l.free[n-1], l.free[:n-1]
		} else {
			slot = int32(l.used)
			if l.used++; l.used > len(l.conns)*1024 {
				l.conns = append(l.conns, new([1024]bareConn))
			}
		}
		*l.conn(slot) = bareConn{fd: int32(fd)}
		if err := l.watch(int(fd), slot); err != nil {
			return err
		}
	}
}

func (l *bareLoop) conn(slot int32) *bareConn { return &l.conns[slot>>10][slot&1023] }

// read answers a request, which it takes to come in one piece, or closes a connection that has ended.
func (l *bareLoop) read(slot int32) error {
	c := l.conn(slot)
	n, err := syscall.Read(int(c.fd), l.buf[:])
	if n <= 0 || err != nil {
		l.free = append(l.free, slot)
		return syscall.Close(int(c.fd))
	}
	for _, d := range bytes.TrimPrefix(l.buf[:n], []byte("GET /test/")) {
		if d < '0' || d > '9' {
			break
		}
		c.id = c.id*10 + uint64(d-'0')
	}
	l.answered++
	_, err = syscall.Write(int(c.fd), l.head)
	return err
}

// pick is a random connection; the generator is Numerical Recipes' quick one.
func (l *bareLoop) pick(random *uint32) int {
	*random = *random*1664525 + 1013904223
	return int(l.conn(int32(int(*random>>8) % l.used)).fd)
}

// blast writes for a while, as fast as it goes. A connection whose reader is behind is passed over.
func (l *bareLoop) blast(order bareOrder) error {
	msg := bytes.Repeat([]byte("m"), order.Bytes)
	random, end := uint32(1), time.Now().Add(order.For)
	for time.Now().Before(end) {
		for range 256 {
			if _, err := syscall.Write(l.pick(&random), msg); err != nil && err != syscall.EAGAIN {
				return os.NewSyscallError("write", err)
			}
		}
	}
	return nil
}

// pace writes the time at which each message is due, when it is due.
func (l *bareLoop) pace(order bareOrder) error {
	// A kernel that bundles timers makes each up to 50 us late.
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, 1, 0); errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	msg := bytes.Repeat([]byte("m"), order.Bytes)
	random, t0 := uint32(1), time.Now()
	for i := range int(order.For.Seconds()) * order.Rate {
		due := t0.Add(time.Second * time.Duration(i) / time.Duration(order.Rate))
		if wait := time.Until(due); wait > 0 {
			t := syscall.NsecToTimespec(int64(wait))
			syscall.Nanosleep(&t, nil)
		}
		msg = strconv.AppendInt(msg[:0], due.UnixNano(), 10)
		if _, err := syscall.Write(l.pick(&random), msg[:order.Bytes]); err != nil {
			return os.NewSyscallError("write", err)
		}
	}
	return nil
}

func bareRead(order bareOrder) error {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for i := range order.Conns {
		fd, err := bareDial(order.Port, i, buf)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}); err != nil {
			return err
		}
	}
	var (
		total       int
		first, last time.Time
		ms          []float64
		events      = make([]syscall.EpollEvent, 1024)
	)
	for quiet := 0; quiet < 2; {
		n, err := syscall.EpollWait(epoll, events, 1000)
		if err != nil && err != syscall.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		if n == 0 && total > 0 {
			quiet++
		}
		for _, ev := range events[:max(n, 0)] {
			n, err := syscall.Read(int(ev.Fd), buf)
			if n <= 0 {
				return errors.Join(errors.New("the writer ended"), err)
			}
			last, quiet = time.Now(), 0
			if total == 0 {
				first = last
			}
			total += n
			if due, err := strconv.ParseInt(string(buf[:min(n, 19)]), 10, 64); err == nil {
				ms = append(ms, float64(last.UnixNano()-due)/1e6)
			}
		}
	}
	n := total / order.Bytes
	r := bareResult{Messages: n, PerS: float64(n) / last.Sub(first).Seconds()}
	if len(ms) > 0 {
		slices.Sort(ms)
		at := func(q float64) float64 { return ms[int(q*float64(len(ms)-1))] }
		r.P50, r.P99, r.P999 = at(.5), at(.99), at(.999)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// bareDial opens connection i and reads the response's head. A source address has a hundred connections.
func bareDial(port, i int, buf []byte) (fd int, err error) {
	const ipBindAddressNoPort = 24
	if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	if err = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipBindAddressNoPort, 1); err != nil {
		return 0, err
	}
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 1, byte(i / 25000), byte(1 + i/100%250)}}); err != nil {
		return 0, err
	}
	if err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	if _, err = fmt.Fprintf(bareWriter(fd), "GET /test/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", i+1); err != nil {
		return 0, err
	}
	_, err = syscall.Read(fd, buf)
	return fd, err
}

type bareWriter int

func (w bareWriter) Write(b []byte) (int, error) { return syscall.Write(int(w), b) }
