package msggen

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAnswersThatEndTheConnection: early ones, and those that say so while their server keeps the connection.
func TestAnswersThatEndTheConnection(t *testing.T) {
	tests := []struct {
		name  string
		early bool
		head  string
	}{{"early", true, ""}, {"close", false, "Connection: close\r\n"}, {"both", true, "Connection: close\r\n"}}
	for _, tt := range tests {
		bubble(t, func(t *testing.T, f *fake) {
			var requests int
			cfg := f.config()
			cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go answerOne(theirs, tt.early, tt.head, &requests)
				return ours, nil
			}
			cfg.Rate, cfg.Duration = perSecond(100), 5*time.Second
			res, _ := Run(t.Context(), cfg)
			balanced(t, res)
			if res.Sent != 500 || res.Unsent != 0 || res.Reconnects < 3 || requests != int(res.Reconnects)+1 {
				t.Errorf("%s: %d requests, %+v", tt.name, requests, res)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		status int
		body   string
		fatal  bool
	}{
		{400, "no", true}, {404, "404 page not found\n", true}, {200, "<html>", true}, {302, "", true},
		{429, "", false}, {500, `{"sent":5}`, false}, {503, "draining", false},
	}
	for _, tt := range tests {
		bubble(t, func(t *testing.T, f *fake) {
			begin := time.Now()
			f.handle = func(w http.ResponseWriter, r *http.Request, rest http.HandlerFunc) {
				if time.Since(begin) > 5*time.Second {
					rest(w, r)
					return
				}
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.body))
			}
			cfg := f.config()
			cfg.Rate, cfg.Duration = perSecond(100), 20*time.Second
			res, err := Run(t.Context(), cfg)
			balanced(t, res)
			if !errors.Is(err, ErrIncomplete) || res.Unconfirmed == 0 || !strings.Contains(err.Error(), tt.body) && len(tt.body) < 9 {
				t.Errorf("%d: %+v, %v", tt.status, res, err)
			}
			took := time.Since(begin)
			if tt.fatal && (took > 2*time.Second || res.Accepted != 0) {
				t.Errorf("%d: went on for %v: %+v", tt.status, took, res)
			}
			if !tt.fatal && (res.Sent != 2000 || res.Accepted < 1300) {
				t.Errorf("%d: %+v", tt.status, res)
			}
		})
	}
}

func TestServerNeverAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.handle = func(w http.ResponseWriter, r *http.Request, rest http.HandlerFunc) {
			rest(nowhere{w}, r)
			<-r.Context().Done()
		}
		cfg := f.config()
		cfg.Rate, cfg.Count = perSecond(1000), 500
		begin := time.Now()
		res, err := Run(t.Context(), cfg)
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "within 10s") ||
			res.Sent != 500 || res.Unconfirmed != 500 {
			t.Errorf("%+v, %v", res, err)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("the run took %v, want the 10 s of grace after half a second", took)
		}
	})
}

// nowhere is a ResponseWriter that keeps silent.
type nowhere struct{ http.ResponseWriter }

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// TestEarlyAnswer: a server that drains answers for what it has read, whatever its status, and leaves the rest.
func TestEarlyAnswer(t *testing.T) {
	for _, status := range []int{200, 503} {
		bubble(t, func(t *testing.T, f *fake) {
			f.handle = func(w http.ResponseWriter, r *http.Request, rest http.HandlerFunc) {
				if f.requests > 1 {
					rest(w, r)
					return
				}
				for range 10 {
					r.Body.Read(make([]byte, 4096))
				}
				w.Header().Set("Connection", "close") // or else net/http reads on to the end
				w.WriteHeader(status)
				io.WriteString(w, `{"sent":8,"bad":2,"errors":[{"line":3,"error":"no tab"}],"cut":"the server is about to end"}`)
			}
			cfg := f.config()
			cfg.Rate, cfg.Duration = perSecond(100), 3*time.Second
			res, err := Run(t.Context(), cfg)
			balanced(t, res)
			if !errors.Is(err, ErrIncomplete) || res.Sent != 300 || res.Bad != 2 || res.Unconfirmed > 2 {
				t.Errorf("%d: %+v, %v", status, res, err)
			}
			if read := uint64(len(f.messages())); res.Accepted != read+8 {
				t.Errorf("%d: accepted %d, want the 8 of the early answer and the %d that were read later", status, res.Accepted, read)
			}
		})
	}
}

func TestBadLines(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.handle = func(w http.ResponseWriter, r *http.Request, rest http.HandlerFunc) {
			rest(nowhere{w}, r)
			io.WriteString(w, `{"sent":90,"offline":90,"bad":10,"errors":[{"line":3,"error":"longer than a message may be"}]}`)
		}
		cfg := f.config()
		cfg.Rate, cfg.Count = perSecond(1000), 100
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if res.Accepted != 90 || res.Bad != 10 || !errors.Is(err, ErrIncomplete) ||
			!strings.Contains(err.Error(), "10 refused as bad") || !strings.Contains(err.Error(), "longer than a message may be") {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// TestBoastfulAnswer: an answer for more than was asked does not unbalance the account.
func TestBoastfulAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.handle = func(w http.ResponseWriter, r *http.Request, rest http.HandlerFunc) {
			rest(nowhere{w}, r)
			json.NewEncoder(w).Encode(Ledger{Sent: 1 << 40, Bad: 1 << 40})
		}
		cfg := f.config()
		cfg.Rate, cfg.Duration = perSecond(100), time.Second
		res, err := Run(t.Context(), cfg)
		balanced(t, res)
		if err != nil || res.Accepted != 100 || res.Ledger.Sent != 1<<40 {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// TestPieces: a stream is confirmed while it goes on, a second or so behind.
func TestPieces(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Rate, cfg.Duration = perSecond(100), 10*time.Second
		var seen []Progress
		cfg.ProgressEvery = time.Second
		cfg.Progress = func(p Progress) { seen = append(seen, p) }
		res, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if f.requests < 9 || f.requests > 11 {
			t.Errorf("%d requests in 10 s", f.requests)
		}
		for i, p := range seen {
			if p.Rate < 99 || p.Rate > 102 || p.Sent-p.Accepted > 110 || p.Late != 0 {
				t.Errorf("after %d s: %+v", i+1, p)
			}
		}
		if len(seen) < 9 || res.Reconnects != 0 {
			t.Errorf("progress was told %d times, %d reconnects", len(seen), res.Reconnects)
		}
	})
}

// TestSlowAnswers: a server that takes long to answer never makes a message late.
func TestSlowAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		release := make(chan struct{})
		go func() { time.Sleep(30 * time.Second); close(release) }()
		srv := newSilent(f, release)
		cfg := f.config()
		cfg.Dial = srv.dial
		cfg.Rate, cfg.Duration = perSecond(100), 29*time.Second
		res, err := Run(t.Context(), cfg)
		if err != nil || res.Accepted != 2900 || res.Late != 0 {
			t.Errorf("%+v, %v", res, err)
		}
		if srv.requests > maxUnanswered {
			t.Errorf("%d requests were begun without an answer, want %d at most", srv.requests, maxUnanswered)
		}
	})
}
