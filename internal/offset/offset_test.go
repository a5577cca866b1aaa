package offset

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestMeasure(t *testing.T) {
	type trip struct{ there, back time.Duration }
	for _, c := range []struct {
		name   string
		ahead  time.Duration // of the other clock
		trips  []trip        // the last one goes on for ever
		offset time.Duration
		err    time.Duration
	}{
		{"same machine", 0, []trip{{20e3, 30e3}, {25e3, 15e3}}, 0, 20e3},
		{"an hour ahead", time.Hour, []trip{{9e6, 1e6}, {1e6, 1e6}, {5e6, 0}}, time.Hour, 1e6},
		{"behind", -3 * time.Second, []trip{{1e6, 3e6}}, -3*time.Second - 1e6, 2e6},
		{"too near to tell", 400e3, []trip{{1e6, 1e6}}, 0, 1e6},
		{"far away", 0, []trip{{400e6, 400e6}}, 0, 400e6},
	} {
		now, n := time.Unix(1000, 0), 0
		r, err := Measure(func() time.Time { return now }, func() ([]byte, error) {
			trip := c.trips[min(n, len(c.trips)-1)]
			n++
			now = now.Add(trip.there)
			answer := fmt.Append(nil, now.Add(c.ahead).UnixNano())
			now = now.Add(trip.back)
			return answer, nil
		})
		if err != nil || r.Offset != c.offset || r.Error != c.err+1 || n < 3 || n > trips {
			t.Errorf("%s: %+v, %v in %d trips; want %v, give or take %v", c.name, r, err, n, c.offset, c.err)
		}
		if took := now.Sub(time.Unix(1000, 0)); took > 3*time.Second {
			t.Errorf("%s: took %v", c.name, took)
		}
	}
	if _, err := Measure(time.Now, func() ([]byte, error) { return []byte("noon"), nil }); !errors.Is(err, ErrAnswer) {
		t.Errorf("a time that is none: %v", err)
	}
	broken := errors.New("broken")
	if _, err := Measure(time.Now, func() ([]byte, error) { return nil, broken }); err != broken {
		t.Errorf("no answer: %v", err)
	}
}

func TestDrift(t *testing.T) {
	at := Reading{Offset: time.Second, Error: 100 * time.Microsecond}
	for later, want := range map[Reading]Reading{
		{time.Second + 50*time.Microsecond, 60 * time.Microsecond}:   at,
		{time.Second + 5*time.Millisecond, 200 * time.Microsecond}:   {time.Second, 5200 * time.Microsecond},
		{time.Second - 150*time.Microsecond, 300 * time.Microsecond}: {time.Second, 300 * time.Microsecond},
	} {
		if got := at.And(later); got != want {
			t.Errorf("then %+v: %+v, want %+v", later, got, want)
		}
	}
}

func TestHTTP(t *testing.T) {
	const ahead = -90 * time.Minute
	say := func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, time.Now().Add(ahead).UnixNano()) }
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.URL.Path != "/clock" || r.Method != "GET" {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		say(w, r)
	}))
	defer s.Close()
	for _, base := range []string{s.URL, s.URL + "/"} {
		r, err := HTTP(t.Context(), base)
		if err != nil || (r.Offset-ahead).Abs() > r.Error || r.Error <= 0 {
			t.Errorf("%s: %+v, %v; want %v within its error", base, r, err, ahead)
		}
	}
	for base, want := range map[string]string{
		"":                         "no address of an admin listener",
		"127.0.0.1:8001":           "no address of an admin listener",
		"ws://127.0.0.1":           "no address of an admin listener",
		"http://127.0.0.1:1/stats": "no address of an admin listener",
		"http://a:b@127.0.0.1":     "no address of an admin listener",
		"http://127.0.0.1:1":       "cannot be asked: connect: connection refused",
	} {
		if _, err := HTTP(t.Context(), base); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", base, err, want)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"404 Not Found":   http.NotFound,
		"302 Found":       func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) },
		"that is no time": func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Repeat("9", 1000)) },
	} {
		s := httptest.NewServer(answer)
		if _, err := HTTP(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

// Whatever is answered is a time or refused.
func FuzzMeasure(f *testing.F) {
	for _, s := range []string{"0", "noon", "-5", "9223372036854775807", "-9223372036854775808", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		now := time.Unix(1000, 0)
		r, err := Measure(func() time.Time { now = now.Add(time.Millisecond); return now }, func() ([]byte, error) { return []byte(answer), nil })
		if err == nil && r.Error <= 0 {
			t.Errorf("%q: %+v", answer, r)
		}
	})
}
