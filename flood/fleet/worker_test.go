package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/flood"
	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/offset"
	"cometctl/internal/rlimit"
)

func limits(hard uint64) rlimit.Files { return rlimit.Files{Soft: hard, Hard: hard} }

// host is a coordinator that a test plays: it answers each request with what do returns, or not at all for nil.
func host(t *testing.T, do map[string]func(*nats.Msg) any) broker.ConnectConfig {
	t.Helper()
	url := brokertest.Embed(t, broker.EmbedConfig{}).URL()
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for subject, f := range do {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			switch answer := f(m).(type) {
			case nil:
			case []byte:
				_ = m.Respond(answer)
			default:
				_ = m.Respond(text(t, answer))
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return broker.ConnectConfig{URLs: []string{url}}
}

// now answers with the time, ahead of the worker's.
func now(ahead time.Duration) func(*nats.Msg) any {
	return func(*nats.Msg) any { return strconv.AppendInt(nil, time.Now().Add(ahead).UnixNano(), 10) }
}

func welcomed(*nats.Msg) any { return welcome{Version: version, Run: "r1", Worker: 4, Name: "four"} }

func TestJoinRefused(t *testing.T) {
	beats := func(answer any) func(*nats.Msg) any { return func(*nats.Msg) any { return answer } }
	for _, c := range []struct {
		name string
		do   map[string]func(*nats.Msg) any
		is   error
		says string
	}{
		{"nobody", nil, ErrNobody, "start 'cometctl flood --machines N' before its workers"},
		{"another version", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: func(*nats.Msg) any { return welcome{Version: version + 1} }},
			ErrRefused, "it speaks version 4 of the protocol, this worker version 3"},
		{"no place", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: func(*nats.Msg) any { return welcome{Version: version, Error: "the run has begun"} }},
			ErrRefused, "the run has begun"},
		{"no clock", map[string]func(*nats.Msg) any{clockSubject: func(*nats.Msg) any { return []byte("noon") }}, offset.ErrAnswer, "noon"},
		{"sent away", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: welcomed, beatSubject("r1"): beats(orders{Error: "no part"})}, ErrRefused, "no part"},
		{"given up", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: welcomed, beatSubject("r1"): beats(orders{Stop: true})}, ErrRefused, "given up before it began"},
		{"bad plan", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: welcomed, beatSubject("r1"): beats(orders{Plan: &plan{Targets: -1}})}, errMessage, ""},
		{"too large a share", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: welcomed,
			beatSubject("r1"): beats(orders{Plan: &plan{Targets: maxTargets, Pace: "0", ConnectTimeout: time.Second, Every: beatEvery}})}, nil, "a share of 268435455 targets, and descriptors for"},
		{"more than was said", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: welcomed,
			beatSubject("r1"):  beats(orders{Plan: &plan{Targets: 2, Pace: "0", ConnectTimeout: time.Second, Every: beatEvery}}),
			shareSubject("r1"): beats([]byte("2\nhttp://127.0.0.1:1/{1..3}\n"))}, nil, "makes more than 2 targets"},
		{"less than was said", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: welcomed,
			beatSubject("r1"):  beats(orders{Plan: &plan{Targets: 2, Pace: "0", ConnectTimeout: time.Second, Every: beatEvery}}),
			shareSubject("r1"): beats([]byte("2\nhttp://127.0.0.1:1/\n"))}, nil, "a share of 2 targets, of which 1 came"},
		{"remote", map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: welcomed,
			beatSubject("r1"):  beats(orders{Plan: &plan{Targets: 1, Pace: "0", ConnectTimeout: time.Second, Every: beatEvery}}),
			shareSubject("r1"): beats([]byte("1\nhttp://192.0.2.1/\n"))}, nil, "needs --allow-remote"},
	} {
		r, err := Join(t.Context(), JoinConfig{Connect: host(t, c.do)})
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || r.Asked != 0 {
			t.Errorf("%s: %+v, %v; want %v, %q", c.name, r, err, c.is, c.says)
		}
	}
}

// A worker repeats what was not answered, begins when it is told to, and lives by the coordinator's clock.
func TestJoin(t *testing.T) {
	s := eventful(t, nil)
	const ahead = time.Hour
	began, beats, last := time.Now(), 0, beat{}
	cfg := host(t, map[string]func(*nats.Msg) any{clockSubject: now(ahead), helloSubject: func(m *nats.Msg) any {
		h, err := parseHello(m.Data)
		if d := h.Offset - ahead; err != nil || d.Abs() > h.Error+time.Millisecond || h.Room < 1 {
			t.Errorf("hello %+v, %v", h, err)
		}
		return welcomed(m)
	}, shareSubject("r1"): func(m *nats.Msg) any {
		var w wanted
		if err := json.Unmarshal(m.Data, &w); err != nil || w.Worker != 4 {
			t.Errorf("%s", m.Data)
		}
		return []byte(strconv.Itoa(w.From+2) + "\n" + s.URL + "/test/" + strconv.Itoa(w.From+1) + "\n" + s.URL + "/x/" + strconv.Itoa(w.From+2) + "\n")
	}, beatSubject("r1"): func(m *nats.Msg) any {
		b, err := parseBeat(m.Data)
		if err != nil || b.Worker != 4 {
			t.Errorf("%s, %v", m.Data, err)
		}
		last, beats = b, beats+1
		switch b.State {
		case waiting:
			return orders{Plan: &plan{Targets: 4, Pace: "0", ConnectTimeout: time.Second, Every: beatEvery, InFlight: 2, Rotation: 9}}
		case ready:
			return orders{Start: began.Add(ahead).UnixNano()}
		}
		return orders{Stop: b.Phase == flood.Hold}
	}})
	loaded := false
	r, err := Join(t.Context(), JoinConfig{Connect: cfg, Loaded: func() { loaded = true }})
	if err != nil || r.Open != 4 || !r.Held() || !loaded {
		t.Errorf("%+v, %v", r, err)
	}
	sum := flood.NewTally(0)
	if err := sum.AddBinary(last.Tally); err != nil || last.State != over || last.Phase != flood.Drain || sum.Result(4).Open != 4 {
		t.Errorf("last beat %+v, %v", last, err)
	}
	if got := sum.Result(4).OpenPerS; got <= 0 || got > 4/time.Millisecond.Seconds() {
		t.Errorf("%v opened a second: the clocks are mixed up", got)
	}
}

// A worker that is interrupted says so, and what it had.
func TestJoinInterrupted(t *testing.T) {
	s := eventful(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var last beat
	cfg := host(t, map[string]func(*nats.Msg) any{clockSubject: now(0), helloSubject: welcomed,
		shareSubject("r1"): func(m *nats.Msg) any { return []byte("1\n" + s.URL + "/test/1\n") },
		beatSubject("r1"): func(m *nats.Msg) any {
			last, _ = parseBeat(m.Data)
			switch {
			case last.State == waiting:
				return orders{Plan: &plan{Targets: 1, Pace: "0", ConnectTimeout: time.Second, Every: beatEvery}}
			case last.State == ready:
				return orders{Start: time.Now().UnixNano()}
			case last.Phase == flood.Hold:
				cancel()
			}
			return orders{}
		}})
	r, err := Join(ctx, JoinConfig{Connect: cfg})
	if r.Open != 1 || !errors.Is(err, errLeft) || last.State != over || last.Error != "interrupted" || len(last.Tally) == 0 {
		t.Errorf("%+v, %v, last beat %+v", r, err, last)
	}
}

// A coordinator that does not answer is gone after a while, and no sooner.
func TestCoordinatorGone(t *testing.T) {
	nc := brokertestConn(t)
	w := &worker{nc: nc, run: "r1", state: ready, heard: time.Now(), voice: newVoice()}
	if _, answered, err := w.beat(); answered || err != nil {
		t.Errorf("at once: %v, %v", answered, err)
	}
	w.heard = time.Now().Add(-Silence - time.Second)
	if _, _, err := w.beat(); !errors.Is(err, ErrGone) {
		t.Errorf("after 16 s: %v", err)
	}
	w.cfg.Token = "local"
	if _, _, err := w.beat(); err != nil {
		t.Errorf("a local worker after 16 s: %v", err)
	}
	w.heard = time.Now().Add(-broker.LocalPatience - time.Second)
	if _, _, err := w.beat(); !errors.Is(err, ErrGone) {
		t.Errorf("a local worker after 121 s: %v", err)
	}
}
