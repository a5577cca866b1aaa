package server

import (
	"strings"
	"sync"
	"sync/atomic"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// This file is what WebSocket clients publish, with Config.WSPublish: a text from one is a message for the ids that it is logged in under.
//
// A loop must not send: router.Send waits where a loop has too much to do, and that may be this very one. So the loops put what they hear into a
// queue, and one goroutine sends it, in that order, under an account of its own. The queue is bounded; a client for whose message it has no room
// is told to try again later, and ends.

// Bounds of what waits to be sent.
const (
	talkMessages = 4096
	talkBytes    = 8 << 20
)

// talker is a client that may publish.
type talker struct {
	conn netloop.Conn
	ids  string // with commas between them
}

// utterance is a message on its way to the router.
type utterance struct {
	talker
	msg []byte
}

func (u *utterance) size() int64 { return int64(len(u.msg) + len(u.ids)) }

// talk is the queue.
type talk struct {
	queue chan utterance
	bytes atomic.Int64 // in it
	stop  chan struct{}
	once  sync.Once // closes stop
	ended sync.WaitGroup
}

// joinIDs writes ids with commas between them, which no id holds.
func joinIDs(ids *wire.IDs) string {
	var b strings.Builder
	for i := range ids.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(ids.At(i))
	}
	return b.String()
}

// publish queues what a client has said.
func (f *front) publish(l netloop.Loop, c netloop.Conn, msg []byte) {
	u := utterance{f.loop(l).talkers[c.Slot()], append([]byte(nil), msg...)}
	t := &f.s.talk
	if t.bytes.Add(u.size()) <= talkBytes {
		select {
		case t.queue <- u:
			return
		default:
		}
	}
	t.bytes.Add(-u.size())
	f.hangUp(l, c, causeRate, wire.CloseAgain, "too many messages are on their way")
}

// startTalk begins to send what is queued, until stopTalk.
func (s *Server) startTalk() {
	if !s.cfg.WSPublish || s.cfg.NoFront {
		return
	}
	t := &s.talk
	t.queue, t.stop = make(chan utterance, talkMessages), make(chan struct{})
	p := s.newPublisher()
	t.ended.Go(func() {
		defer p.leave()
		for {
			select {
			case u := <-t.queue:
				p.utter(&u)
				continue
			default:
				s.engine.Flush() // before it waits
			}
			select {
			case u := <-t.queue:
				p.utter(&u)
			case <-t.stop:
				return
			}
		}
	})
}

// utter sends a message to each of its ids. One that no router takes ends its client, who would never know otherwise.
func (p *publisher) utter(u *utterance) {
	defer p.s.talk.bytes.Add(-u.size())
	for id := range strings.SplitSeq(u.ids, ",") {
		if err := p.send([]byte(id), u.msg); err != nil {
			p.s.engine.Do(u.conn.Loop(), func(l netloop.Loop) {
				if f := (&front{s: p.s}); f.loop(l).talkers[u.conn.Slot()].conn == u.conn {
					f.hangUp(l, u.conn, causeError, wire.CloseAgain, plain(err))
				}
			})
			return
		}
	}
}

// stopTalk ends when all that was queued is sent. No loop may have a turn any more.
func (s *Server) stopTalk() {
	if s.talk.queue != nil {
		s.talk.once.Do(func() { close(s.talk.stop) })
		s.talk.ended.Wait()
	}
}

// checkTalk checks WSPublish and FrameMax.
func (c *Config) checkTalk() error {
	def(&c.FrameMax, c.MessageMax)
	if c.FrameMax < 0 || c.FrameMax > c.MessageMax {
		return configErrorf("--frame-max %d: give 1 to %d bytes (--message-max), or 0 for as many", c.FrameMax, c.MessageMax)
	}
	return nil
}
