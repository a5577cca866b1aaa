package netloop

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// The peer is who connected, on all kinds of listeners, and nobody once the connection has ended.
func TestPeer(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, listen := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
			var ended Conn
			peers, closed := make(chan netip.AddrPort, 1), make(chan netip.AddrPort, 2)
			e, err := New(Config{Engine: engine, Loops: 1}, &script{
				opened: func(l Loop, c Conn) { peers <- l.Peer(c) },
				closed: func(l Loop, c Conn, _ error) { ended = c; closed <- l.Peer(c) },
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { e.Close() })
			addr, err := e.Listen(listen)
			if err != nil {
				t.Logf("%s: %v", listen, err) // a system without IPv6
				continue
			}
			if addr.Addr().IsUnspecified() {
				addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
			}
			nc := dial(t, addr)
			here := nc.LocalAddr().(*net.TCPAddr).AddrPort()
			if got, want := recv(t, peers), netip.AddrPortFrom(here.Addr().Unmap(), here.Port()); got != want {
				t.Errorf("on %s: the peer is %s, want %s", listen, got, want)
			}
			nc.Close()
			if got := recv(t, closed); got != (netip.AddrPort{}) {
				t.Errorf("the peer of a connection that has ended is %s", got)
			}
			e.Do(0, func(l Loop) { closed <- l.Peer(ended) })
			if got := recv(t, closed); got != (netip.AddrPort{}) {
				t.Errorf("later it is %s", got)
			}
		}
	})
}

// stuckPeers connects n clients that read nothing, and returns them and their Conns.
func stuckPeers(t *testing.T, addr netip.AddrPort, opened <-chan Conn, n int) (ncs []*client, conns []Conn) {
	t.Helper()
	for range n {
		nc := dial(t, addr)
		nc.tcp.SetReadBuffer(4 << 10)
		ncs, conns = append(ncs, nc), append(conns, recv(t, opened))
	}
	return ncs, conns
}

// inTurn runs f in a turn of a loop and waits for the turn's end.
func inTurn(e Engine, loop int, f func(Loop)) {
	done := make(chan bool)
	e.Do(loop, f)
	e.Do(loop, func(Loop) { close(done) }) // perhaps in the same turn
	<-done
	done = make(chan bool)
	e.Do(loop, func(Loop) { close(done) })
	<-done
}

// Who does not read fills what all may hold together, and no more; who reads gets all that he is sent meanwhile.
func TestPendingTotal(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		const bound, stuck = 1 << 20, 20
		opened := make(chan Conn, 1)
		settled, closed := 0, 0
		e, addr := start(t, Config{Engine: engine, Loops: 1, MaxPending: bound, MaxPendingTotal: bound}, &script{
			opened: func(_ Loop, c Conn) { opened <- c },
			wrote:  func(Loop, Conn, uint32) { settled++ },
			unsent: func(Loop, Conn, uint32) { settled++ },
			closed: func(Loop, Conn, error) { closed++ },
		})
		ncs, conns := stuckPeers(t, addr, opened, stuck)
		msg, written, refused := make([]byte, 2000), 0, 0
		for refused < 20*stuck { // nothing more is taken, for a while
			inTurn(e, 0, func(l Loop) {
				for _, c := range conns {
					if l.Write(c, msg, 1) {
						written, refused = written+1, 0
					} else {
						refused++
					}
				}
			})
			if n := e.PendingTotal(); n > bound {
				t.Fatalf("%d bytes are held, the bound is %d", n, bound)
			}
		}
		if n := e.PendingTotal(); n < bound*3/4 {
			t.Errorf("who does not read is refused with %d bytes of %d held", n, bound)
		}
		nc := dial(t, addr)
		good := recv(t, opened)
		for i := range 200 {
			large := bytes.Repeat([]byte{byte(i)}, 20_000)
			inTurn(e, 0, func(l Loop) {
				if !l.Write(good, large, 1) {
					t.Errorf("write %d of who reads was refused", i)
				}
				written++
			})
			got := make([]byte, len(large))
			if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, large) {
				t.Fatalf("write %d: %v", i, err)
			}
		}
		ended := func() (n, told int) {
			inTurn(e, 0, func(Loop) { n, told = closed, settled })
			return n, told
		}
		if n, _ := ended(); n > 0 {
			t.Errorf("%d connections ended", n)
		}
		for _, nc := range append(ncs, nc) {
			nc.Close()
		}
		gone, told := ended()
		for end := time.Now().Add(20 * time.Second); gone < stuck+1 && time.Now().Before(end); gone, told = ended() {
			time.Sleep(time.Millisecond)
		}
		if n := e.PendingTotal(); n != 0 || told != written {
			t.Errorf("in the end %d bytes are held; of %d writes %d were settled", n, written, told)
		}
	})
}

// Half a message cannot be unsaid: where there is no room for it, who has taken nothing for the longest time is closed.
func TestPendingTotalClosesTheOldest(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		const bound, stuck = 4 << 20, 8
		opened := make(chan Conn, 1)
		var closed []Conn
		wrote, unsent := map[Conn]int{}, map[Conn]int{}
		e, addr := start(t, Config{Engine: engine, Loops: 1, MaxPendingTotal: bound}, &script{
			opened: func(_ Loop, c Conn) { opened <- c },
			wrote:  func(_ Loop, c Conn, _ uint32) { wrote[c]++ },
			unsent: func(_ Loop, c Conn, _ uint32) { unsent[c]++ },
			closed: func(_ Loop, c Conn, err error) {
				if errors.Is(err, ErrPending) {
					closed = append(closed, c)
				}
			},
		})
		_, conns := stuckPeers(t, addr, opened, stuck)
		large := make([]byte, 1<<20) // of which the kernel takes little
		for i, c := range conns {
			inTurn(e, 0, func(l Loop) {
				if !l.Write(c, large, 1) {
					t.Errorf("write %d: an empty queue takes one write", i)
				}
			})
			if n := e.PendingTotal(); n > bound {
				t.Errorf("after write %d %d bytes are held", i, n)
			}
		}
		inTurn(e, 0, func(Loop) {
			if len(closed) == 0 || len(closed) > stuck-2 || !slices.Equal(closed, conns[:len(closed)]) {
				t.Errorf("closed are %v of %v: want the oldest", closed, conns)
			}
			for _, c := range closed {
				if wrote[c] != 0 || unsent[c] != 1 {
					t.Errorf("of a connection that was closed %d writes left whole, %d did not", wrote[c], unsent[c])
				}
			}
		})
	})
}

// Where one loop holds nearly everything, another's connections do not pay for it.
func TestPendingTotalIsSharedByLoops(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		const bound = 8 << 20
		opened := make(chan Conn, 1)
		gone := make(chan Conn, 100)
		e, addr := start(t, Config{Engine: engine, Loops: 2, MaxPendingTotal: bound}, &script{
			opened: func(_ Loop, c Conn) { opened <- c },
			closed: func(_ Loop, c Conn, err error) {
				if errors.Is(err, ErrPending) {
					gone <- c
				}
			},
		})
		var of [2][]Conn
		for n := 0; len(of[0]) < 10 || len(of[1]) < 2; n++ {
			if n > 200 {
				t.Skip("the kernel gives one loop all connections")
			}
			_, c := stuckPeers(t, addr, opened, 1)
			of[c[0].Loop()] = append(of[c[0].Loop()], c[0])
		}
		large := make([]byte, 1000<<10)
		for i, c := range append(of[0][:8:8], of[1][:2]...) {
			inTurn(e, c.Loop(), func(l Loop) {
				if !l.Write(c, large, 0) {
					t.Errorf("write %d is refused", i)
				}
			})
		}
		if c := recv(t, gone); c != of[0][0] {
			t.Errorf("closed is %v, want the first of loop 0, %v", c, of[0][0])
		}
		for end := time.Now().Add(20 * time.Second); e.PendingTotal() > bound && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if n := e.PendingTotal(); n > bound {
			t.Errorf("%d bytes are held", n)
		}
		for len(gone) > 0 {
			if c := <-gone; c.Loop() != 0 {
				t.Errorf("%v of the other loop was closed", c)
			}
		}
	})
}

// The ring of holdings beside the plainest list that does the same.
func TestHoldings(t *testing.T) {
	var s holdings
	of := &total{n: new(atomic.Int64), max: 1 << 40}
	s.init(of)
	all := make([]*holding, 20)
	for i := range all {
		all[i] = &holding{c: Conn(i + 1)}
	}
	var want []*holding
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		h, bytes, moved := all[rnd.IntN(len(all))], int64(rnd.IntN(3)), rnd.IntN(2) == 0
		i := slices.Index(want, h)
		if i >= 0 && (moved || bytes == 0) {
			want = slices.Delete(want, i, i+1)
		}
		if bytes != 0 && (moved || i < 0) {
			want = append(want, h)
		}
		s.hold(h, bytes, moved)
		var got []*holding
		sum := int64(0)
		for h := s.root.next; h != &s.root; h = h.next {
			got, sum = append(got, h), sum+h.bytes
		}
		if !slices.Equal(got, want) || s.bytes != sum || of.n.Load() != sum {
			t.Fatalf("%d in the ring, want %d; %d bytes, counted %d and %d", len(got), len(want), sum, s.bytes, of.n.Load())
		}
	}
}

// A backlog's memory is little more than what is in it, however it grew.
func TestBacklogWastesLittle(t *testing.T) {
	var b backlog
	for range 10_000 {
		b.add(make([]byte, 90), 1, 0)
		if n := len(b.buf); cap(b.buf) > n+n/8+n/4+1024 { // the allocator rounds up, too
			t.Fatalf("%d bytes lie in %d", n, cap(b.buf))
		}
	}
}

// BenchmarkPeer is what asking the kernel who a peer is costs.
func BenchmarkPeer(b *testing.B) {
	for _, engine := range Engines() {
		b.Run(engine, func(b *testing.B) {
			opened := make(chan Conn, 1)
			e, err := New(Config{Engine: engine, Loops: 1}, &script{opened: func(_ Loop, c Conn) { opened <- c }})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			addr, err := e.Listen("127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			nc, err := net.Dial("tcp", addr.String())
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			c := <-opened
			b.ReportAllocs()
			inTurn(e, 0, func(l Loop) {
				for b.Loop() {
					l.Peer(c)
				}
			})
		})
	}
}
