package server

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// Whatever connections do: those that are open are each counted once, and so are those that have ended and the requests that were refused.
func TestCensus(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		log := &journal{}
		s := start(t, Config{Engine: engine, Loops: 2, MaxConns: 20, HeadTimeout: 50 * time.Millisecond, Log: log.log()})
		for range 3 {
			dial(t, s).stream("1")
			dial(t, s).stream("2").reset()
			b := dial(t, s)
			b.say("GET /test/1 HTTP/1.0\r\n\r\n")
			b.Close()
			b = dial(t, s)
			b.say("HEAD /test/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			b.rest()
			b.Close()
			b = dial(t, s)
			b.say("NONSENSE\r\n\r\n")
			b.rest()
			b.Close()
			b = dial(t, s)
			b.say("GET /te")
			b.rest()
			b.Close()
			dial(t, s).rest() // says nothing
		}
		until(t, "all but three have ended", func() bool { return s.Stats().Conns.Open == 3 })
		c := s.Stats().Conns
		if want := (Census{dialectHTML: {phaseStream: 3}}); c.By != want {
			t.Errorf("open are %v, want %v", c.By, want)
		}
		if n := sum(c.ClosedBy); n != c.Accepted-c.Open {
			t.Errorf("%d ends are counted of %d: %v", n, c.Accepted-c.Open, c.ClosedBy)
		}
		if c.RefusedBy[causeNotFound] != 3 || c.RefusedBy[causeBadRequest] != 3 || c.RefusedBy[causeHeadTimeout] != 6 || sum(c.RefusedBy) != 12 {
			t.Errorf("refused: %v", c.RefusedBy)
		}
		for range 20 - 3 {
			dial(t, s).stream("3")
		}
		b := dial(t, s)
		b.rest()
		b.Close()
		until(t, "one too many was refused and has ended", func() bool { return s.Stats().Conns.ClosedBy[causeFull] == 1 })
		until(t, "the log tells of a client that was refused", func() bool { return log.count(complaints[causeFull]) > 0 })
	})
}

func sum(c Causes) (n int64) {
	for _, v := range c {
		n += v
	}
	return n
}

// Everything that can be counted has a name, and comes back from JSON.
func TestCensusNames(t *testing.T) {
	if slices.Contains(dialectNames[:], "") || slices.Contains(causeNames[:], "") || slices.Contains(phaseNames[1:], "") || phaseNames[phaseNone] != "" {
		t.Errorf("%q %q %q", dialectNames, phaseNames, causeNames)
	}
	var c ConnStats
	c.By[dialectHTML][phaseStream], c.By[dialectNone][phaseHead] = 5, 7
	c.ClosedBy[causeSlow], c.RefusedBy[causeFull] = 1, 2
	text, err := json.Marshal(c)
	var back ConnStats
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || back != c {
		t.Errorf("%s became %+v: %v", text, back, err)
	}
	for _, bad := range []string{`{"by": 1}`, `{"refused_by": []}`} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	c.Open = 12
	if e := c.Ended(); e.By != (Census{}) || sum(e.ClosedBy) != sum(c.ClosedBy)+12 || e.Open != 0 {
		t.Errorf("ended: %+v", e)
	}
}
