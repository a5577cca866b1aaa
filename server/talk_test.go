package server

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"cometctl/internal/netloop"
)

// Without --ws-publish the first word is one too many.
func TestWebSocketMayNotPublish(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		for _, said := range []string{masked(0x81, "hi"), masked(0x01, "h"), masked(0x82, "hi"), masked(0x81, "")} {
			b := dial(t, s).upgrade("1", "")
			b.say(said)
			b.wantClose(1008)
		}
		wantLedger(t, s, Ledger{})
	})
}

// A message that has begun is forgotten with its client.
func TestWebSocketEndsAmidMessage(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, WSPublish: true})
		var all []*browser
		said := masked(0x01, "Hello") + masked(0x89, "ping") // 11 bytes and 10, 6 of each before the payload
		sum := 0
		for cut := 1; cut < len(said); cut++ {
			sum += max(0, min(cut, 11)-6) + max(0, cut-17)
			b := dial(t, s).upgrade("1", "")
			b.say(said[:cut])
			all = append(all, b)
		}
		until(t, "all heard", func() bool { n, bytes := sockets(s); return n == len(all) && bytes == sum })
		for i, b := range all {
			if i%2 == 0 {
				b.reset()
			}
			b.Close()
		}
		until(t, "all forgotten", func() bool { n, bytes := sockets(s); return n == 0 && bytes == 0 && s.Stats().Conns.Open == 0 })
	})
}

// A text of a client goes to who is logged in under its ids, itself included.
func TestWebSocketPublish(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, WSPublish: true})
		one, two, html := dial(t, s).upgrade("1", ""), dial(t, s).upgrade("1,2", ""), dial(t, s).stream("2")
		one.say(masked(0x01, "Hello ") + masked(0x80, "Grüße"))
		one.wantFrame("1:Hello Grüße")
		two.wantFrame("1:Hello Grüße")
		two.say(masked(0x81, "<b>"))
		html.wantMessage(1, "&lt;b&gt;")
		one.wantFrame("1:<b>")
		two.wantFrame("1:<b>") // for id 1
		two.wantFrame("1:<b>") // for id 2
		wantLedger(t, s, Ledger{Sent: 3, Copies: 6, Delivered: 6})
		const many = 1000
		go func() {
			for i := range many {
				io.WriteString(one, masked(0x81, fmt.Sprint(i)))
			}
		}()
		for i := range many {
			if got, err := two.frame(); err != nil || got != fmt.Sprintf("1:%d", i) {
				t.Fatalf("message %d: %q, %v", i, got, err)
			}
		}
	})
}

// Who says more than there is room for is told to try later.
func TestWebSocketPublishesTooMuch(t *testing.T) {
	s := &Server{cfg: Config{WSPublish: true, NoFront: true}}
	s.startTalk()
	if s.talk.queue != nil {
		t.Error("a server without a front waits for clients' messages")
	}
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, WSPublish: true})
		s.talk.bytes.Add(talkBytes) // as if so much waited
		b := dial(t, s).upgrade("1", "")
		b.say(masked(0x81, "hi"))
		b.wantClose(1013)
		b.Close()
		s.talk.bytes.Add(-talkBytes)
		b = dial(t, s).upgrade("1", "")
		b.say(masked(0x81, "hi"))
		b.wantFrame("1:hi")
		until(t, "queue empty", func() bool { return s.talk.bytes.Load() == 0 })

		inLoops(s, func(_ netloop.Loop, fl *frontLoop) { fl.gathered += gatherMax }) // as if others had begun so much
		b.say(masked(0x81, "in one part is not kept"))
		b.wantFrame("1:in one part is not kept")
		b.say(masked(0x01, "in two"))
		b.wantClose(1013)
		b.Close()
		inLoops(s, func(_ netloop.Loop, fl *frontLoop) { fl.gathered -= gatherMax })
		until(t, "both counted", func() bool { return s.counts.closed[causeRate].Load() == 2 })
	})
}

func TestFrameMax(t *testing.T) {
	for _, c := range []Config{{FrameMax: -1}, {FrameMax: 65537}, {MessageMax: 10, FrameMax: 11}} {
		if err := c.setDefaults(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "--frame-max") {
			t.Errorf("FrameMax %d of %d: %v", c.FrameMax, c.MessageMax, err)
		}
	}
	c := Config{MessageMax: 10}
	if err := c.setDefaults(); err != nil || c.FrameMax != 10 {
		t.Errorf("FrameMax is %d, %v", c.FrameMax, err)
	}
}
