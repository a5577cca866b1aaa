package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cometctl/flood"
	"cometctl/internal/clienttls"
	"cometctl/internal/pace"
	"cometctl/internal/timing"
)

func text(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessagesRefused(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for _, c := range []struct {
		name  string
		parse func([]byte) error
		bad   []string
	}{
		{"hello", func(b []byte) error { _, err := parseHello(b); return err }, []string{
			``, `[]`, `{"v":3,"room":-1}`, `{"v":3,"room":268435456}`, `{"v":3,"name":"` + long + `"}`, `{"v":3,"clock_error_ns":-1}`}},
		{"welcome", func(b []byte) error { _, err := parseWelcome(b); return err }, []string{
			`x`, `{"v":3}`, `{"v":3,"run":"a.b"}`, `{"v":3,"run":"*"}`, `{"v":3,"run":"a","worker":-1}`, `{"v":2,"run":"a"}`, `{"v":3,"run":"a","error":"no"}`}},
		{"beat", func(b []byte) error { _, err := parseBeat(b); return err }, []string{
			`1`, `{}`, `{"state":"asleep"}`, `{"state":"over","phase":"lunch"}`, `{"state":"over","error":"` + long + `"}`,
			`{"state":"over","due":{"at":[1],"n":[]}}`, `{"state":"over","tally":"%"}`}},
		{"orders", func(b []byte) error { _, err := parseOrders(b); return err }, []string{`x`, `{"start_ns":-1}`, `{"error":"` + long + `"}`}},
		{"piece", func(b []byte) error { _, _, err := parsePiece(b, 5, 10); return err }, []string{
			``, `7`, "x\nhttp://127.0.0.1/", "5\nhttp://127.0.0.1/", "11\nhttp://127.0.0.1/", "7\n"}},
		{"invitation", func(b []byte) error { _, err := ParseInvitation(b); return err }, []string{``, `{}`, `{"urls":["nats://a"]}`, `{"token":"a"}`}},
		{"plan", func(b []byte) error {
			var p plan
			if err := json.Unmarshal(b, &p); err != nil {
				return err
			}
			_, _, err := p.config()
			return err
		}, []string{`{}`, `{"targets":1}`, `{"targets":1,"connect_timeout_ns":1,"pace":"1/s"}`, `{"targets":1,"connect_timeout_ns":1,"beat_ns":1000000000,"pace":"fast"}`,
			`{"targets":1,"connect_timeout_ns":1,"beat_ns":1000000000,"pace":"1/s","ask":{"header":["x"]}}`, `{"targets":1,"connect_timeout_ns":1,"beat_ns":1000000000,"pace":"1/s","by_due_ns":-1}`,
			`{"targets":268435456,"connect_timeout_ns":1,"beat_ns":1000000000,"pace":"1/s"}`}},
	} {
		for _, b := range c.bad {
			if c.parse([]byte(b)) == nil {
				t.Errorf("%s %.60q was accepted", c.name, b)
			}
		}
	}
	if _, err := parseWelcome([]byte(`{"v":7}`)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "version 7 of the protocol, this worker version 3") {
		t.Errorf("another version: %v", err)
	}
}

// What one side writes the other reads.
func TestPlanSurvives(t *testing.T) {
	for _, rate := range []pace.Rate{{}, pace.Every(10 * time.Millisecond), {Events: 5, Per: 2 * time.Second}, {Events: 1e6, Per: time.Second}} {
		in := plan{Targets: 7, Rotation: 1 << 40, Ask: flood.Ask{Header: []string{"TE: chunked"}, As: "sse", Trust: clienttls.Trust{Insecure: true}}, Pace: rate.String(), Turns: flood.Turns{{Every: 3}},
			InFlight: 4, ConnectTimeout: time.Second, Redial: flood.Redial{Policy: flood.PolicyAbout, First: time.Minute, Respect: true}, Seed: 7, Manners: flood.Manners{By: [5]flood.Misconduct{{Percent: 10, Rate: 5}}, Seed: 3, First: 1, Whole: 9}, ByDue: time.Hour, Every: 2 * beatEvery}
		var out plan
		if err := json.Unmarshal(text(t, in), &out); err != nil || fmt.Sprint(out) != fmt.Sprint(in) {
			t.Fatalf("%+v, %v; want %+v", out, err, in)
		}
		cfg, _, err := out.config()
		if err != nil || cfg.Pace.Due(1000) != rate.Due(1000) || cfg.InFlight != 4 || cfg.Redial != (flood.Redial{Policy: flood.PolicyAbout, First: time.Minute, Respect: true}) || cfg.Seed != 7 || cfg.Manners != in.Manners || cfg.ByDue != time.Hour || cfg.Rotation != 1<<40 {
			t.Errorf("%+v, %v", cfg, err)
		}
	}
}

// However much was counted, it comes in pieces that fit, and each message once.
func TestCutDue(t *testing.T) {
	b := timing.NewBuckets(time.Millisecond)
	for i := range int64(2*maxDue + 5) {
		b.AddN(i*1e6, 1+i%3)
	}
	b.AddOutside(7)
	pieces := cutDue(b, 10)
	sum := timing.NewBuckets(time.Millisecond)
	for i, d := range pieces {
		if d.Seq != uint64(10+i) || len(d.At) > maxDue {
			t.Errorf("piece %d is number %d, with %d steps", i, d.Seq, len(d.At))
		}
		if _, err := parseBeat(text(t, beat{State: over, Due: &d})); err != nil {
			t.Error(err)
		}
		d.addTo(sum)
	}
	if got, want := string(text(t, sum)), string(text(t, b)); got != want || len(pieces) != 3 {
		t.Errorf("%d pieces make %.80s, want %.80s", len(pieces), got, want)
	}
	if n := len(cutDue(timing.NewBuckets(time.Second), 1)); n != 0 {
		t.Errorf("%d pieces of nothing", n)
	}
}

// No message that comes over the wire may do more than be refused.
func FuzzMessages(f *testing.F) {
	for kind, seed := range []string{`{"v":3,"name":"a","room":5}`, `{"v":3,"run":"abc","worker":2}`, `{"worker":1,"state":"running","phase":"hold","tally":"AQ==","due":{"seq":1,"at":[5],"n":[6]}}`,
		`{"plan":{"targets":3,"pace":"5/s","beat_ns":1000000000,"turns":[{"from":0,"event":1,"every":2}],"connect_timeout_ns":5},"start_ns":7}`, "7\nhttp://127.0.0.1/{1..2}\n", `{"urls":["a"],"token":"b"}`} {
		f.Add(byte(kind), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		switch kind % 6 {
		case 0:
			if h, err := parseHello(b); err == nil && h.Version == version && h.Room < 0 {
				t.Errorf("%+v", h)
			}
		case 1:
			if w, err := parseWelcome(b); err == nil && strings.ContainsAny(beatSubject(w.Run), "*> ") {
				t.Errorf("%+v", w)
			}
		case 2:
			if m, err := parseBeat(b); err == nil && m.Due != nil {
				m.Due.addTo(timing.NewBuckets(time.Second))
			}
		case 3:
			if o, err := parseOrders(b); err == nil && o.Plan != nil {
				if cfg, _, err := o.Plan.config(); err == nil {
					cfg.Targets, _ = flood.ReadTargets("x", strings.NewReader("http://127.0.0.1/"), 1, flood.Rules{})
					_, _ = flood.New(cfg)
				}
			}
		case 4:
			if next, _, err := parsePiece(b, 5, 10); err == nil && (next <= 5 || next > 10) {
				t.Errorf("next %d", next)
			}
		case 5:
			_, _ = ParseInvitation(b)
		}
	})
}
