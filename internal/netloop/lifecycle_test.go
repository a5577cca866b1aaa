package netloop

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// End delivers what is pending, half-closes, and does not reset the peer although its bytes are never read.
func TestEndDeliversEverything(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		want := bytes.Repeat([]byte("0123456789"), 500_000)
		closed := make(chan error, 1)
		_, addr := start(t, Config{Engine: engine, Loops: 1, MaxPending: 16 << 20, Linger: 20 * time.Second}, &script{
			readable: func(l Loop, c Conn, b []byte) {
				l.Write(c, want, 1)
				l.End(c, nil)
				if l.Write(c, []byte("more"), 1) {
					t.Error("write accepted after End")
				}
			},
			unsent: func(Loop, Conn, uint32) { t.Error("a write is unsent") },
			closed: func(l Loop, c Conn, err error) { closed <- err },
		})
		nc := dial(t, addr)
		nc.Write([]byte("go"))
		nc.Write(make([]byte, 100_000))
		got, err := io.ReadAll(nc)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %d bytes of %d, %v", len(got), len(want), err)
		}
		nc.Close()
		if err := recv(t, closed); err != io.EOF {
			t.Errorf("closed with %v", err)
		}
	})
}

// Who has said all it has to say, and shut its direction behind it, gets its answer.
func TestAnswerBehindThePeersEnd(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		closed := make(chan error, 1)
		_, addr := start(t, Config{Engine: engine, Loops: 1, Linger: 20 * time.Second}, &script{
			readable: func(l Loop, c Conn, b []byte) { l.Write(c, []byte("answer"), 1) },
			unsent:   func(Loop, Conn, uint32) { t.Error("an answer is unsent") },
			closed:   func(l Loop, c Conn, err error) { closed <- err },
		})
		for range 50 {
			nc := dial(t, addr)
			nc.Write([]byte("go"))
			if err := nc.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(nc); err != nil || string(got) != "answer" {
				t.Fatalf("read %q, %v", got, err)
			}
			nc.Close()
			if err := recv(t, closed); err != io.EOF {
				t.Fatalf("closed with %v", err)
			}
		}
	})
}

func TestLingerIsBounded(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		closed := make(chan error, 1)
		_, addr := start(t, Config{Engine: engine, Loops: 1, Linger: 10 * time.Millisecond}, &script{
			opened: func(l Loop, c Conn) { l.End(c, nil) },
			closed: func(l Loop, c Conn, err error) { closed <- err },
		})
		dial(t, addr)
		if err := recv(t, closed); err != ErrLinger {
			t.Errorf("closed with %v, want %v", err, ErrLinger)
		}
	})
}

// Both ends run on the same engine: a thousand connections dialled, greeted and closed.
func TestDial(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const n = 1000
		_, addr := start(t, Config{Engine: engine, Loops: 2}, &script{
			opened: func(l Loop, c Conn) { l.Write(c, []byte("hello"), 1) },
		})
		read := map[Conn]int{}
		done := make(chan int, 1)
		ended := 0
		client, err := New(Config{Engine: engine, Loops: 1}, &script{
			readable: func(l Loop, c Conn, b []byte) {
				if read[c] += len(b); read[c] == 5 {
					l.Close(c, io.EOF)
				}
			},
			closed: func(l Loop, c Conn, err error) {
				if ended++; err != io.EOF {
					t.Errorf("closed with %v", err)
				}
				if ended == n {
					done <- len(read)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		from := netip.MustParseAddrPort("127.0.3.7:0")
		if engine == "goroutine" {
			from = netip.AddrPort{} // other systems have no 127.0.3.7
		}
		client.Do(0, func(l Loop) {
			for range n {
				if _, err := l.Dial(addr, from); err != nil {
					t.Error(err)
				}
			}
		})
		if got := recv(t, done); got != n {
			t.Errorf("%d connections were greeted, want %d", got, n)
		}
	})
}

// What is dialed when a deadline has passed opens at once, though nothing else happens then: the server says nothing, and there is no other deadline.
func TestDialWhenExpired(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		_, addr := start(t, Config{Engine: engine, Loops: 1}, &script{})
		dial := func(l Loop) {
			if _, err := l.Dial(addr, netip.AddrPort{}); err != nil {
				t.Error(err)
			}
		}
		opened := 0
		done := make(chan struct{})
		client, err := New(Config{Engine: engine, Loops: 1}, &script{
			opened: func(l Loop, c Conn) {
				if opened++; opened == 3 {
					close(done)
					return
				}
				l.SetDeadline(c, time.Millisecond)
			},
			expired: func(l Loop, c Conn) {
				l.Close(c, io.EOF)
				dial(l)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		client.Do(0, dial)
		recv(t, done)
	})
}

func TestDialRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().(*net.TCPAddr).AddrPort()
		ln.Close()
		failed := make(chan error, 1)
		e, err := New(Config{Engine: engine, Loops: 1}, &script{
			opened: func(Loop, Conn) { t.Error("opened") },
			closed: func(_ Loop, _ Conn, err error) { failed <- err },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.Do(0, func(l Loop) {
			if _, err := l.Dial(addr, netip.AddrPort{}); err != nil {
				failed <- err
			}
		})
		if err := recv(t, failed); !isRefused(err) {
			t.Errorf("dial said %v, want connection refused", err)
		}
	})
}

func TestPortInUse(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		_, addr := start(t, Config{Engine: engine, Loops: 2}, &script{})
		for _, second := range Engines() {
			e, err := New(Config{Engine: second, Loops: 2}, &script{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Listen(addr.String()); err == nil {
				t.Errorf("%s listens on a port that %s has", second, engine)
			}
			e.Close()
		}
	})
}

func TestStopListeningKeepsConnections(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		e, addr := start(t, Config{Engine: engine, Loops: 1}, &script{
			readable: func(l Loop, c Conn, b []byte) { l.Write(c, b, 0) },
		})
		nc := dial(t, addr)
		e.StopListening()
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			t.Error("a connection was taken after StopListening")
		}
		nc.Write([]byte("still"))
		buf := make([]byte, 5)
		if _, err := io.ReadFull(nc, buf); err != nil || string(buf) != "still" {
			t.Errorf("read %q, %v", buf, err)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		opened := make(chan Conn, 10)
		closed := 0
		var last error
		e, addr := start(t, Config{Engine: engine, Loops: 2}, &script{
			opened: func(l Loop, c Conn) { opened <- c },
			closed: func(l Loop, c Conn, err error) { closed++; last = err },
		})
		for range 10 {
			dial(t, addr)
			recv(t, opened)
		}
		e.Close()
		if closed != 10 || last != ErrClosed { // Close has returned, so nobody writes any more
			t.Errorf("%d of 10 closed, last with %v", closed, last)
		}
		e.Post(Conn(1<<40), []byte("nobody"), 0)
		e.Flush()
		e.Do(0, func(Loop) {})
	})
}

// Conns come and go while others are written to; run with -race.
func TestChurn(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		var mu sync.Mutex
		live := map[Conn]bool{}
		e, addr := start(t, Config{Engine: engine, Loops: 2}, &script{
			opened: func(l Loop, c Conn) { mu.Lock(); live[c] = true; mu.Unlock() },
			closed: func(l Loop, c Conn, err error) { mu.Lock(); delete(live, c); mu.Unlock() },
			posted: func(l Loop, c Conn, b []byte, tag uint64, alive bool) {
				if l.Write(c, b, 1) != alive {
					t.Error("Posted's alive and Write disagree")
				}
				if tag%5 == 0 {
					l.End(c, nil)
				}
			},
		})
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := range 100 {
					nc, err := net.Dial("tcp", addr.String())
					if err != nil {
						t.Error(err)
						return
					}
					if (i+w)%3 == 0 {
						nc.(*net.TCPConn).SetLinger(0)
					}
					nc.Close()
				}
			})
			all.Go(func() {
				for i := range 500 {
					mu.Lock()
					some := Conn(0)
					for c := range live {
						some = c
						break
					}
					mu.Unlock()
					e.Post(some, []byte("x"), uint64(i))
					e.Flush()
				}
			})
		}
		all.Wait()
		e.Close()
		if len(live) != 0 {
			t.Errorf("%d connections opened but not closed", len(live))
		}
	})
}
