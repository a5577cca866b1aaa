package report

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const seconds = int64(1e9)

// rough is a run with a baseline, a fault that cost messages, and one that could not be tried.
func rough() Chaos {
	good := func(names ...string) (out []Check) {
		for _, name := range names {
			out = append(out, Check{Name: name, OK: true, Found: "All is well."})
		}
		return out
	}
	return Chaos{Format: 1, Slots: []Slot{
		{Name: "baseline", From: 100 * seconds, To: 106 * seconds, Bins: Bins{Due: 4000, Delivered: 4000}, Checks: good("accounted", "once")},
		{Name: "kill-nats", Target: "nats-3", From: 106 * seconds, To: 115 * seconds, At: 108 * seconds, Repaired: 109 * seconds,
			DetectMS: new(41.4), DetectedBy: "front-3 lost its NATS server", RecoverMS: new(1204.6),
			Bins:    Bins{Due: 6100, Delivered: 5991, Offline: 40, Dropped: 1, Gone: 2, Overrun: 3, Unpublished: 4, Unsent: 5, Lost: 54},
			Windows: []Window{{From: 107800 * seconds / 1000, To: 109500 * seconds / 1000, Missing: 104, Cause: "nats-3 was killed"}},
			Checks:  good("accounted", "explained", "once", "sessions", "whole", "memory")},
		{Name: "partition", Skipped: "only root can make network namespaces"},
	}}
}

func TestJudgeChaos(t *testing.T) {
	for _, c := range []struct {
		name    string
		bend    func(c *Chaos)
		want    Verdict
		reasons []string
	}{
		{"as it should be", func(*Chaos) {}, Pass, []string{"1 fault passed, and each time everything was whole again.",
			"Each of 10,095 messages is in exactly one bin, and none arrived twice.", "Lost, all within a fault's time: 54 messages.",
			"partition was skipped: only root can make network namespaces"}},
		{"a check failed", func(c *Chaos) { c.Slots[1].Checks[2] = Check{Name: "once", Found: "2 messages arrived twice."} },
			Fail, []string{"kill-nats: 2 messages arrived twice."}},
		{"something broke", func(c *Chaos) { c.Failures = []string{"front-1 ended by itself."} }, Fail, []string{"front-1 ended by itself."}},
		{"interrupted, and a check failed", func(c *Chaos) {
			c.Interrupted = "Interrupted in the time of kill-nats."
			c.Slots[0].Checks[0] = Check{Name: "accounted", Found: "1 messages are in two bins."}
		}, Inconclusive, []string{"Interrupted in the time of kill-nats.", "baseline: 1 messages are in two bins."}},
		{"no message", func(c *Chaos) { c.Slots[0].Bins, c.Slots[1].Bins = Bins{}, Bins{Due: 7, Unsent: 7} }, Inconclusive, []string{"No message was sent, so none could be lost."}},
		{"no fault", func(c *Chaos) { c.Slots = slices.Delete(c.Slots, 1, 2) }, Inconclusive, []string{"No fault came to its end, so nothing is known of any."}},
	} {
		run := rough()
		c.bend(&run)
		verdict, reasons := JudgeChaos(run)
		if verdict != c.want || !slices.Equal(reasons, c.reasons) {
			t.Errorf("%s: %s, %q; want %s, %q", c.name, verdict, reasons, c.want, c.reasons)
		}
	}
}

func TestChaosTable(t *testing.T) {
	run := rough()
	run.Verdict, run.Reasons = JudgeChaos(run)
	var b bytes.Buffer
	if err := ChaosTable(&b, run); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > chaosWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	path := filepath.Join("testdata", "chaos.txt")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// The keys that docs/formats.md names are an interface.
func TestChaosKeys(t *testing.T) {
	text, err := json.Marshal(rough())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"faults":[`, `"name":"kill-nats"`, `"at_ns":108000000000`, `"repaired_ns":109000000000`, `"detect_ms":41.4`, `"recover_ms":1204.6`,
		`"detect_ms":null`, `"lost":54`, `"windows":[{"from_ns":107800000000,"to_ns":109500000000,"missing":104,"cause":"nats-3 was killed"}]`,
		`"checks":[{"name":"accounted","ok":true,`, `"skipped":"only root`} {
		if !bytes.Contains(text, []byte(key)) {
			t.Errorf("no %s in %s", key, text)
		}
	}
}

func TestBins(t *testing.T) {
	b := rough().Slots[1].Bins
	if b.Sum() != b.Due || b.Missing() != 104 {
		t.Errorf("sum %d of %d, missing %d", b.Sum(), b.Due, b.Missing())
	}
}
