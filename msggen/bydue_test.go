package msggen

import (
	"encoding/json"
	"maps"
	"sync/atomic"
	"testing"
	"time"
)

// byDue is what the counts of res must be, from the messages that came.
func byDue(messages []message, step time.Duration) map[int64]int64 {
	n := map[int64]int64{}
	for _, m := range messages {
		n[m.due.UnixNano()/int64(step)*int64(step)]++
	}
	return n
}

// TestByDue: what was sent is counted at the time at which it was due, however late it left; read back, the result says the same.
func TestByDue(t *testing.T) {
	const step = 70 * time.Millisecond
	check := func(t *testing.T, name string, res Result, err error, got []message) {
		t.Helper()
		if err != nil || len(got) != 1500 {
			t.Fatalf("%s: %d messages: %+v, %v", name, len(got), res, err)
		}
		text, err := json.Marshal(res)
		if err != nil {
			t.Fatal(err)
		}
		var back Result
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if n, want := maps.Collect(back.ByDue.All()), byDue(got, step); !maps.Equal(n, want) {
			t.Errorf("%s: %v\nwant %v", name, n, want)
		}
	}
	for _, rate := range []uint64{0, 1000} {
		bubble(t, func(t *testing.T, f *fake) {
			var n atomic.Int64
			f.pace = func() time.Duration {
				if n.Add(1) == 300 {
					return 400 * time.Millisecond
				}
				return 0
			}
			cfg := f.config()
			cfg.Rate, cfg.Count, cfg.Workers, cfg.ByDue, cfg.Size = perSecond(rate), 1500, 2, step, 200
			res, err := Run(t.Context(), cfg)
			check(t, "a stream", res, err, f.messages())
		})
		abroad(t, func(t *testing.T, f *foreign) {
			f.answer = func(int, int) reaction { return reaction{after: 150 * time.Millisecond} }
			cfg := f.config()
			cfg.Rate, cfg.Count, cfg.Workers, cfg.ByDue = perSecond(rate), 1500, 2, step
			res, err := Run(t.Context(), cfg)
			check(t, "single requests", res, err, f.messages())
		})
	}
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Rate, cfg.Count = perSecond(1000), 10
		if res, err := Run(t.Context(), cfg); err != nil || res.ByDue != nil {
			t.Errorf("nobody asked: %+v, %v", res.ByDue, err)
		}
	})
}
