package server

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"cometctl/internal/netloop"
	"cometctl/server/history"
)

// What a client that comes back is told, in each dialect that shows numbers.
func TestResume(t *testing.T) {
	line := func(n uint64, msg string) string { return fmt.Sprintf(`{"id":"7","n":%d,"msg":%q}`+"\n", n, msg) }
	gapLine := func(n uint64) string { return fmt.Sprintf(`{"id":"7","n":%d,"gap":true}`+"\n", n) }
	event := func(n uint64, msg string) string { return fmt.Sprintf("id: %d\ndata: %s\n\n", n, msg) }
	gapEvent := func(n uint64) string {
		return fmt.Sprintf(": gap: messages up to this position are not all there\nid: %d\nevent: gap\ndata: %s\n", n, gapLine(n))
	}
	position := func(n uint64) string { return fmt.Sprintf("id: %d\n\n", n) }
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 3}})
		publish(t, s, "7\tone\n7\ttwo\n7\tthree\n7\tfour\n9\tother\n")
		probe := dial(t, s)
		probe.ask("/poll/7?since=0", "")
		resp, body := probe.response()
		at, err := strconv.ParseUint(resp.Header.Get("Last-Event-ID"), 10, 64)
		if err != nil || body != line(at-2, "two")+line(at-1, "three")+line(at, "four") {
			t.Fatalf("since 0: %v %q", resp.Header, body)
		}
		all := []uint64{at - 2, at - 1, at}
		text := []string{"two", "three", "four"}
		for _, c := range []struct {
			name    string
			since   string
			gap     bool
			gapAt   uint64
			from    int  // of all, what is told
			bad     bool // no cursor: the streams of lines and polls refuse it
			unknown bool // as if it said nothing
		}{
			{"all that is kept", "0", false, 0, 0, false, false},
			{"nothing missed", fmt.Sprint(at), false, 0, 3, false, false},
			{"two missed", fmt.Sprint(at - 2), false, 0, 1, false, false},
			{"as far back as can be", fmt.Sprint(at - 3), false, 0, 0, false, false},
			{"too far back", fmt.Sprint(at - 4), true, at - 3, 0, false, false},
			{"from the future", fmt.Sprint(at + 5), true, at - 3, 0, false, false},
			{"of another id", "1", true, at - 3, 0, false, false},
			{"by id", fmt.Sprintf("7:%d", at-1), false, 0, 2, false, false},
			{"of another id, by id", fmt.Sprintf("9:%d", at-1), false, 0, 3, false, true},
			{"no number", "x", true, at - 3, 0, true, false},
			{"too large", "9007199254740993", true, at - 3, 0, true, false},
		} {
			want, wantLines := "", ""
			if c.gap {
				want, wantLines = gapEvent(c.gapAt), gapLine(c.gapAt)
			}
			for i := c.from; i < len(all); i++ {
				want += event(all[i], text[i])
				wantLines += line(all[i], text[i])
			}
			for _, how := range []struct{ target, fields string }{
				{"?last_event_id=" + c.since, ""}, {"?since=" + c.since, ""}, {"", "Last-Event-ID: " + c.since + "\r\n"},
				{"?since=0", "last-event-id: " + c.since + "\r\n"}, {"?since=123&last_event_id=" + c.since, ""},
			} {
				b := dial(t, s)
				b.begin("/events/7"+how.target, how.fields)
				b.wantChunk(retryChunk + want + position(at))
				b.reset()

				b = dial(t, s)
				b.ask("/test/7"+how.target, "Accept: application/x-ndjson\r\n"+how.fields)
				if head := b.head(); c.bad != strings.HasPrefix(head, "HTTP/1.1 400 ") {
					t.Errorf("%s: %q", c.name, head)
				}
				if !c.bad && wantLines != "" {
					b.wantChunk(wantLines)
				}
				b.reset()

				b = dial(t, s)
				query := "?wait=0"
				if how.target != "" {
					query = how.target + "&wait=0"
				}
				b.ask("/poll/7"+query, how.fields)
				resp, body := b.response()
				status := 200
				switch {
				case c.bad:
					status = 400
				case wantLines == "":
					status = 204
				}
				if resp.StatusCode != status || !c.bad && (body != wantLines || resp.Header.Get("Last-Event-ID") != fmt.Sprint(at)) {
					t.Errorf("%s: poll %d %q, at %s, want %d %q", c.name, resp.StatusCode, body, resp.Header.Get("Last-Event-ID"), status, wantLines)
				}
				b.reset()
			}
		}
		if l := s.Stats().Ledger; l.Replayed == 0 || l.Copies != 0 {
			t.Errorf("%+v", l)
		}
	})
}

// Without a history nothing can be told, but that something was missed.
func TestResumeFromNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s)
		b.begin("/events/7", "")
		b.wantChunk(retryChunk)
		publish(t, s, "7\tone\n")
		n := b.number("id: ")
		b.reset()
		until(t, "it is gone", func() bool { return s.Stats().Conns.Open == 0 })
		b = dial(t, s)
		b.begin("/events/7?since="+fmt.Sprint(n), "")
		b.wantChunk(retryChunk)
		publish(t, s, "7\ttwo\n")
		b.wantChunk(fmt.Sprintf("id: %d\ndata: two\n\n", n+1))
		b.reset()
		b = dial(t, s)
		b.begin("/events/7?since="+fmt.Sprint(n), "")
		if got, err := b.chunk(); err != nil || !strings.Contains(got, "event: gap\n") || !strings.Contains(got, fmt.Sprintf("id: %d\n", n+1)) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// A client of several ids has a position in each.
func TestResumeSeveral(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 9}})
		b := dial(t, s)
		b.begin("/events/12,57", "")
		chunk, err := b.chunk()
		var n, m uint64
		if _, scanErr := fmt.Sscanf(strings.TrimPrefix(chunk, retryChunk), "id: 12:%d,57:%d\n\n", &n, &m); err != nil || scanErr != nil {
			t.Fatalf("%q, %v, %v", chunk, err, scanErr)
		}
		publish(t, s, "57\tone\n12\ttwo\n")
		b.wantChunk(fmt.Sprintf("id: 12:%d,57:%d\ndata: one\n\n", n, m+1))
		b.wantChunk(fmt.Sprintf("id: 12:%d,57:%d\ndata: two\n\n", n+1, m+1))
		b.reset()
		publish(t, s, "57\tthree\n12\tfour\n")
		b = dial(t, s)
		b.begin(fmt.Sprintf("/events/57,12?since=12:%d,57:%d", n, m+1), "")
		b.wantChunk(retryChunk + fmt.Sprintf("id: 57:%d,12:%d\ndata: three\n\nid: 57:%d,12:%d\ndata: two\n\nid: 57:%d,12:%d\ndata: four\n\nid: 57:%d,12:%d\n\n",
			m+2, n, m+2, n+1, m+2, n+2, m+2, n+2))
		publish(t, s, "57\tfive\n")
		b.wantChunk(fmt.Sprintf("id: 57:%d,12:%d\ndata: five\n\n", m+3, n+2))
		// A poll of both, with a position in one.
		p := dial(t, s)
		p.ask(fmt.Sprintf("/poll/12,57?since=57:%d&wait=60s", m+2), "")
		resp, body := p.response()
		if cursor := fmt.Sprintf("12:%d,57:%d", n+2, m+3); resp.Header.Get("Last-Event-ID") != cursor || body != fmt.Sprintf(`{"id":"57","n":%d,"msg":"five"}`+"\n", m+3) {
			t.Errorf("%v %q", resp.Header, body)
		}
		p.ask(fmt.Sprintf("/poll/12,57?since=12:%d,57:%d&wait=60s", n+2, m+3), "")
		until(t, "it waits", func() bool { return s.Stats().Router.Sessions == 2 })
		publish(t, s, "12\tsix\n")
		resp, body = p.response()
		if cursor := fmt.Sprintf("12:%d,57:%d", n+3, m+3); resp.Header.Get("Last-Event-ID") != cursor || body != fmt.Sprintf(`{"id":"12","n":%d,"msg":"six"}`+"\n", n+3) {
			t.Errorf("%v %q", resp.Header, body)
		}
	})
}

// held keeps the history of id busy until it is called.
func held(t *testing.T, s *Server, id string) func() {
	_, _, ticket := s.history.Enter([]byte(id), []byte("x"), 1)
	leave := sync.OnceFunc(func() { s.history.Leave(ticket) })
	t.Cleanup(leave)
	return leave
}

// A login waits for a history that is busy, and loses nothing.
func TestBusyHistory(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, target := range []string{"/events/7", "/test/7", "/poll/7?wait=60s&", "/events/7,8,9", "/poll/9,8,7?wait=60s&"} {
			s := start(t, Config{Engine: engine, Loops: 1, History: history.Config{Messages: 9}})
			leave := held(t, s, "7") // message x is kept already
			b := dial(t, s)
			b.ask(strings.TrimSuffix(target, "&"), "Accept: application/x-ndjson\r\nLast-Event-ID: 0\r\n")
			until(t, "it waits", func() bool {
				n := 0
				inLoops(s, func(_ netloop.Loop, fl *frontLoop) { n = len(fl.rolls) })
				return n == 1
			})
			// Id 7 is not logged in yet. Those before it are, unless they share its shard.
			if got, before := s.Stats().Router.Logins, strings.Count(strings.Split(target, "7")[0], ","); got > int64(before) {
				t.Errorf("%s: %d logins", target, got)
			}
			leave()
			got, err := "", error(nil)
			switch {
			case strings.HasPrefix(target, "/poll"):
				_, got = b.response()
			default:
				b.head()
				for !strings.Contains(got, "x") && err == nil {
					var more string
					more, err = b.chunk()
					got += more
				}
			}
			if !strings.Contains(got, "x") || err != nil {
				t.Errorf("%s: %q, %v", target, got, err)
			}
			if target == "/events/7" || target == "/test/7" {
				publish(t, s, "7\tlater\n")
				if got, err := b.chunk(); !strings.Contains(got, "later") || err != nil {
					t.Errorf("%s: %q, %v", target, got, err)
				}
				inLoops(s, func(_ netloop.Loop, fl *frontLoop) {
					if len(fl.rolls) != 0 {
						t.Errorf("%s: a roll is kept", target)
					}
				})
			}
			// Who goes while it waits is forgotten.
			leave = held(t, s, "7")
			b = dial(t, s)
			b.ask("/events/7", "")
			until(t, "it waits", func() bool { return s.Stats().Conns.Open == 2 })
			b.reset()
			until(t, "it is gone", func() bool { return s.Stats().Conns.Open == 1 })
			leave()
		}
	})
}

// A reader that was too slow is told so, in dialects that can.
func TestHole(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, ids := range []string{"7", "7,8"} {
			s := start(t, Config{Engine: engine, MaxPending: 100_000})
			slow := dialTo(t, s.Comet().String(), 4<<10)
			slow.begin("/test/"+ids, "Accept: application/x-ndjson\r\n")
			fill(t, s, "7", stuck(s))
			got := make(chan string)
			go func() {
				last := uint64(0)
				for {
					chunk, err := slow.chunk()
					for line := range strings.Lines(chunk) {
						var m struct {
							N   uint64
							Gap bool
							Msg string
						}
						if err == nil {
							err = json.Unmarshal([]byte(line), &m)
						}
						switch {
						case err != nil:
						case m.Gap && last == 0, m.Gap && m.N <= last:
							err = fmt.Errorf("gap to %d behind %d", m.N, last)
						case !m.Gap && last != 0 && m.N != last+1:
							err = fmt.Errorf("%d behind %d", m.N, last)
						}
						last = m.N
						if m.Msg == "the end" {
							got <- ""
							return
						}
					}
					if err != nil {
						got <- err.Error()
						return
					}
				}
			}()
			until(t, "the backlog has left", func() bool { return s.Stats().Ledger.Pending == 0 })
			publish(t, s, "8\tbeside\n7\tthe end\n")
			if ids == "7" {
				if why := <-got; why != "" {
					t.Error(why)
				}
			} else {
				<-got
			}
		}
	})
}
