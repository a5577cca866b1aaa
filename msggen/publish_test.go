package msggen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPublishKeepsTheSchedule(t *testing.T) {
	for _, tt := range []struct {
		to                   string
		workers, connections int
	}{
		{"POST http://127.0.0.1:8010/send/{id}", 1, 0},
		{"GET http://127.0.0.1:8010/send/{id}?{msg_url}", 1, 8},
		{"http://127.0.0.1:8010/send/{id}", 3, 7},
		{"PUT http://127.0.0.1:8010/send/{id}", 2 * maxPrecise, 0},
	} {
		abroad(t, func(t *testing.T, f *foreign) {
			cfg := f.config()
			cfg.To, cfg.Workers, cfg.Connections = tt.to, tt.workers, tt.connections
			cfg.Rate, cfg.Duration = perSecond(700), 3*time.Second
			res, err := Run(t.Context(), cfg)
			balanced(t, res)
			if err != nil || res.Sent != 2100 || res.Accepted != 2100 || res.Unsent+res.Late+res.Reconnects+res.Resent != 0 || res.Rate != 700 {
				t.Errorf("%+v: %+v, %v", tt, res, err)
			}
			if res.Ledger != nil || res.Status[200] != 2100 || res.Asked.Connections != max(tt.workers, tt.connections) || res.Asked.Pipeline != 64 {
				t.Errorf("%+v: ledger %v, %d of status 200, asked %+v", tt, res.Ledger, res.Status[200], res.Asked)
			}
			got := f.messages()
			if len(got) != 2100 || f.conns != res.Asked.Connections {
				t.Fatalf("%+v: %d messages on %d connections", tt, len(got), f.conns)
			}
			for _, m := range got {
				due := res.Run.Start.Add(cfg.Rate.Due(m.num - 1))
				if !m.due.Equal(due) || !m.at.Equal(due) || m.run.Worker() != int(m.num-1)%tt.workers {
					t.Fatalf("message %d was due at %v, is stamped %v and was read at %v", m.num, due, m.due, m.at)
				}
			}
		})
	}
}

// TestPublishSendsWhatTheStreamSends: equal seeds make equal messages to equal ids, whatever carries them.
func TestPublishSendsWhatTheStreamSends(t *testing.T) {
	var stream, single []string
	list := func(all []message) (texts []string) {
		for _, m := range all {
			texts = append(texts, fmt.Sprintf("%s %d %d %d", m.id, m.num, m.seq, len(m.text)))
		}
		return texts
	}
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Rate, cfg.Count, cfg.Seed, cfg.Size = perSecond(100), 300, 7, 400
		Run(t.Context(), cfg)
		stream = list(f.messages())
	})
	abroad(t, func(t *testing.T, f *foreign) {
		cfg := f.config()
		cfg.Rate, cfg.Count, cfg.Seed, cfg.Size = perSecond(100), 300, 7, 400
		Run(t.Context(), cfg)
		single = list(f.messages())
	})
	if len(stream) != 300 || !slices.Equal(stream, single) {
		t.Errorf("a stream of %d, single requests of %d, and they differ", len(stream), len(single))
	}
}

// TestPublishWaitsForNoAnswer: slow answers make no message late until the bound is reached.
func TestPublishWaitsForNoAnswer(t *testing.T) {
	abroad(t, func(t *testing.T, f *foreign) {
		f.answer = func(int, int) reaction { return reaction{after: 6 * time.Second} }
		cfg := f.config()
		cfg.Rate, cfg.Duration = perSecond(10), 30*time.Second
		res, err := Run(t.Context(), cfg)
		if err != nil || res.Accepted != 300 || res.Late != 0 || f.most < 60 || f.most > 61 {
			t.Errorf("%d outstanding: %+v, %v", f.most, res, err)
		}
	})
}

// TestPipelineBound: what the bound holds back is sent later, is counted as late, and is not skipped.
func TestPipelineBound(t *testing.T) {
	for _, bound := range []int{1, 4} {
		abroad(t, func(t *testing.T, f *foreign) {
			f.answer = func(int, int) reaction { return reaction{after: 100 * time.Millisecond} }
			cfg := f.config()
			cfg.Pipeline = bound
			cfg.Rate, cfg.Count = perSecond(100), 200
			res, err := Run(t.Context(), cfg)
			balanced(t, res)
			if err != nil || res.Accepted != 200 || res.Unsent != 0 || f.most != bound {
				t.Errorf("bound %d: %d outstanding, %+v, %v", bound, f.most, res, err)
			}
			// The last is sent when all but bound of those before are answered, bound at a time.
			last := float64(100*(200/bound-1)) - 1990
			if res.Late < 190 || res.Lag.Max < last-100 || res.Lag.Max > last+100 {
				t.Errorf("bound %d: %d late, at most by %v ms, want %v", bound, res.Late, res.Lag.Max, last)
			}
			f.messages()
		})
	}
}

// TestOrder: on several connections the messages to one id keep their order, however long an answer takes.
func TestOrder(t *testing.T) {
	for _, rate := range []uint64{0, 1000} {
		abroad(t, func(t *testing.T, f *foreign) {
			f.answer = func(c, n int) reaction { return reaction{after: time.Duration((c+1)*n%7) * time.Millisecond} }
			cfg := f.config()
			cfg.IDs, cfg.Connections, cfg.Pipeline = 5, 4, 2
			cfg.Rate, cfg.Count = perSecond(rate), 3000
			res, err := Run(t.Context(), cfg)
			if err != nil || res.Accepted != 3000 || len(f.messages()) != 3000 {
				t.Errorf("at %d/s: %d messages, %+v, %v", rate, len(f.got), res, err)
			}
			used := map[string]int{}
			for _, m := range f.got {
				used[m.addr]++
			}
			if len(used) != 4 {
				t.Errorf("at %d/s: the connections carried %v", rate, used)
			}
		})
	}
}

func TestStatusesRefuseWhatIsNone(t *testing.T) {
	for _, text := range []string{`{"1000":1}`, `{"-1":1}`, `{"ok":1}`, `{"200":-1}`, `[]`} {
		if err := new(Statuses).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is taken for a count of statuses", text)
		}
	}
}

func TestStatuses(t *testing.T) {
	answers := []string{
		okAnswer,
		"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
		"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
	}
	abroad(t, func(t *testing.T, f *foreign) {
		f.answer = func(_, n int) reaction { return reaction{text: answers[n%len(answers)]} }
		cfg := f.config()
		cfg.Rate, cfg.Count = perSecond(100), 700
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if res.Accepted != 400 || res.Bad != 300 || res.Unconfirmed != 0 || res.Reconnects != 0 {
			t.Errorf("%+v", res)
		}
		if got, _ := res.Status.MarshalJSON(); string(got) != `{"200":100,"201":100,"202":100,"204":100,"304":100,"404":100,"500":100}` {
			t.Errorf("statuses %s", got)
		} else if back := new(Statuses); back.UnmarshalJSON(got) != nil || *back != *res.Status {
			t.Errorf("%s comes back as another result", got)
		}
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "300 refused as bad") || !strings.Contains(err.Error(), "status 500") {
			t.Errorf("error %v", err)
		}
	})
}

// TestOrderlyEnds: a server that announces the end of its connections loses nothing, however many requests were under way.
func TestOrderlyEnds(t *testing.T) {
	const closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
	for _, tt := range []struct {
		name, text string
		every      int           // an answer that ends its connection
		after      time.Duration // of all answers
		rate       uint64
	}{
		{"keep-alive off", closing, 1, 0, 100},
		{"keep-alive off, as fast as it goes", closing, 1, time.Millisecond, 0},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nok", 1, time.Millisecond, 100},
		{"a thousand requests a connection", closing, 100, 50 * time.Millisecond, 1000},
		{"a thousand requests a connection, as fast as it goes", closing, 100, time.Millisecond, 0},
	} {
		abroad(t, func(t *testing.T, f *foreign) {
			f.answer = func(_, n int) reaction {
				if (n+1)%tt.every == 0 {
					return reaction{text: tt.text, end: true, after: tt.after}
				}
				return reaction{after: tt.after}
			}
			cfg := f.config()
			cfg.Rate, cfg.Count = perSecond(tt.rate), 1000
			res, err := Run(t.Context(), cfg)
			balanced(t, res)
			if err != nil || res.Sent != 1000 || res.Accepted != 1000 || len(f.messages()) != 1000 {
				t.Errorf("%s: %d read, %+v, %v", tt.name, len(f.got), res, err)
			}
			if want := 1000 / tt.every; f.conns < want || f.conns > want+1 || res.Reconnects != uint64(f.conns-1) {
				t.Errorf("%s: %d connections, %d reconnects", tt.name, f.conns, res.Reconnects)
			}
			if tt.every > 1 && res.Resent == 0 {
				t.Errorf("%s: nothing was under way, and so nothing was shown", tt.name)
			}
			if tt.rate == 100 && res.Late != 0 {
				t.Errorf("%s: %d late, lag %+v", tt.name, res.Late, res.Lag)
			}
		})
	}
}

// TestBreak: what was on its way when a connection broke is not sent again, and is unconfirmed; the rest goes on.
func TestBreak(t *testing.T) {
	abroad(t, func(t *testing.T, f *foreign) {
		f.answer = func(c, n int) reaction {
			return reaction{after: 45 * time.Millisecond, drop: c < 2 && n == 99}
		}
		cfg := f.config()
		cfg.Rate, cfg.Count = perSecond(100), 1000
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if !errors.Is(err, ErrIncomplete) || res.Sent != 1000 || res.Unsent != 0 || res.Resent != 0 || res.Reconnects != 2 {
			t.Errorf("%+v, %v", res, err)
		}
		// Each break takes the request that brought it and the four that were due while it was answered.
		if n := len(f.messages()); res.Unconfirmed != 10 || n != 992 || !strings.Contains(err.Error(), "closed the connection") {
			t.Errorf("%d read, %d unconfirmed: %v", n, res.Unconfirmed, err)
		}
	})
}

// TestServerIsAway: the schedule goes on, and all of it is sent once the server is there again.
func TestServerIsAway(t *testing.T) {
	abroad(t, func(t *testing.T, f *foreign) {
		begin := time.Now()
		away := func() bool { return time.Since(begin) > time.Second && time.Since(begin) < 4*time.Second }
		f.refuse = away
		f.answer = func(int, int) reaction { return reaction{drop: away()} }
		cfg := f.config()
		cfg.Rate, cfg.Count, cfg.Connections = perSecond(100), 600, 3
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if !errors.Is(err, ErrIncomplete) || res.Sent != 600 || res.Unconfirmed < 3 || res.Unconfirmed > 6 || res.Late < 200 {
			t.Errorf("%+v, %v", res, err)
		}
		f.messages()
	})
}

func TestNothingToReconnectTo(t *testing.T) {
	abroad(t, func(t *testing.T, f *foreign) {
		f.refuse = func() bool { return f.conns == 2 }
		f.answer = func(_, n int) reaction { return reaction{drop: n == 9} }
		cfg := f.config()
		cfg.Rate, cfg.Count, cfg.Connections = perSecond(100), 500, 2
		begin := time.Now()
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "connection refused") || res.Unconfirmed != 2 || res.Sent+res.Unsent != 500 {
			t.Errorf("%+v, %v", res, err)
		}
		if took := time.Since(begin); took < 15*time.Second || took > 19*time.Second {
			t.Errorf("took %v, want 10 s of grace after 5 s", took)
		}
	})
}

func TestPublishNobodyListens(t *testing.T) {
	abroad(t, func(t *testing.T, f *foreign) {
		f.refuse = func() bool { return f.conns == 1 } // the second connection
		cfg := f.config()
		cfg.Connections = 3
		res, err := Run(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "cannot connect to 127.0.0.1:8010: connection refused; is the server running?") || !res.Run.Start.IsZero() {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// TestBadAnswers end their connection; nothing of them is counted.
func TestBadAnswers(t *testing.T) {
	for want, text := range map[string]string{
		"cannot be read":         "SSH-2.0-OpenSSH\r\n\r\n",
		"what was not asked":     okAnswer + okAnswer,
		"broke off":              "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"closed the connection":  "HTTP/1.1 100 Continue\r\n\r\n",
		"bad Content-Length \"x": "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
	} {
		abroad(t, func(t *testing.T, f *foreign) {
			f.answer = func(c, n int) reaction {
				if c > 0 {
					return reaction{}
				}
				return reaction{text: text, end: true}
			}
			cfg := f.config()
			cfg.Rate, cfg.Count = perSecond(10), 20
			res, err := Run(t.Context(), cfg)
			balanced(t, res)
			lost := uint64(1)
			if want == "what was not asked" {
				lost = 0 // the answer in front of it was good
			}
			if res.Sent != 20 || res.Unconfirmed != lost || res.Reconnects != 1 || lost > 0 && !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %+v, %v", text, res, err)
			}
		})
	}
}

func TestPublishInterrupt(t *testing.T) {
	for _, rate := range []uint64{0, 1000} {
		abroad(t, func(t *testing.T, f *foreign) {
			f.answer = func(int, int) reaction { return reaction{after: 30 * time.Millisecond} }
			ctx, stop := context.WithTimeout(t.Context(), 2500*time.Millisecond+time.Microsecond)
			defer stop()
			cfg := f.config()
			cfg.Rate = perSecond(rate)
			begin := time.Now()
			res, err := Run(ctx, cfg)
			if err != nil || res.Sent == 0 || res.Accepted != res.Sent || rate > 0 && res.Sent != 2501 {
				t.Errorf("at %d/s: %+v, %v", rate, res, err)
			}
			if took := time.Since(begin); took > 2600*time.Millisecond {
				t.Errorf("at %d/s: took %v to stop", rate, took-2500*time.Millisecond)
			}
		})
	}
}

func TestPublishWithoutAnswers(t *testing.T) {
	abroad(t, func(t *testing.T, f *foreign) {
		f.answer = func(int, int) reaction { return reaction{after: time.Hour} }
		cfg := f.config()
		cfg.Rate, cfg.Count = perSecond(1000), 50
		begin := time.Now()
		res, err := Run(t.Context(), cfg)
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "within 10s") || res.Sent != 50 || res.Unconfirmed != 50 {
			t.Errorf("%+v, %v", res, err)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("took %v, want the 10 s of grace", took)
		}
	})
}
