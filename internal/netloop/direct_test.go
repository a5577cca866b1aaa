package netloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

func directPair(t *testing.T) (d net.Conn, peer *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer = dial(t, ln.Addr().(*net.TCPAddr).AddrPort()).tcp
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	d, err = Direct(c.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, peer
}

func TestDirectCarriesBytes(t *testing.T) {
	d, peer := directPair(t)
	if d.RemoteAddr().String() != peer.LocalAddr().String() || d.LocalAddr().String() != peer.RemoteAddr().String() {
		t.Errorf("addresses %v, %v; the peer has %v, %v", d.LocalAddr(), d.RemoteAddr(), peer.RemoteAddr(), peer.LocalAddr())
	}
	want := bytes.Repeat([]byte("0123456789"), 1_000_000) // more than the kernel's buffers hold
	var all sync.WaitGroup
	all.Go(func() { io.Copy(peer, peer); peer.CloseWrite() })
	all.Go(func() {
		if n, err := d.Write(want); n != len(want) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	})
	got := make([]byte, len(want))
	if _, err := io.ReadFull(d, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("echo: %v, same: %t", err, bytes.Equal(got, want))
	}
	peer.Close()
	if n, err := d.Read(got); n != 0 || err == nil {
		t.Errorf("after the end: %d, %v", n, err)
	}
	all.Wait()
}

func TestDirectDeadlines(t *testing.T) {
	d, peer := directPair(t)
	b := make([]byte, 10)
	d.SetReadDeadline(time.Unix(1, 0))
	for range 2 { // it stays
		if _, err := d.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline in the past: %v", err)
		}
	}
	d.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := d.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline that passes: %v", err)
	}
	// One that comes while a read waits, as net/http does it.
	d.SetReadDeadline(time.Time{})
	got := make(chan error)
	go func() { _, err := d.Read(b); got <- err }()
	d.SetReadDeadline(time.Unix(1, 0))
	if err := recv(t, got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline set while it waits: %v", err)
	}
	// And the connection is none the worse for it.
	d.SetReadDeadline(time.Time{})
	peer.Write([]byte("still"))
	if n, err := d.Read(b); string(b[:n]) != "still" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	d.SetWriteDeadline(time.Now().Add(time.Millisecond))
	if _, err := d.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing to who does not read: %v", err)
	}
}

func TestDirectClose(t *testing.T) {
	d, _ := directPair(t)
	got := make(chan error)
	go func() { _, err := d.Read(make([]byte, 1)); got <- err }()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := recv(t, got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read that waited: %v", err)
	}
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := d.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if d.SetDeadline(time.Now()) == nil || d.Close() == nil {
		t.Error("a closed connection takes a deadline, or can be closed twice")
	}
}
