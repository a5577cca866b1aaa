package netloop

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func listenGroupOf(t *testing.T, n int) *Group {
	t.Helper()
	g, err := ListenGroup("127.0.0.1:0", n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// inherit makes an engine that accepts on socket i of g, as another process would.
func inherit(t *testing.T, engine string, g *Group, i int, h Handler) Engine {
	t.Helper()
	e, err := New(Config{Engine: engine, Loops: 2}, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	f, err := g.File(i)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if addr, err := e.Inherit(f); err != nil || addr != g.Addr() {
		t.Fatalf("inherited %v, %v; want %v", addr, err, g.Addr())
	}
	return e
}

// The kernel counts the sockets of a group in the order in which they joined, and sends connections where Steer says.
func TestSteer(t *testing.T) {
	const n, conns = 4, 200
	eachEngine(t, func(t *testing.T, engine string) {
		g := listenGroupOf(t, n)
		var got [n]atomic.Int64
		for i := range n {
			inherit(t, engine, g, i, &script{opened: func(Loop, Conn) { got[i].Add(1) }})
		}
		for _, weights := range [][]int{{1, 1, 1, 1}, {0, 0, 1, 0}, {1, 0, 0, 0}, {0, 0, 0, 5}, {0, 300, 0, 20}, {math.MaxInt32, 0, math.MaxInt32, -1}, {0, 0, 0, 0}} {
			if err := g.Steer(weights); err != nil {
				t.Fatal(err)
			}
			var before [n]int64
			for i := range n {
				before[i] = got[i].Load()
			}
			for range conns {
				dial(t, g.Addr()).Close()
			}
			var spread [n]int64
			until(t, "all are accepted", func() bool {
				sum := int64(0)
				for i := range n {
					spread[i] = got[i].Load() - before[i]
					sum += spread[i]
				}
				return sum == conns
			})
			everybody := weights[0]+weights[1]+weights[2]+weights[3] == 0
			for i, w := range weights {
				if (w > 0 || everybody) != (spread[i] > 0) {
					t.Errorf("%v: %v", weights, spread)
				}
			}
		}
		if g.Steer([]int{1}) == nil {
			t.Error("one weight for four sockets is taken")
		}
	})
}

// Whoever waits in the queue of a socket whose process has ended waits for the next one that is given the socket.
func TestGroupOutlivesItsProcesses(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		g := listenGroupOf(t, 2)
		if err := g.Steer([]int{0, 1}); err != nil {
			t.Fatal(err)
		}
		inherit(t, engine, g, 1, &script{}).Close()
		var waiting []*client
		for range 10 {
			waiting = append(waiting, dial(t, g.Addr()))
		}
		until(t, "they wait", func() bool {
			n, err := g.Waiting(1)
			if err != nil {
				t.Fatal(err)
			}
			return n == len(waiting)
		})
		inherit(t, engine, g, 1, &script{opened: func(l Loop, c Conn) { l.Write(c, []byte("!"), 0) }})
		for i, nc := range waiting {
			if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		}
		if n, err := g.Waiting(1); n != 0 || err != nil {
			t.Errorf("%d wait, %v", n, err)
		}
	})
}

func TestListenGroupRefuses(t *testing.T) {
	g := listenGroupOf(t, 2)
	if _, err := ListenGroup(g.Addr().String(), 2); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port that another group has: %v", err)
	}
	for _, n := range []int{0, -1, MaxGroup + 1} {
		if _, err := ListenGroup("127.0.0.1:0", n); err == nil || !strings.Contains(err.Error(), "1 to 512") {
			t.Errorf("%d sockets: %v", n, err)
		}
	}
	if _, err := ListenGroup("nowhere", 1); err == nil {
		t.Error("an address without a port is taken")
	}
	g.Close()
	_, waiting := g.Waiting(0)
	_, file := g.File(0)
	if steer := g.Steer([]int{1, 1}); waiting != ErrClosed || file != ErrClosed || steer != ErrClosed {
		t.Errorf("after Close: %v, %v, %v", waiting, file, steer)
	}
	// The largest that is possible is.
	most := listenGroupOf(t, MaxGroup)
	if err := most.Steer(make([]int, MaxGroup)); err != nil {
		t.Error(err)
	}
}

func TestInheritRefuses(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, addr := start(t, Config{Loops: 1}, &script{})
	socket, err := dial(t, addr).tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	eachEngine(t, func(t *testing.T, engine string) {
		e, _ := start(t, Config{Engine: engine, Loops: 1}, &script{})
		for _, f := range []*os.File{f, socket} {
			if engine == "goroutine" && f == socket {
				continue // net.FileListener takes it, and its first Accept fails
			}
			if _, err := e.Inherit(f); err == nil || !strings.Contains(err.Error(), f.Name()) {
				t.Errorf("%s is no listener: %v", f.Name(), err)
			}
		}
	})
}

// Of all 32-bit numbers, each socket gets its share.
func TestSteering(t *testing.T) {
	for _, weights := range [][]int{{1}, {0}, {1, 1}, {1, 2, 3, 4}, {0, 0, 7}, {7, 0, 0}, {0, 1, 0, 1 << 40, 0}, {-5, 1}, {0, 0, 0}, make([]int, MaxGroup)} {
		total := 0
		for _, w := range weights {
			total += max(w, 0)
		}
		prog := steering(weights)
		at := uint64(0)
		for i, w := range weights {
			want := float64(max(w, 0)) / float64(total)
			if total == 0 {
				want = 1 / float64(len(weights))
			}
			end := at
			for end < 1<<32 && draw(t, prog, uint32(end)) == i { // each jump compares with an end: go there
				end = nextEnd(prog, end)
			}
			if got := float64(end-at) / (1 << 32); math.Abs(got-want) > 1e-9 {
				t.Errorf("%v: socket %d has %v, want %v", weights, i, got, want)
			}
			at = end
		}
		if at != 1<<32 {
			t.Errorf("%v: the numbers from %d on are nobody's", weights, at)
		}
	}
}

// draw runs a program with the random number n.
func draw(t *testing.T, prog []unix.SockFilter, n uint32) int {
	for pc := 1; pc < len(prog); pc++ {
		switch in := prog[pc]; in.Code {
		case unix.BPF_RET | unix.BPF_K:
			return int(in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			if n >= in.K {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		default:
			t.Fatalf("instruction %d is %+v", pc, in)
		}
	}
	t.Fatal("the program has no end")
	return 0
}

// nextEnd is the smallest number above n that the program compares with.
func nextEnd(prog []unix.SockFilter, n uint64) uint64 {
	for _, in := range prog {
		if in.Code == unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K && uint64(in.K) > n {
			return uint64(in.K)
		}
	}
	return 1 << 32
}

// until waits for something that another goroutine, or the kernel, will bring about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// An engine that is full accepts nobody; who waits can be accepted by another process and taken by another engine.
func TestFullAndTake(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		g := listenGroupOf(t, 1)
		var full atomic.Bool
		full.Store(true)
		greet := &script{opened: func(l Loop, c Conn) { l.Write(c, []byte("!"), 0) }}
		e, err := New(Config{Engine: engine, Loops: 2, Full: full.Load}, greet)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		f, err := g.File(0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := e.Inherit(f); err != nil {
			t.Fatal(err)
		}
		nc := dial(t, g.Addr())
		until(t, "it waits", func() bool { n, err := g.Waiting(0); return n == 1 && err == nil })
		other, err := New(Config{Engine: engine, Loops: 2}, greet)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { other.Close() })
		fd, err := g.Accept(0)
		if err != nil || fd < 0 {
			t.Fatalf("accepted %d, %v", fd, err)
		}
		if err := other.Take(fd); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			t.Errorf("who was taken: %v", err)
		}
		if fd, err := g.Accept(0); fd != -1 || err != nil {
			t.Errorf("nobody waits: accepted %d, %v", fd, err)
		}
		full.Store(false)
		if _, err := io.ReadFull(dial(t, g.Addr()), make([]byte, 1)); err != nil {
			t.Errorf("there is room again: %v", err)
		}
		other.Close()
		raw, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if other.Take(raw) == nil {
			t.Error("a closed engine takes a connection")
		}
	})
}
