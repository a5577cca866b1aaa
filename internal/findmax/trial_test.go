package findmax

import (
	"errors"
	"strings"
	"testing"

	"cometctl/internal/promise"
	"cometctl/internal/timing"
)

// known is a table of two metrics, and look finds them.
var known = promise.Metrics{{Name: "p99", Unit: promise.Milliseconds}, {Name: "missing", Of: "sent"}, {Name: "sent"}}

func look(t Trial) promise.Lookup {
	return func(name string) (float64, bool) {
		switch name {
		case "p99":
			if t.Latency == nil {
				return 0, false
			}
			return t.Latency.P99, true
		case "missing":
			return float64(t.Missing), true
		}
		return float64(t.Sent.Sent), true
	}
}

// promises are a configuration that looks for these.
func promises(t *testing.T, texts ...string) Config {
	t.Helper()
	cfg := Config{Lookup: look}
	for _, text := range texts {
		c, err := promise.Parse(text, known)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Promises = append(cfg.Promises, c)
	}
	return cfg
}

func TestJudge(t *testing.T) {
	trial := func(asked uint64, rate float64, p99, lag, blocked float64) Trial {
		return Trial{Asked: asked, Sent: Sent{Rate: rate, Sent: 5000, Lag: timing.Percentiles{P99: lag}, Blocked: blocked}, Came: Came{Received: 5000, Latency: &timing.Percentiles{P99: p99}}}
	}
	tight := trial(1000, 1000, 5, 0.1, 0)
	tight.Bottleneck = []string{"The generator waited for a processor."}
	tightBroke := tight
	tightBroke.Latency = &timing.Percentiles{P99: 500}
	lossy := trial(1000, 1000, 5, 0.1, 0)
	lossy.Missing = 100
	unsent := trial(1000, 1000, 5, 0.1, 0.5)
	unsent.Unsent = 1
	for _, tt := range []struct {
		name  string
		trial Trial
		want  Outcome
		why   string
	}{
		{"kept", trial(1000, 995, 5, 0.1, 0), Held, "p99 is 5 ms, missing is 0 (0 %)"},
		{"kept, whatever the client had to bear", tight, Held, "p99 is 5 ms"},
		{"kept, though most is lag", trial(1000, 1000, 50, 49, 0), Held, "p99 is 50 ms"},
		{"too slow", trial(1000, 1000, 150, 0.1, 0), Broke, "p99 is 150 ms"},
		{"too slow, and the server kept the generator waiting", trial(1000, 1000, 150, 140, 0.8), Broke, "p99 is 150 ms"},
		{"too slow, by the generator's own lag", trial(1000, 1000, 150, 140, 0.01), Limited, "the generator's own lag is 140.0 ms"},
		{"too slow, and the client says why", tightBroke, Limited, "waited for a processor. besides, p99 is 500 ms"},
		{"lost", lossy, Broke, "missing is 100 (2 %)"},
		{"sent, some ms late", trial(1000, 5000/5.09, 5, 0.1, 0), Held, "p99 is 5 ms"},
		{"not sent, for no reason of the server's", trial(1000, 900, 5, 0.1, 0.05), Limited, "the generator sent only 900/s"},
		{"not taken", trial(1000, 900, 5, 0.1, 0.95), Broke, "the server took only 900/s: it kept the generator waiting for 95 %"},
		{"not all taken", unsent, Broke, "the server took only 1000/s"},
	} {
		cfg := promises(t, "p99<100ms", "missing<=1%")
		if err := cfg.judge(&tt.trial); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.trial.Outcome != tt.want || !strings.Contains(strings.ReplaceAll(tt.trial.Why, ".; ", ". "), tt.why) {
			t.Errorf("%s: %s: %s, want %s: %s", tt.name, tt.trial.Outcome, tt.trial.Why, tt.want, tt.why)
		}
	}
}

func TestLate(t *testing.T) {
	for _, tt := range []struct {
		rate, p99, lag float64
		want           bool
	}{{1000, 100, 0.5, false}, {1000, 100, 9, false}, {1000, 100, 11, true}, {1000, 2, 0.9, false}, {900, 100, 0.1, true}} {
		trial := Trial{Asked: 1000, Sent: Sent{Rate: tt.rate, Sent: 5000, Lag: timing.Percentiles{P99: tt.lag}}, Came: Came{Latency: &timing.Percentiles{P99: tt.p99}}}
		if got := trial.late(); got != tt.want {
			t.Errorf("%+v: late %v", tt, got)
		}
	}
}

func TestJudgeUnmeasured(t *testing.T) {
	cfg := promises(t, "p99<100ms")
	nothing := Trial{Asked: 1000, Sent: Sent{Rate: 1000, Sent: 1000}}
	if err := cfg.judge(&nothing); !errors.Is(err, ErrUnmeasured) || !strings.Contains(err.Error(), "p99 was not measured: 1000 messages were sent and 0 received") {
		t.Errorf("%v", err)
	}
}
