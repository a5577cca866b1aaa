package netloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// One suite for both engines: each test is run once per engine that this system has.
func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, e := range Engines() {
		t.Run(e, func(t *testing.T) { f(t, e) })
	}
}

// eachWay runs a test of how connections that come in are served: over each engine, and over TLS on the one that speaks it.
func eachWay(t *testing.T, f func(t *testing.T, engine string)) {
	eachEngine(t, f)
	t.Run("tls", func(t *testing.T) { f(t, "goroutine") })
}

// overTLS tells whether the test is eachWay's over TLS. Both ends look there: start and dial.
func overTLS(t *testing.T) bool { return strings.HasSuffix(t.Name(), "/tls") }

// script is a Handler made of functions; those that are nil do nothing.
type script struct {
	opened   func(Loop, Conn)
	readable func(Loop, Conn, []byte)
	posted   func(Loop, Conn, []byte, uint64, bool)
	wrote    func(Loop, Conn, uint32)
	unsent   func(Loop, Conn, uint32)
	expired  func(Loop, Conn)
	closed   func(Loop, Conn, error)
}

func (s *script) Opened(l Loop, c Conn) {
	if s.opened != nil {
		s.opened(l, c)
	}
}
func (s *script) Readable(l Loop, c Conn, b []byte) {
	if s.readable != nil {
		s.readable(l, c, b)
	}
}
func (s *script) Posted(l Loop, c Conn, b []byte, tag uint64, alive bool) {
	if s.posted != nil {
		s.posted(l, c, b, tag, alive)
	}
}
func (s *script) Wrote(l Loop, c Conn, tag uint32) {
	if s.wrote != nil {
		s.wrote(l, c, tag)
	}
}
func (s *script) Unsent(l Loop, c Conn, tag uint32) {
	if s.unsent != nil {
		s.unsent(l, c, tag)
	}
}
func (s *script) Expired(l Loop, c Conn) {
	if s.expired != nil {
		s.expired(l, c)
	}
}
func (s *script) Closed(l Loop, c Conn, err error) {
	if s.closed != nil {
		s.closed(l, c, err)
	}
}

func start(t *testing.T, cfg Config, h Handler) (Engine, netip.AddrPort) {
	t.Helper()
	if overTLS(t) {
		cfg.TLS = serverTLS(t)
	}
	e, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	addr, err := e.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return e, addr
}

// client is the other end of a connection.
type client struct {
	net.Conn
	tcp *net.TCPConn // below it
}

func (c *client) SetLinger(sec int) error { return c.tcp.SetLinger(sec) }

func dial(t *testing.T, addr netip.AddrPort) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	c := &client{nc, nc.(*net.TCPConn)}
	if overTLS(t) {
		tc := tls.Client(nc, clientTLS())
		_ = tc.Handshake() // what the test does next sees why it failed
		c.Conn = tc
	}
	return c
}

// recv waits for a value that a handler sends; a test that would hang fails instead.
func recv[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestEcho(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		_, addr := start(t, Config{Engine: engine, Loops: 2}, &script{
			readable: func(l Loop, c Conn, b []byte) { l.Write(c, b, 0) },
		})
		var clients sync.WaitGroup
		for i := range 20 {
			nc := dial(t, addr)
			want := bytes.Repeat([]byte(fmt.Sprintf("%d,", i)), 5000)
			clients.Go(func() { nc.Write(want) })
			clients.Go(func() {
				got := make([]byte, len(want))
				if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("client %d: %v, echo differs: %t", i, err, !bytes.Equal(got, want))
				}
			})
		}
		clients.Wait()
	})
}

// A reader that starts late gets every byte in order, and each write is reported exactly once and in order.
func TestPartialWritesKeepOrderAndTags(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		const writes = 3000
		opened := make(chan Conn, 1)
		done := make(chan int, 1)
		told, accepted := 0, uint32(0)
		var want bytes.Buffer
		e, addr := start(t, Config{Engine: engine, Loops: 1, MaxPending: 64 << 20}, &script{
			opened: func(l Loop, c Conn) { opened <- c },
			wrote: func(l Loop, c Conn, tag uint32) {
				if told++; tag != uint32(told) {
					t.Errorf("tag %d was told as number %d", tag, told)
				}
				if told == writes {
					done <- told
				}
			},
		})
		nc := dial(t, addr)
		c := recv(t, opened)
		rnd := rand.New(rand.NewPCG(1, 2))
		turns := make(chan int, 1)
		for range 10 { // several turns, so that staged bytes meet a backlog
			e.Do(0, func(l Loop) {
				for range writes / 10 {
					b := bytes.Repeat([]byte{byte(rnd.IntN(256))}, 1+rnd.IntN(9000))
					want.Write(b)
					accepted++
					if !l.Write(c, b, accepted) {
						t.Error("write refused below the bound")
					}
				}
				turns <- l.Pending(c)
			})
			recv(t, turns)
		}
		e.Do(0, func(l Loop) { turns <- l.Pending(c) })
		if recv(t, turns) == 0 {
			t.Error("nothing is pending: the test does not test what it should")
		}
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%v, same bytes: %t", err, bytes.Equal(got, want.Bytes()))
		}
		if n := recv(t, done); n != writes {
			t.Errorf("%d writes reported, want %d", n, writes)
		}
	})
}

func TestPendingIsBoundedAndUnsentIsTold(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		const bound = 100_000
		type end struct{ wrote, unsent, accepted, refused int }
		opened, closed := make(chan Conn, 1), make(chan end, 1)
		var got end
		e, addr := start(t, Config{Engine: engine, Loops: 1, MaxPending: bound}, &script{
			opened: func(l Loop, c Conn) { opened <- c },
			wrote:  func(l Loop, c Conn, tag uint32) { got.wrote++ },
			unsent: func(l Loop, c Conn, tag uint32) { got.unsent++ },
			closed: func(l Loop, c Conn, err error) { closed <- got },
		})
		nc := dial(t, addr)
		c := recv(t, opened)
		msg := make([]byte, 10_000)
		// Until the kernel takes no more: writes are refused, and none of the others has left for a while.
		for last, still := -1, 0; still < 30; time.Sleep(time.Millisecond) {
			ch := make(chan int, 1)
			e.Do(0, func(l Loop) {
				for range 50 {
					if l.Write(c, msg, 1) {
						got.accepted++
					} else {
						got.refused++
					}
					if p := l.Pending(c); p > bound && !(engine == "goroutine" && p <= bound+len(msg)) {
						t.Errorf("%d bytes pending, bound %d", p, bound)
					}
				}
				ch <- got.wrote
			})
			wrote := recv(t, ch)
			if still++; wrote != last {
				last, still = wrote, 0
			}
		}
		nc.SetLinger(0)
		nc.Close()
		// On a reset the engine ends the connection by itself.
		g := recv(t, closed)
		if g.wrote+g.unsent != g.accepted || g.unsent == 0 || g.refused == 0 {
			t.Errorf("accepted %d = wrote %d + unsent %d does not hold (refused %d)", g.accepted, g.wrote, g.unsent, g.refused)
		}
	})
}

func TestPostReachesLiveAndTellsDead(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		type mail struct {
			text  string
			tag   uint64
			alive bool
		}
		opened, closed, got := make(chan Conn, 1000), make(chan Conn, 1000), make(chan mail, 10)
		e, addr := start(t, Config{Engine: engine, Loops: 2}, &script{
			opened: func(l Loop, c Conn) { opened <- c },
			closed: func(l Loop, c Conn, err error) { closed <- c },
			posted: func(l Loop, c Conn, b []byte, tag uint64, alive bool) {
				got <- mail{string(b), tag, alive}
				l.Write(c, b, 1)
			},
		})
		nc := dial(t, addr)
		c := recv(t, opened)
		e.Post(c, []byte("one"), 7)
		e.Post(c, []byte("two"), 8)
		e.Flush()
		for _, want := range []mail{{"one", 7, true}, {"two", 8, true}} {
			if g := recv(t, got); g != want {
				t.Errorf("got %v, want %v", g, want)
			}
		}
		buf := make([]byte, 6)
		if _, err := io.ReadFull(nc, buf); err != nil || string(buf) != "onetwo" {
			t.Errorf("client read %q, %v", buf, err)
		}
		nc.Close()
		if recv(t, closed) != c {
			t.Error("another connection closed")
		}
		// The next connection reuses the slot: the old Conn must not reach it.
		nc2 := dial(t, addr)
		c2 := recv(t, opened)
		for c2.Loop() != c.Loop() {
			nc2 = dial(t, addr)
			c2 = recv(t, opened)
		}
		if c2.Slot() != c.Slot() || c2 == c {
			t.Errorf("want the slot of %x reused with another generation, got %x", c, c2)
		}
		e.Post(c, []byte("late"), 9)
		e.Post(c2, []byte("new"), 10)
		e.Flush()
		if g := recv(t, got); g.alive {
			t.Errorf("%v reached an ended connection", g)
		}
		recv(t, got)
		if n, err := io.ReadFull(nc2, buf[:3]); err != nil || string(buf[:n]) != "new" {
			t.Errorf("the slot's new owner read %q, %v", buf[:n], err)
		}
	})
}

// Publishers that are faster than the loop wait; nothing is lost and each publisher's order holds.
func TestMailboxBackPressure(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		const publishers, posts = 4, 5000
		opened := make(chan Conn, 1)
		done := make(chan bool, 1)
		next := make([]uint64, publishers)
		total := 0
		e, addr := start(t, Config{Engine: engine, Loops: 1, MailboxSize: 1 << 10}, &script{
			opened: func(l Loop, c Conn) { opened <- c },
			posted: func(l Loop, c Conn, b []byte, tag uint64, alive bool) {
				p, n := tag>>32, tag&0xffffffff
				if next[p] != n {
					t.Errorf("publisher %d: post %d came when %d was next", p, n, next[p])
				}
				next[p] = n + 1
				if total++; total == publishers*posts {
					done <- true
				}
			},
		})
		dial(t, addr)
		c := recv(t, opened)
		var all sync.WaitGroup
		for p := range publishers {
			all.Go(func() {
				for i := range posts {
					e.Post(c, []byte("0123456789"), uint64(p)<<32|uint64(i))
					if i%7 == 0 {
						e.Flush()
					}
				}
				e.Flush()
			})
		}
		all.Wait()
		recv(t, done)
	})
}

func TestDeadline(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		errLate := errors.New("said nothing")
		closed := make(chan error, 2)
		var at, set time.Duration
		_, addr := start(t, Config{Engine: engine, Loops: 1}, &script{
			opened: func(l Loop, c Conn) {
				set = l.Now()
				l.SetDeadline(c, time.Hour)
				l.SetDeadline(c, 50*time.Millisecond)
			},
			expired: func(l Loop, c Conn) { at = l.Now(); l.Close(c, errLate) },
			closed:  func(l Loop, c Conn, err error) { closed <- err },
		})
		nc := dial(t, addr)
		if err := recv(t, closed); err != errLate {
			t.Errorf("closed with %v", err)
		}
		if at-set < 50*time.Millisecond {
			t.Errorf("expired after %v, before the deadline", at-set)
		}
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Error("the client does not see the end")
		}
	})
}
