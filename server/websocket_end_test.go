package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"cometctl/internal/netloop"
)

// The heartbeat asks.
func TestWebSocketHeartbeat(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Heartbeat: 500 * time.Millisecond})
		b, silent := dial(t, s).upgrade("1", ""), dial(t, s).upgrade("1", "")
		for range 2 {
			b.wantFrame("9:")
			b.say(masked(0x8a, ""))
		}
		silent.wantFrame("9:")
		if got, err := silent.frame(); err == nil {
			t.Errorf("a client that answers no ping got %q", got)
		}
		until(t, "one ended for its silence", func() bool { return s.counts.closed[causeIdleTimeout].Load() == 1 })
		if n := s.Stats().Conns.Open; n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

// pingAll is what the heartbeat does: all WebSockets are asked whether their clients are there.
func pingAll(s *Server) {
	f := &front{s: s}
	inLoops(s, func(l netloop.Loop, fl *frontLoop) {
		l.Conns(func(c netloop.Conn) bool {
			f.ping(l, c, fl.clients.At(c.Slot()))
			return true
		})
	})
}

// silent is how many clients have not answered a ping.
func silent(s *Server) (n int) {
	inLoops(s, func(l netloop.Loop, fl *frontLoop) {
		l.Conns(func(c netloop.Conn) bool {
			if fl.clients.At(c.Slot()).n != 0 {
				n++
			}
			return true
		})
	})
	return n
}

// unread is the output that is pending, of all connections.
func unread(s *Server) (n int) {
	inLoops(s, func(l netloop.Loop, _ *frontLoop) {
		l.Conns(func(c netloop.Conn) bool { n += l.Pending(c); return true })
	})
	return n
}

// A client that says nothing between two pings is gone; whatever it says, it is not.
func TestWebSocketPing(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		dead, quick, late := dial(t, s).upgrade("1", ""), dial(t, s).upgrade("1", ""), dial(t, s).upgrade("1", "")
		until(t, "heads written", func() bool { return unread(s) == 0 })
		pingAll(s)
		for _, b := range []*browser{dead, quick, late} {
			b.wantFrame("9:")
		}
		quick.say(masked(0x8a, ""))
		late.say(masked(0x89, "a ping")[:3]) // slow, but there
		until(t, "two heard", func() bool { return silent(s) == 1 && unread(s) == 0 })
		pingAll(s)
		quick.wantFrame("9:")
		late.wantFrame("9:")
		if _, err := dead.frame(); err == nil {
			t.Error("a silent client is still held")
		}
		until(t, "gone", func() bool { return s.Stats().Conns.Open == 2 })
		if n := s.counts.closed[causeIdleTimeout].Load(); n != 1 {
			t.Errorf("%d ended for their silence, want 1", n)
		}
	})
}

// Who has not read what is queued cannot answer, and is not asked.
func TestWebSocketPingBehindOutput(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dialTo(t, s.Comet().String(), 4096).upgrade("1", "")
		message := "1\t" + strings.Repeat("x", 60_000) + "\n"
		until(t, "output is pending", func() bool {
			publish(t, s, message)
			return unread(s) > 0 && s.Stats().Ledger.Dropped > 20 // the kernel takes no more
		})
		for range 3 {
			pingAll(s)
		}
		if st := s.Stats(); st.Conns.Open != 1 || silent(s) != 0 {
			t.Errorf("%d connections, %d were asked", st.Conns.Open, silent(s))
		}
		for range s.Stats().Ledger.Copies - s.Stats().Ledger.Dropped {
			if got, err := b.frame(); err != nil || len(got) != 60_002 {
				t.Fatalf("%.20q, %v", got, err)
			}
		}
		until(t, "all read", func() bool { return unread(s) == 0 })
		pingAll(s)
		b.wantFrame("9:")
	})
}

// A drain says so.
func TestWebSocketDrain(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, WSPublish: true})
		b := dial(t, s).upgrade("1", "")
		publish(t, s, "1\tlast\n")
		done := make(chan error)
		go func() { done <- s.Drain(context.Background()) }()
		b.wantFrame("1:last")
		b.wantClose(1001)
		b.say(masked(0x88, "\x03\xe9"))
		b.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
