package server

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"
)

// Plain HTTP to a port that speaks TLS gets an answer that it understands.
func TestPlainToTLS(t *testing.T) {
	var j journal
	s := startTLS(t, Config{Log: j.log()}, newPair(t, "localhost", 2*time.Hour))
	for i := range 2 {
		c := dial(t, s)
		c.say("GET /test/1 HTTP/1.1\r\n" + hostLine)
		if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "https://") {
			t.Errorf("got %q", got)
		}
		c.Close()
		until(t, "it is counted", func() bool { return s.Stats().Conns.TLS == int64(i+1) && s.Stats().Conns.Open == 0 })
	}
	if n := j.count("speaks plain HTTP to the comet listener"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	c := dial(t, s) // neither
	c.say("\x00\x01\x02\x03\x04\x05\x06")
	if got := c.rest(); got != "" {
		t.Errorf("got %q", got)
	}
	until(t, "it is counted", func() bool { return s.Stats().Conns.TLS == 3 })
}

// TLS to a port that speaks plain HTTP gets what clients know as that mistake: an HTTP response.
func TestTLSToPlain(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		var j journal
		s := start(t, Config{Engine: engine, Log: j.log()})
		for range 2 {
			c := dial(t, s)
			err := tls.Client(c, anybody()).Handshake()
			var bad tls.RecordHeaderError
			if !errors.As(err, &bad) || string(bad.RecordHeader[:]) != "HTTP/" {
				t.Errorf("the client sees %v", err)
			}
			c.Close()
		}
		if n := j.count("speaks TLS to the comet listener"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		c := dial(t, s)
		c.say("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
		if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "plain HTTP, not TLS") {
			t.Errorf("got %q", got)
		}
		if st := s.Stats().Conns; st.Bad != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// A handshake that does not end is cut as a head that does not end is, and counted as one.
func TestSlowHandshake(t *testing.T) {
	s := startTLS(t, Config{HeadTimeout: 50 * time.Millisecond}, newPair(t, "localhost", 2*time.Hour))
	silent, half, shaken := dial(t, s), dial(t, s), dial(t, s)
	half.say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	if err := tls.Client(shaken, anybody()).Handshake(); err != nil && !strings.Contains(err.Error(), "EOF") {
		t.Error(err) // it may be cut on a slow machine
	}
	until(t, "all are cut", func() bool { return s.Stats().Conns.Open == 0 })
	if st := s.Stats().Conns; st.Timeout != 3 || st.TLS != 0 {
		t.Errorf("%+v", st)
	}
	silent.Close()
}

// Handshakes that do not end keep nobody out: the oldest of them goes for who comes.
func TestTLSHandshakesAreBounded(t *testing.T) {
	const most, slow = 3, 20
	s := startTLS(t, Config{Loops: 1, MaxHandshakes: most, HeadTimeout: time.Hour}, newPair(t, "localhost", 2*time.Hour))
	for range slow {
		dial(t, s).say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	}
	until(t, "only the youngest are left", func() bool { return s.refusedBy(causeHandshakes) == slow-most && s.Stats().Conns.Open == most })
	good := dialTo(t, tunnel(t, s, anybody()), 0).stream("1")
	publish(t, s, "1\thello\n")
	good.wantMessage(1, "hello")
}
