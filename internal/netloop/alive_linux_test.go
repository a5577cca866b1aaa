package netloop

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Whoever listens, and however a connection comes in, the system looks after peers that vanish.
func TestKeepAlive(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, inherit := range []bool{false, true} {
			opened := make(chan Conn, 1)
			e, addr := start(t, Config{Engine: engine, Loops: 1}, &script{opened: func(_ Loop, c Conn) { opened <- c }})
			if inherit {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				f, err := ln.(*net.TCPListener).File()
				ln.Close()
				if err != nil {
					t.Fatal(err)
				}
				addr, err = e.Inherit(f)
				f.Close()
				if err != nil {
					t.Fatal(err)
				}
			}
			dial(t, addr)
			c := recv(t, opened)
			got := make(chan [4]int, 1)
			look := func(fd int) {
				var v [4]int
				v[0], _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
				v[1], _ = unix.GetsockoptInt(fd, unix.SOL_TCP, unix.TCP_KEEPIDLE)
				v[2], _ = unix.GetsockoptInt(fd, unix.SOL_TCP, unix.TCP_KEEPINTVL)
				v[3], _ = unix.GetsockoptInt(fd, unix.SOL_TCP, unix.TCP_KEEPCNT)
				got <- v
			}
			e.Do(0, func(l Loop) {
				switch l := l.(type) {
				case *eloop:
					look(int(l.live(c).fd))
				case *goLoop:
					raw, err := l.at(c.Slot()).nc.SyscallConn()
					if err != nil {
						t.Error(err)
					}
					raw.Control(func(fd uintptr) { look(int(fd)) })
				}
			})
			if v, want := recv(t, got), [4]int{1, 240, 20, 3}; v != want {
				t.Errorf("inherited %t: keep-alive, idle, interval, count are %d, want %d", inherit, v, want)
			}
		}
	})
}
