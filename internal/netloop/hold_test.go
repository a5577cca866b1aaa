package netloop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Who is held is not read from, not even its end, while others are; what it says meanwhile comes afterwards, in order.
func TestHold(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		said, closed := make(chan string, 10), make(chan error, 10)
		var held Conn
		e, addr := start(t, Config{Engine: engine, Loops: 1}, &script{
			readable: func(l Loop, c Conn, b []byte) {
				l.Write(c, b, 0)
				if string(b) == "hold me" {
					held = c
					l.Hold(c, true)
					l.Hold(c, true)
				} else if c == held {
					said <- string(b)
				}
			},
			closed: func(_ Loop, c Conn, err error) {
				if c == held {
					closed <- err
				}
			},
		})
		nc, other := dial(t, addr), dial(t, addr)
		echo := func(c *client, text string) {
			t.Helper()
			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, len(text))); err != nil {
				t.Fatal(err)
			}
		}
		echo(nc, "hold me")
		if _, err := nc.Write([]byte("one")); err != nil {
			t.Fatal(err)
		}
		for range 10 { // turns enough to read it
			echo(other, "others are read")
		}
		if len(said) > 0 {
			t.Fatalf("read %q of who is held", <-said)
		}
		written := make(chan bool, 1)
		e.Do(0, func(l Loop) { written <- l.Write(held, []byte("?"), 0) }) // output leaves as ever
		if !recv(t, written) {
			t.Fatal("a write was refused")
		}
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		nc.Write([]byte("two"))
		nc.Conn.(interface{ CloseWrite() error }).CloseWrite()
		for range 10 {
			echo(other, "others are read")
		}
		if len(said)+len(closed) > 0 {
			t.Fatal("told of who is held")
		}
		e.Do(0, func(l Loop) { l.Hold(held, false); l.Hold(held, false) })
		all := ""
		for len(all) < len("onetwo") {
			all += recv(t, said)
		}
		if err := recv(t, closed); all != "onetwo" || err != io.EOF {
			t.Errorf("read %q, closed with %v", all, err)
		}
	})
}

// peer accepts one connection.
func peer(t *testing.T) (addr netip.AddrPort, accepted <-chan *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	came := make(chan *net.TCPConn, 1)
	go func() {
		if nc, err := ln.Accept(); err == nil {
			t.Cleanup(func() { nc.Close() })
			came <- nc.(*net.TCPConn)
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort(), came
}

// dialling makes an engine whose only connection was dialled, with a small receive buffer, and is done to when it opens.
func dialling(t *testing.T, engine string, addr netip.AddrPort, opened func(Loop, Conn), s *script) (Engine, Conn) {
	t.Helper()
	open := make(chan Conn, 1)
	s.opened = func(l Loop, c Conn) {
		opened(l, c)
		open <- c
	}
	e, err := New(Config{Engine: engine, Loops: 1}, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	e.Do(0, func(l Loop) {
		if _, err := l.DialNarrow(addr, netip.AddrPort{}, nil, 4096); err != nil {
			t.Error(err)
		}
	})
	return e, recv(t, open)
}

// The peer of who never reads, and has room for little, cannot get rid of much.
func TestHoldNarrow(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const all = 4 << 20
		addr, accepted := peer(t)
		got, read := 0, make(chan bool, 1)
		e, c := dialling(t, engine, addr, func(l Loop, c Conn) { l.Hold(c, true) }, &script{readable: func(_ Loop, _ Conn, b []byte) {
			if got += len(b); got == all {
				read <- true
			}
		}})
		nc := recv(t, accepted)
		nc.SetWriteBuffer(4096)
		nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := nc.Write(make([]byte, all))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n > 256<<10 {
			t.Errorf("wrote %d bytes to somebody who does not read: %v", n, err)
		}
		e.Do(0, func(l Loop) {
			if got > 0 {
				t.Errorf("%d bytes were read", got)
			}
			l.Hold(c, false)
		})
		nc.SetWriteDeadline(time.Now().Add(20 * time.Second))
		if _, err := nc.Write(make([]byte, all-n)); err != nil {
			t.Error(err)
		}
		recv(t, read)
	})
}

// Who was reset is told so at the latest when reading goes on, and Close and End need not wait for that.
func TestHoldEnds(t *testing.T) {
	for name, end := range map[string]struct {
		of   func(e Engine, c Conn, nc *net.TCPConn)
		want error
	}{
		"reset": {func(e Engine, c Conn, nc *net.TCPConn) {
			nc.SetLinger(0)
			nc.Close()
			e.Do(0, func(l Loop) { l.Hold(c, false) })
		}, syscall.ECONNRESET},
		"close": {func(e Engine, c Conn, _ *net.TCPConn) { e.Do(0, func(l Loop) { l.Close(c, io.ErrNoProgress) }) }, io.ErrNoProgress},
		"end": {func(e Engine, c Conn, nc *net.TCPConn) {
			nc.Write([]byte("never read"))
			e.Do(0, func(l Loop) { l.End(c, nil); l.Hold(c, true) })
			io.Copy(io.Discard, nc)
			nc.Close()
		}, io.EOF},
		"engine": {func(e Engine, _ Conn, _ *net.TCPConn) { e.Close() }, ErrClosed},
	} {
		eachEngine(t, func(t *testing.T, engine string) {
			addr, accepted := peer(t)
			closed := make(chan error, 1)
			e, c := dialling(t, engine, addr, func(l Loop, c Conn) { l.Hold(c, true) }, &script{
				readable: func(_ Loop, _ Conn, b []byte) { t.Errorf("%s: read %q", name, b) },
				closed:   func(_ Loop, _ Conn, err error) { closed <- err },
			})
			end.of(e, c, recv(t, accepted))
			if err := recv(t, closed); !errors.Is(err, end.want) {
				t.Errorf("%s: closed with %v, want %v", name, err, end.want)
			}
			e.Do(0, func(l Loop) { l.Hold(c, true); l.Abort(c, io.EOF) }) // it has ended: nothing happens
		})
	}
}

// A peer of who aborts is told that the connection broke.
func TestAbort(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		addr, accepted := peer(t)
		closed := make(chan error, 1)
		e, c := dialling(t, engine, addr, func(Loop, Conn) {}, &script{closed: func(_ Loop, _ Conn, err error) { closed <- err }})
		nc := recv(t, accepted)
		e.Do(0, func(l Loop) { l.Abort(c, io.ErrNoProgress) })
		if err := recv(t, closed); err != io.ErrNoProgress {
			t.Errorf("closed with %v", err)
		}
		nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := nc.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) && !strings.Contains(err.Error(), "forcibly closed") {
			t.Errorf("the peer read %d bytes, %v; want a reset", n, err)
		}
	})
}

// DialNarrow speaks TLS where DialTLS does.
func TestDialNarrowTLS(t *testing.T) {
	_, addr := start(t, Config{Engine: "goroutine", Loops: 1, TLS: serverTLS(t)}, &script{
		readable: func(l Loop, c Conn, b []byte) { l.End(c, append(b, '!')) },
	})
	said := make(chan string, 1)
	e, err := New(Config{Engine: "goroutine", Loops: 1}, &script{
		opened:   func(l Loop, c Conn) { l.Hold(c, true); l.Write(c, []byte("?"), 7) },
		wrote:    func(l Loop, c Conn, _ uint32) { l.Hold(c, false) }, // the handshake does not wait for it
		readable: func(_ Loop, _ Conn, b []byte) { said <- string(b) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	e.Do(0, func(l Loop) {
		if _, err := l.DialNarrow(addr, netip.AddrPort{}, clientTLS(), 4096); err != nil {
			t.Error(err)
		}
	})
	if got := recv(t, said); got != "?!" {
		t.Errorf("read %q", got)
	}
	for _, engine := range Engines() {
		if engine == "goroutine" {
			continue
		}
		e, err := New(Config{Engine: engine, Loops: 1}, &script{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		refused := make(chan error, 1)
		e.Do(0, func(l Loop) {
			_, err := l.DialNarrow(addr, netip.AddrPort{}, clientTLS(), 4096)
			refused <- err
		})
		if err := recv(t, refused); err != ErrNoTLS {
			t.Errorf("%s: %v, want ErrNoTLS", engine, err)
		}
	}
}
