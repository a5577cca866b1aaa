package netloop

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"
)

// Pieces of a backlog are told as they have left whole, however the writes are cut.
func TestBacklogAdvanceAtEverySplit(t *testing.T) {
	pieces := []string{"abc", "", "defgh", "i", "", "jk"}
	all := "abcdefghijk"
	for first := range len(all) + 1 {
		for second := first; second <= len(all); second++ {
			var b backlog
			for i, p := range pieces {
				b.add([]byte(p), uint32(i+1), 0)
			}
			var told []uint32
			at := 0
			for _, to := range []int{first, second, len(all)} {
				b.advance(to-at, func(tag, _ uint32) { told = append(told, tag) })
				at = to
				var want []uint32
				end := 0
				for i, p := range pieces {
					if end += len(p); end <= at {
						want = append(want, uint32(i+1))
					}
				}
				if !slices.Equal(told, want) || b.pending() != len(all)-at || string(b.buf[b.off:]) != all[at:] {
					t.Fatalf("split at %d and %d: after %d bytes told %d, want %d; %q is pending", first, second, at, told, want, b.buf[b.off:])
				}
			}
		}
	}
}

// A backlog that is added to while it drains keeps its order, and does not keep what has left.
func TestBacklogMoves(t *testing.T) {
	var b backlog
	var in, out bytes.Buffer
	for i := range 10_000 {
		data := bytes.Repeat([]byte{byte(i)}, 1+i%50)
		in.Write(data)
		b.add(data, 1, 0)
		n := min(b.pending(), i%60)
		out.Write(b.buf[b.off : b.off+n])
		b.advance(n, func(_, _ uint32) {})
	}
	out.Write(b.buf[b.off:])
	if !bytes.Equal(in.Bytes(), out.Bytes()) {
		t.Error("bytes came out other than they went in")
	}
	if cap(b.buf) > 64<<10 {
		t.Errorf("a backlog of a few bytes keeps %d", cap(b.buf))
	}
}

func TestMailbox(t *testing.T) {
	var m mailbox
	m.init(2*postSize+5, sinceNow())
	woken := make(chan bool, 1000)
	wake := func() { woken <- true }
	if !m.put(1, make([]byte, 100), 1, wake) || m.len() != 1 {
		t.Fatal("an empty mailbox takes a post of any size")
	}
	m.putFunc(func(Loop) {}) // never waits
	var puts sync.WaitGroup
	puts.Go(func() { m.put(1, []byte("12345"), 2, wake) }) // this one fits when the box is empty
	<-woken                                                // it is about to wait, or waits
	b := m.take()
	if len(b.posts) != 2 || b.posts[0].tag != 1 || !b.posts[1].fn || len(b.bytes) != 100 {
		t.Errorf("took %+v", b.posts)
	}
	puts.Wait()
	m.giveBack(b)
	m.put(1, nil, 3, wake) // empty posts fill it, too
	puts.Go(func() {
		if m.put(1, []byte("6"), 4, wake) {
			t.Error("a closed mailbox took a post")
		}
	})
	<-woken
	m.close()
	puts.Wait()
	m.putFunc(func(Loop) { t.Error("a closed mailbox took a function") })
	if b := m.take(); len(b.posts) != 2 || b.posts[0].tag != 2 || b.posts[1].tag != 3 || string(b.bytes) != "12345" || !m.empty() {
		t.Errorf("after close: %+v", b.posts)
	}
}

// The buffers of a burst are given back once it was quiet for long.
func TestMailboxShrinks(t *testing.T) {
	var m mailbox
	m.init(1<<20, sinceNow())
	wake := func() {}
	turn := func(n int) {
		m.put(1, make([]byte, n), 1, wake)
		m.giveBack(m.take())
	}
	turn(1 << 20)
	turn(1 << 20)
	for range 4 * quietTurns {
		turn(10)
	}
	if got := cap(m.box.bytes) + cap(m.spare.bytes); got > 2*keep {
		t.Errorf("%d bytes are kept after a burst", got)
	}
}

func TestConnNumbers(t *testing.T) {
	for _, c := range []struct {
		loop      int
		gen, slot uint32
	}{{0, 0, 1}, {255, 1<<28 - 1, 1<<28 - 1}, {7, 0, 1<<28 - 1}, {MaxLoops - 1, 1 << 27, 12345}} {
		if n := makeConn(c.loop, c.gen, c.slot); n.Loop() != c.loop || n.gen() != c.gen || n.Slot() != c.slot {
			t.Errorf("%+v becomes %d, %d, %d", c, n.Loop(), n.gen(), n.Slot())
		}
	}
}

// After 2^28 connections a slot's generation begins again at 0.
func TestGenerationWraps(t *testing.T) {
	var l core
	slot := l.alloc(stateOpen)
	l.recs.At(slot).gen = 1<<genBits - 1
	old := l.conn(slot)
	if l.live(old) == nil {
		t.Error("the last generation is not recognised")
	}
	l.release(slot)
	if again := l.alloc(stateOpen); again != slot || l.recs.At(slot).gen != 0 || l.live(old) != nil || l.live(l.conn(slot)) == nil || l.live(0) != nil || l.live(makeConn(0, 0, 99)) != nil {
		t.Errorf("slot %d, generation %d", again, l.recs.At(slot).gen)
	}
}

// Who reads does not lose the second message because the writer of the goroutine engine had not come to the first.
func TestGoroutineBoundIsBehindTheFirstWrite(t *testing.T) {
	opened := make(chan Conn, 1)
	e, addr := start(t, Config{Engine: "goroutine", Loops: 1, MaxPending: 10}, &script{
		opened: func(l Loop, c Conn) { opened <- c },
	})
	nc := dial(t, addr)
	c := recv(t, opened)
	large := bytes.Repeat([]byte("x"), 1000)
	e.Do(0, func(l Loop) { // in one turn, so the writer cannot take any of it
		for i, ok := range []bool{true, true, false, false} {
			if l.Write(c, large, 0) != ok {
				t.Errorf("write %d: want %t", i+1, ok)
			}
		}
		if p := l.Pending(c); p != 2*len(large) {
			t.Errorf("%d bytes are pending", p)
		}
		l.End(c, nil)
	})
	var got bytes.Buffer
	if _, err := got.ReadFrom(nc); err != nil || got.Len() != 2*len(large) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}

// Last words are taken however much is pending.
func TestEndPastTheBound(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		opened := make(chan Conn, 1)
		e, addr := start(t, Config{Engine: engine, Loops: 1, MaxPending: 10, Linger: 20 * time.Second}, &script{
			opened: func(l Loop, c Conn) { opened <- c },
		})
		nc := dial(t, addr)
		c := recv(t, opened)
		large := bytes.Repeat([]byte("x"), 16<<20)
		e.Do(0, func(l Loop) {
			if !l.Write(c, large, 0) {
				t.Error("an empty queue takes one write")
			}
			l.End(c, []byte("goodbye"))
			l.End(c, []byte("twice"))
		})
		var got bytes.Buffer
		if _, err := got.ReadFrom(nc); err != nil || got.Len() != len(large)+7 || !bytes.HasSuffix(got.Bytes(), []byte("xgoodbye")) {
			t.Errorf("%d bytes, %v", got.Len(), err)
		}
	})
}

// After Close everybody is told so, and nothing is run or kept.
func TestAfterClose(t *testing.T) {
	eachWay(t, func(t *testing.T, engine string) {
		posted := 0
		opened := make(chan Conn, 1)
		e, addr := start(t, Config{Engine: engine, Loops: 2}, &script{
			opened: func(l Loop, c Conn) { opened <- c },
			posted: func(Loop, Conn, []byte, uint64, bool) { posted++ },
		})
		dial(t, addr)
		c := recv(t, opened)
		if !e.Post(c, []byte("x"), 1) { // without Flush: Close delivers it
			t.Error("Post is refused by a running engine")
		}
		e.Close()
		if posted != 1 {
			t.Errorf("%d posts were delivered by Close, want 1", posted)
		}
		for range 100 {
			if e.Post(c, []byte("x"), 1) {
				t.Error("Post is taken by a closed engine")
			}
			e.Do(1, func(Loop) { t.Error("a function is run by a closed engine") })
			e.Flush()
		}
		if a, err := e.Listen("127.0.0.1:0"); err != ErrClosed {
			t.Errorf("Listen says %v, %v", a, err)
		}
		e.StopListening()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}
