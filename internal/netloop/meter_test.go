package netloop

import (
	"io"
	"math"
	"testing"
	"time"

	"cometctl/internal/meter"
)

// A turn is counted with what came to it, how long that had waited, and how long it took.
func TestMeterOfATurn(t *testing.T) {
	now := time.Duration(0)
	clock := func() time.Duration { return now }
	var m Meter
	var at uint32
	l := &core{clock: clock, meter: &m}
	l.h = &script{posted: func(Loop, Conn, []byte, uint64, bool) {
		now += 30 * time.Millisecond
		if l.takeStamp(0) != 0 {
			t.Error("a write without a tag is timed")
		}
		at = max(at, l.takeStamp(1))
		if l.takeStamp(2) != 0 {
			t.Error("two writes are timed for one post")
		}
	}}
	l.mail.init(1<<20, clock)
	now = 5 * time.Millisecond
	for range sampled {
		l.mail.put(0, []byte("x"), 1, func() {})
		now += time.Millisecond
	}
	slot := l.alloc(stateOpen)
	l.wheel.insert(&l.recs, slot, 3*time.Millisecond) // due at 62.5 ms
	now = 100 * time.Millisecond
	l.begin(3)
	l.deliver(func() bool { return false }, nil)
	l.expire()
	l.wrote(0, 0, at)
	l.account()

	l.begin(0) // nothing is due
	now += 2 * time.Millisecond
	l.account()
	for _, c := range []struct {
		name  string
		got   meter.Histogram
		count int64
		sum   float64
	}{
		{"batch", m.Read().Batch, 2, 3 + sampled + 1},
		{"turn", m.Read().Turn, 2, 0.030*sampled + 0.002},
		{"lag", m.Read().Lag, 1, 0.095},
		{"written", m.Read().Written, 1, 0.095 + 0.030*sampled},
	} {
		if c.got.Count != c.count || math.Abs(c.got.Sum-c.sum) > 1e-9 {
			t.Errorf("%s: %d in %v, want %d in %v", c.name, c.got.Count, c.got.Sum, c.count, c.sum)
		}
	}
	l.begin(0)
	l.wheel.insert(&l.recs, slot, l.now+time.Second)
	now += 2 * time.Second
	l.begin(0)
	l.expire()
	l.account()
	if lag := m.Read().Lag; lag.Count != 2 || lag.Sum < 0.095+0.93 || lag.Sum > 0.095+1 {
		t.Errorf("a deadline that was a second ago: %+v", lag)
	}
}

func TestStamp(t *testing.T) {
	const round = 1 << 32 * time.Microsecond
	for _, c := range []struct{ at, until time.Duration }{{0, time.Second}, {time.Hour, time.Hour + time.Millisecond}, {round - time.Second, round + time.Second}} {
		got, want := stamp(c.until)-stamp(c.at), uint32((c.until-c.at)/time.Microsecond)
		if d := int64(want) - int64(got); d < 0 || d > 1 {
			t.Errorf("from %v to %v: %d us", c.at, c.until, got)
		}
	}
	if stamp(round) == 0 {
		t.Error("a time has the stamp of none")
	}
}

// Both engines count: each post is in a batch, one of some is followed to its socket, even behind a backlog.
func TestMeter(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		const posts = 3*sampled + 1
		var m Meter
		opened, heard, done := make(chan Conn, 1), make(chan bool, 1), make(chan bool, 1)
		told := 0
		e, addr := start(t, Config{Engine: engine, Loops: 1, MaxPending: 16 << 20, Meter: func(loop int) *Meter {
			if loop != 0 {
				t.Errorf("loop %d", loop)
			}
			return &m
		}}, &script{
			opened: func(_ Loop, c Conn) { opened <- c },
			posted: func(l Loop, c Conn, b []byte, tag uint64, alive bool) {
				if !l.Write(c, b, uint32(tag)) {
					t.Error("refused")
				}
			},
			readable: func(Loop, Conn, []byte) { heard <- true },
			wrote: func(Loop, Conn, uint32) {
				if told++; told == posts {
					done <- true
				}
			},
		})
		nc := dial(t, addr)
		c := recv(t, opened)
		io.WriteString(nc, "hello")
		recv(t, heard)
		msg := make([]byte, 30_000)
		for range posts {
			e.Post(c, msg, 1)
		}
		e.Flush()
		go func() {
			for b := make([]byte, 1<<20); ; {
				if _, err := nc.Read(b); err != nil {
					return
				}
			}
		}()
		recv(t, done)
		if e.Close() != nil {
			t.Error("it does not close")
		}
		st := m.Read()
		if st.Written.Count != 4 || st.Written.Sum <= 0 {
			t.Errorf("%d of %d posts were followed: %+v", st.Written.Count, posts, st.Written)
		}
		if st.Out != posts*int64(len(msg)) || st.In != 5 {
			t.Errorf("%d bytes in, %d out", st.In, st.Out)
		}
		if st.Batch.Sum < posts+1 || st.Turn.Count < 2 || st.Turn.Count != st.Batch.Count || st.Lag.Count < 1 || st.Lag.Count > st.Turn.Count {
			t.Errorf("%+v", st)
		}
		var sum Stats
		sum.Add(st)
		sum.Add(st)
		if sum.Turn.Count != 2*st.Turn.Count || sum.Lag.Count != 2*st.Lag.Count || sum.Batch.Sum != 2*st.Batch.Sum || sum.Written.Count != 8 || sum.In != 10 || sum.Out != 2*st.Out {
			t.Errorf("twice: %+v", sum)
		}
	})
}

// BenchmarkTurn is a turn without a system call: a message for nobody is posted, and delivered in the poster's turn.
func BenchmarkTurn(b *testing.B) {
	for _, engine := range Engines() {
		b.Run(engine, func(b *testing.B) {
			e, err := New(Config{Engine: engine, Loops: 1}, &script{})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			c, msg := makeConn(0, 1, 1), make([]byte, 100)
			for b.Loop() {
				e.Post(c, msg, 1)
				e.Flush()
			}
		})
	}
}
