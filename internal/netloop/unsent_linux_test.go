package netloop

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// A peer that reads nothing is given little: what its window takes and what may wait unsent. Once it reads, all comes.
func TestStuckReaderHoldsLittle(t *testing.T) {
	for _, c := range []struct{ write, most int }{{200, 128 << 10}, {5000, 128 << 10}, {50_000, 256 << 10}} {
		eachEngine(t, func(t *testing.T, engine string) {
			const bound = 1 << 20
			opened := make(chan Conn, 1)
			taken, pending := 0, 0
			e, addr := start(t, Config{Engine: engine, Loops: 1, MaxPending: bound}, &script{
				opened: func(_ Loop, c Conn) { opened <- c },
				wrote:  func(Loop, Conn, uint32) { taken += c.write },
			})
			d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
				return raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
			}}
			nc, err := d.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(20 * time.Second))
			conn, msg, written := recv(t, opened), make([]byte, c.write), 0
			look := func(full bool) (n int) {
				done := make(chan bool)
				e.Do(0, func(l Loop) {
					for full && l.Write(conn, msg, 1) {
						written += len(msg)
					}
					n, pending = taken, l.Pending(conn)
					close(done)
				})
				<-done
				return n
			}
			for last, still := -1, 0; still < 30; time.Sleep(time.Millisecond) {
				n := look(true)
				if still++; n != last {
					last, still = n, 0
				}
			}
			kernel := look(false) // the goroutine engine tells of whole batches only
			if kernel > c.most || pending < bound/2 {
				t.Errorf("%s: with writes of %d bytes the kernel took %d bytes for who reads nothing, %d are pending", engine, c.write, kernel, pending)
			}
			if _, err := io.CopyN(io.Discard, nc, int64(written)); err != nil {
				t.Errorf("%s: of %d bytes: %v", engine, written, err)
			}
			for end := time.Now().Add(20 * time.Second); look(false) != written && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if n := look(false); n != written || pending != 0 {
				t.Errorf("%s: %d of %d bytes were told, %d pending", engine, n, written, pending)
			}
		})
	}
}

// A backlog that is full is offered to the kernel before a write is refused, in the middle of the turn: who reads shall
// lose nothing because one turn has much for it.
func TestFullBacklogAsksTheKernel(t *testing.T) {
	opened := make(chan Conn, 1)
	e, addr := start(t, Config{Engine: "epoll", Loops: 1, MaxPending: 100_000}, &script{
		opened: func(_ Loop, c Conn) { opened <- c },
	})
	nc := dial(t, addr)
	c := recv(t, opened)
	msg := make([]byte, 1000)
	full, reading, done := make(chan bool), make(chan bool), make(chan int)
	go e.Do(0, func(l Loop) { // a loop that sleeps gives its turn to who calls Do
		for l.Write(c, msg, 0) {
		}
		close(full)
		<-reading
		n := 0
		for end := time.Now().Add(10 * time.Second); n < 1000 && time.Now().Before(end); {
			if l.Write(c, msg, 0) {
				n++
			} else {
				time.Sleep(time.Millisecond / 10)
			}
		}
		done <- n
	})
	recv(t, full)
	go io.Copy(io.Discard, nc)
	close(reading)
	if n := recv(t, done); n < 1000 {
		t.Errorf("%d writes were taken for who reads, want 1000", n)
	}
}
