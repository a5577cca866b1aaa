package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cometctl/internal/netloop"
	"cometctl/server/history"
	"cometctl/server/router"
)

// stashed is the number of bytes that were sent behind polls that wait.
func stashed(s *Server) (n int) {
	inLoops(s, func(_ netloop.Loop, fl *frontLoop) {
		for _, b := range fl.behind {
			n += len(b)
		}
	})
	return n
}

// Polls on one connection see each message once, in order.
func TestPoll(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 100}})
		b := dial(t, s)
		b.ask("/poll/7?wait=20ms", "") // from now on
		resp, body := b.response()
		cursor := resp.Header.Get("Last-Event-ID")
		if resp.StatusCode != 204 || body != "" || cursor == "" || resp.Header.Get("Content-Type") != "" || resp.Close {
			t.Fatalf("%d %v %q", resp.StatusCode, resp.Header, body)
		}
		sent, seen := 0, 0
		for round := range 10 {
			b.ask("/poll/7?wait=60s&since="+cursor, "")
			if round == 0 {
				until(t, "it waits", func() bool { return s.Stats().Router.Sessions == 1 })
			}
			for range 3 {
				publish(t, s, fmt.Sprintf("7\tmessage %d\n", sent))
				sent++
			}
			resp, body := b.response()
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" || resp.ContentLength != int64(len(body)) {
				t.Fatalf("%d %v", resp.StatusCode, resp.Header)
			}
			cursor = resp.Header.Get("Last-Event-ID")
			for line := range strings.Lines(body) {
				if !strings.Contains(line, fmt.Sprintf(`"msg":"message %d"`, seen)) {
					t.Fatalf("%q, want message %d", line, seen)
				}
				seen++
			}
		}
		if seen < 10 {
			t.Errorf("%d messages seen", seen)
		}
		b.ask("/poll/7?wait=0&since="+cursor, "")
		if _, body := b.response(); strings.Count(body, "\n") != sent-seen {
			t.Errorf("the rest is %q, want %d messages", body, sent-seen)
		}
		if st := s.Stats(); st.Conns.Accepted != 1 || st.Router.Sessions != 0 || !st.Ledger.balanced() {
			t.Errorf("%+v %+v", st.Conns, st.Ledger)
		}
		until(t, "nothing is kept", func() bool {
			n := 0
			inLoops(s, func(_ netloop.Loop, fl *frontLoop) { n += len(fl.rolls) + len(fl.behind) + len(fl.partials) })
			return n == 0
		})
	})
}

// What is sent behind a poll that waits is answered in its order; it has a bound.
func TestBehindAPoll(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s)
		b.ask("/poll/7?wait=60s", "")
		b.ask("/nope", "").ask("/poll/7?wait=60s", "").ask("/nope", "Connection: close\r\n")
		for round := range 2 {
			until(t, "it waits", func() bool { return s.Stats().Router.Sessions == 1 && stashed(s) > 0 })
			publish(t, s, fmt.Sprintf("7\tmessage %d\n", round))
			if resp, body := b.response(); resp.StatusCode != 200 || !strings.Contains(body, fmt.Sprint("message ", round)) {
				t.Errorf("%d %q", resp.StatusCode, body)
			}
			if resp, _ := b.response(); resp.StatusCode != 404 {
				t.Errorf("%d", resp.StatusCode)
			}
		}
		if rest := b.rest(); rest != "" {
			t.Errorf("%q follows", rest)
		}
		b.Close()
		b = dial(t, s)
		b.ask("/poll/7?wait=60s", "")
		b.say(strings.Repeat("GET /nope HTTP/1.1\r\n"+hostLine, 1000))
		if resp, _ := b.response(); resp.StatusCode != 204 || !resp.Close {
			t.Errorf("%d", resp.StatusCode)
		}
		if rest := b.rest(); rest != "" {
			t.Errorf("%q follows", rest)
		}
		b.Close()
		until(t, "it is counted", func() bool { return s.counts.closed[causePipelined].Load() == 1 })
	})
}

func TestPollVersions(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, PollWait: 10 * time.Millisecond})
		for _, c := range []struct {
			request string
			goesOn  bool
		}{
			{"GET /poll/7 HTTP/1.0\r\n\r\n", false},
			{"GET /poll/7?wait=1h HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
			{"GET /poll/7?wait=1h HTTP/1.1\r\nConnection: close\r\n" + hostLine, false},
			{"GET /poll/7 HTTP/1.1\r\n" + hostLine, true},
		} {
			b := dial(t, s)
			for range 2 {
				b.say(c.request)
				resp, _ := b.response() // none of them waits longer than PollWait
				if resp.StatusCode != 204 {
					t.Errorf("%q: %d", c.request, resp.StatusCode)
				}
				if !c.goesOn {
					break
				}
			}
			if !c.goesOn {
				if rest := b.rest(); rest != "" {
					t.Errorf("%q: %q follows", c.request, rest)
				}
			}
			b.Close()
		}
		// With a message, too.
		s = start(t, Config{Engine: engine})
		b := dial(t, s)
		b.say("GET /poll/7 HTTP/1.0\r\n\r\n")
		until(t, "it waits", func() bool { return s.Stats().Router.Sessions == 1 })
		publish(t, s, "7\thello\n")
		if resp, body := b.response(); resp.StatusCode != 200 || !resp.Close || !strings.Contains(body, "hello") {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
		if rest := b.rest(); rest != "" {
			t.Errorf("%q follows", rest)
		}
		wantLedger(t, s, Ledger{Sent: 1, Copies: 1, Delivered: 1})
	})
}

// A connection that was one session is not told what is for another one, though that may be on its way already.
func TestSecondLogin(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 1, History: history.Config{Messages: 100}})
		for _, second := range []string{"/poll/2?wait=60s", "/poll/1,2?wait=60s", "/events/2", "/test/2", "/poll/1?wait=60s"} {
			b := dial(t, s)
			b.ask("/poll/1?wait=0", "")
			b.response()
			// A post that comes from before the second login.
			var conn netloop.Conn
			inLoops(s, func(l netloop.Loop, _ *frontLoop) { l.Conns(func(c netloop.Conn) bool { conn = c; return true }) })
			if !strings.Contains(second, "?") {
				b.ask(second, "")
			} else {
				b.ask(second+"&since=0", "")
			}
			until(t, "it has logged in", func() bool { return s.Stats().Router.Sessions == 1 })
			p := s.newPublisher()
			s.post(router.Session(conn), history.Append(nil, 1, []byte("1"), []byte("stale")), uint64(p.tag)|history.TagNumbered)
			s.engine.Flush()
			p.await(patience)
			publish(t, s, "1\tone\n2\ttwo\n")
			p.leave()
			var got string
			switch {
			case strings.HasPrefix(second, "/poll"):
				_, got = b.response()
			default:
				b.head()
				for !strings.Contains(got, "two") {
					chunk, err := b.chunk()
					if err != nil {
						t.Fatal(err)
					}
					got += chunk
				}
			}
			if strings.Contains(got, "stale") {
				t.Errorf("%s: %q", second, got)
			}
			b.reset()
			until(t, "it is gone", func() bool { return s.Stats().Conns.Open == 0 })
			s.Close()
			s = start(t, Config{Engine: engine, Loops: 1, History: history.Config{Messages: 100}})
		}
	})
}

// net/http polls on one connection of its own accord.
func TestPollForNetHTTP(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		client := &http.Client{Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
		for range 5 {
			resp, err := client.Get("http://" + s.Comet().String() + "/poll/1?wait=0")
			if err != nil || resp.StatusCode != 204 {
				t.Fatalf("%+v, %v", resp, err)
			}
			resp.Body.Close()
		}
		if n := s.Stats().Conns.Accepted; n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}
